"""Scene -> layers, by Mitsuba 3. Modules that use mitsuba are imported after `llvm.start_backend`.

llvm.py                         finds the LLVM library that Mitsuba needs, and starts it
quality.py                      how well a view is rendered
surface.py                      Lambertian reflection under a GGX coat, all materials of a scene in one table
light_table.py, window_sun.py   which light a path asks; sunlight sampled from windows
assembly.py                     Scene -> Mitsuba scene and tables
integrator.py                   the path tracer: albedo, and shading and residual of each light group
fireflies.py, denoise.py        outliers tamed, then Open Image Denoise
cameras.py, views.py            where to look from; views rendered, judged and made training views
"""
