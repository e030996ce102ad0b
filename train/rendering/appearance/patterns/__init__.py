"""Generators of procedural albedo textures, by what the surface is made of.

common.py    a texture with its relief; mixing, grain, stains
tiling.py    how pieces cover a surface: bricks, boards, herringbone, hexagons, rubble
mineral.py   paint, plaster, concrete, bricks, tiles, stone, roads, ground
timber.py    boards, parquet, siding, panels
textile.py   woven and knitted cloth, prints, carpets and rugs, leather
organic.py   bark, leaves
lettering.py words in letters
printed.py   books, pictures, labels, wallpaper, painted ceramics
"""
