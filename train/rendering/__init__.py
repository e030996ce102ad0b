"""The renderer of training scenes: procedural worlds with ground truth, path traced on the CPU by Mitsuba 3.

    scene.py      what a scene is: meshes, materials, lights and cameras as plain numbers; everything else speaks it
    appearance/   what surfaces and skies look like: textures, reliefs, environment maps, procedural or from assets
    world/        seed -> Scene: things, rooms, still lifes, streets; other light for a scene; clips
    tracing/      Scene -> layers: Mitsuba assembly, the demodulating path tracer, denoising, choice of views
    worker.py     what one render process does: seeds in, encoded views out
    pool.py       processes that may crash

`scene`, `appearance`, `world` and `pool` never import mitsuba; most of `tracing` does, after `tracing.llvm.start_backend`.
The command is `train.render`.
"""
