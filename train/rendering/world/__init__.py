"""Seed -> Scene, by numbers alone. From the bottom up:

geometry.py, fabrics.py, foliage.py     meshes: bevelled boxes, lathes, tubes; cloth; plants and trees
layout.py, builder.py, lighting.py      where there is room; a scene under construction; light and white balance
vessels.py, books.py, devices.py        small things,
clutter.py                              and all of them together, scattered on what carries them
furniture.py, upholstery.py, lamps.py   furniture
fittings.py, room_plan.py, rooms.py     windows, doors, pictures; a room's walls and floor; the kinds of room
tabletops.py                            still lifes
specimens.py                            single things before black
sunlit.py                               bare walls and grounds with hard shadows
buildings.py, streets.py                outdoors
generate.py                             the scene of a seed
relight.py, motion.py                   a scene under other light; clips
"""
