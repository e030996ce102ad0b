"""What one render process does: seeds in, encoded views out. Runs in the processes of `pool.WorkerPool`.

Mitsuba is imported by `start`, not by this module, so that the parent process stays light.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from intrinsic_flow.train.data.shard_writer import encode_view
from intrinsic_flow.train.data.shards import View
from intrinsic_flow.train.rendering.appearance.library import Library
from intrinsic_flow.train.rendering.scene import Camera, Scene
from intrinsic_flow.train.rendering.tracing.llvm import start_backend
from intrinsic_flow.train.rendering.tracing.quality import Quality
from intrinsic_flow.train.rendering.world.generate import generate
from intrinsic_flow.train.rendering.world.motion import ClipKind, make_clip
from intrinsic_flow.train.rendering.world.relight import relit

# Seeds of scenes that only validate. A scene's split is a function of its seed, whatever the options are.
VALIDATION_EVERY = 16
# Kinds with hard shadows and fine print, for networks that sharpen.
FINE = ("sunlit", "pattern", "print", "dappled", "scans", "street")
# Share of the scenes that are seen through a lens that darkens towards the corners.
VIGNETTED = 0.3


def split_of(seed: int) -> str:
    """`val` for every sixteenth seed, else `train`."""
    return "val" if seed % VALIDATION_EVERY == VALIDATION_EVERY - 1 else "train"


@dataclass(frozen=True)
class SceneJob:
    """Views of one scene. relights: further renders of each view under other light, albedo and camera unchanged. kinds: of
    scenes that may be drawn (`generate.KINDS`); empty for all. large_share: of the scenes, which are of FINE kinds and are
    rendered at twice the size.
    """

    seed: int
    views: int
    relights: int = 0
    kinds: tuple[str, ...] = ()
    large_share: float = 0.0

    @property
    def large(self) -> bool:
        """Whether this scene is one of the large ones: a function of its seed and the share."""
        return bool(np.random.default_rng([self.seed, 6]).random() < self.large_share)

    @property
    def unit(self) -> str:
        return f"s{self.seed:08d}"

    @property
    def split(self) -> str:
        return split_of(self.seed)


@dataclass(frozen=True)
class ClipJob:
    """One clip of a scene. kinds: of scenes that may be drawn (`generate.KINDS`); empty for all."""

    seed: int
    kind: ClipKind
    frames: int
    fps: float
    kinds: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        return f"c{self.seed:08d}"

    @property
    def split(self) -> str:
        return "clip"


@dataclass(frozen=True)
class Rendered:
    """views: (key, members) as `Staging.add` takes them. rejected: views that were left out, by reason."""

    views: list[tuple[str, dict[str, bytes]]]
    rejected: Counter[str] = field(default_factory=Counter)


def start(assets: Path | None, quality: Quality, library_seed: int) -> Callable[[SceneJob | ClipJob], Rendered]:
    """Prepare this process; returns the function that does a job.

    LlvmError, MissingExtraError, InputError: the renderer or the assets cannot be used.
    """
    start_backend(threads=1)
    cv2.setNumThreads(1)
    from intrinsic_flow.train.rendering.tracing.denoise import limit_threads

    limit_threads(1)
    library = Library.load(assets, library_seed)

    def work(job: SceneJob | ClipJob) -> Rendered:
        if isinstance(job, SceneJob):
            return render_scene(job, library, quality)
        return render_clip(job, library, quality)

    return work


def _described(view: View, scene: Scene, fields: dict[str, object]) -> View:
    """The view with what its json tells besides its layers."""
    environment = scene.environment.name if scene.environment is not None else None
    meta = {
        "kind": scene.kind,
        "seed": scene.seed,
        "scene": f"s{scene.seed:08d}",
        "env": environment,
        **fields,
        **view.meta,
    }
    return replace(view, meta=meta)


def render_scene(job: SceneJob, library: Library, quality: Quality) -> Rendered:
    """The best views of a scene that pass judgement, each with its relit siblings."""
    from intrinsic_flow.train.rendering.tracing.assembly import assemble
    from intrinsic_flow.train.rendering.tracing.cameras import choose_cameras
    from intrinsic_flow.train.rendering.tracing.views import (
        RejectedView,
        clipped,
        judge,
        lamp_gains,
        render_view,
        vignetted,
        white_level,
        with_gains,
    )

    kinds = job.kinds
    if job.large:
        quality = quality.at(2 * quality.size[0], 2 * quality.size[1])
        kinds = tuple(kind for kind in FINE if kind in kinds) or kinds if kinds else FINE
    scene = generate(job.seed, library, kinds)
    assembled = assemble(scene)
    rng = np.random.default_rng([job.seed, 1])
    cameras = choose_cameras(scene, assembled, job.views, quality.size, rng)
    views: list[tuple[str, dict[str, bytes]]] = []
    rejected = Counter({"no camera": job.views - len(cameras)} if len(cameras) < job.views else {})

    def keep(key: str, rendered: View, lit: Scene, fields: dict[str, object]) -> bool:
        lifted = with_gains(rendered, lamp_gains(rendered, np.random.default_rng([job.seed, 2])))
        lifted = clipped(lifted, white_level(lifted, np.random.default_rng([job.seed, 8])))
        lens = np.random.default_rng([job.seed, 5])
        if lens.random() < VIGNETTED:
            lifted = vignetted(lifted, float(lens.uniform(0.1, 0.55)))
        try:
            judge(lifted, scene.isolated)
        except RejectedView as reason:
            rejected[str(reason)] += 1
            return False
        views.append((key, encode_view(_described(lifted, lit, fields))))
        return True

    for number, camera in enumerate(cameras):
        key, seed = f"{job.unit}_{number}", job.seed * 131 + number
        together = {"view": key, "relight": 0} if job.relights else {}
        if not keep(key, render_view(assembled, camera, quality, seed), scene, together):
            continue
        for relight in range(1, job.relights + 1):
            lit = relit(scene, np.random.default_rng([job.seed, 3, number, relight]), library)
            # The same seed, so that the albedo is the same to the last bit.
            view = render_view(assemble(lit), camera, quality, seed)
            keep(f"{key}-{relight}", view, lit, {"view": key, "relight": relight})
    return Rendered(views, rejected)


def render_clip(job: ClipJob, library: Library, quality: Quality) -> Rendered:
    """All frames of a clip, or none where its first frame does not pass judgement."""
    from intrinsic_flow.train.rendering.tracing.assembly import AssembledScene, assemble
    from intrinsic_flow.train.rendering.tracing.cameras import choose_cameras
    from intrinsic_flow.train.rendering.tracing.views import (
        RejectedView,
        clipped,
        judge,
        lamp_gains,
        render_view,
        white_level,
        with_gains,
    )

    scene = generate(job.seed, library, job.kinds)
    assembled = assemble(scene)
    rng = np.random.default_rng([job.seed, 4])
    cameras = choose_cameras(scene, assembled, 2, quality.size, rng)
    if len(cameras) < 2:
        return Rendered([], Counter({"no camera": 1}))
    clip = make_clip(scene, cameras, rng, job.frames, job.kind)
    gains: np.ndarray | None = None
    views: list[tuple[str, dict[str, bytes]]] = []
    # A frame that differs from the last one only in gains is the same render.
    last: tuple[Camera, Scene, View] | None = None
    lit: tuple[Scene, AssembledScene] = (scene, assembled)
    for index, frame in enumerate(clip.frames):
        if frame.scene is not lit[0]:
            lit = (frame.scene, assemble(frame.scene))
        if last is None or last[0] is not frame.camera or last[1] is not frame.scene:
            last = (frame.camera, frame.scene, render_view(lit[1], frame.camera, quality, job.seed * 131))
        view = last[2]
        if gains is None:
            gains = lamp_gains(view, np.random.default_rng([job.seed, 2]))
            white = white_level(with_gains(view, gains), np.random.default_rng([job.seed, 8]))
            try:
                judge(clipped(with_gains(view, gains), white), scene.isolated)
            except RejectedView as reason:
                return Rendered([], Counter({str(reason): 1}))
        view = clipped(with_gains(view, gains * frame.gains), white)
        fields = {"clip": job.unit, "frame": index, "frames": job.frames, "fps": job.fps, "clip_kind": job.kind}
        if index in clip.cuts:
            fields["cut"] = True
        if index in clip.light_changes:
            fields["light_change"] = True
        views.append((f"{job.unit}_{index:04d}", encode_view(_described(view, frame.scene, fields))))
    return Rendered(views)
