"""What surfaces and skies look like. `library.py` is the one place that scenes draw from.

noise.py, palette.py     fractal and cellular noise; priors of albedo colours by role
textures.py, patterns/   procedural albedo textures by role; their generators by material
relief.py                height maps that tilt normals, of their own or derived from a texture
sky.py                   procedural environment maps and views out of windows
assets.py, gltf.py       environment maps, textures and models of an --assets folder
library.py               draws all of these, procedural or from assets, reproducibly
"""
