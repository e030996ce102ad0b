"""What an interrupted video leaves behind, and how a later run goes on with it.

Beside the playable `x_albedo.partial.mp4` lies `x_partial.json`: the settings of the run, how many frames of the files the
next run can take over, and what it has to know about them.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from intrinsic_flow.errors import InputError
from intrinsic_flow.json_file import anything, mapping, number, one_of, read_json, record, text, whole, write_json
from intrinsic_flow.media.video_formats import CODECS

FORMAT = "intrinsic-flow-partial"
_END_BYTES = 1 << 16
_STATE = record(
    format=one_of(FORMAT),
    frames=whole(1),
    keep=whole(0),
    scale=number(0),
    scale_frames=whole(0),
    clipped=number(0),
    settings=mapping(text(), anything),
)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C after which something was kept; the text says what, and how to go on."""


@dataclass(frozen=True)
class PartialState:
    """frames: that the files hold. keep: how many of them the next run takes over. scale, scale_frames, clipped: of the
    shading, as `video_job.LayerEncoder` has them after `keep` frames. settings: what has to be the same.
    """

    frames: int
    keep: int
    scale: float
    scale_frames: int
    clipped: float
    settings: Mapping[str, object]


def partial_name(name: str) -> str:
    """x_albedo.mp4 -> x_albedo.partial.mp4, and the folder x_albedo -> x_albedo.partial."""
    path = Path(name)
    file = path.suffix in {codec.suffix for codec in CODECS.values()}
    return f"{path.stem}.partial{path.suffix}" if file else f"{name}.partial"


def state_path(folder: Path, name: str) -> Path:
    """The file that describes an interrupted run of the input whose outputs are called `name`."""
    return folder / f"{name}_partial.json"


def save_state(path: Path, state: PartialState) -> None:
    """Writes the state."""
    write_json(path, {"format": FORMAT, **asdict(state)})


def load_state(path: Path, settings: Mapping[str, object]) -> PartialState | None:
    """The state of an interrupted run, or None where there is none. Raises InputError where it had other settings."""
    try:
        content = read_json(path, _STATE, "the state of an interrupted run")
    except FileNotFoundError:
        return None
    del content["format"]
    state = PartialState(**content)
    if state.keep > state.frames:
        raise InputError(path, f"keep {state.keep}", f"at most the {state.frames} frames of an interrupted run")
    for name, value in settings.items():
        if state.settings.get(name) != value:
            found = f"an interrupted run with {name} {state.settings.get(name)}"
            raise InputError(path, found, f"{name} {value} as now; without --resume the video is started anew")
    return state


def content_hash(files: Sequence[Path]) -> str:
    """Tells a video's bytes from others, or a sequence's names and sizes and both ends of every file: to read all of a long
    sequence would take as long as its decomposition. SHA-256."""
    if len(files) == 1:
        with files[0].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(_END_BYTES))
            file.seek(max(0, size - _END_BYTES))
            digest.update(file.read(_END_BYTES))
    return digest.hexdigest()


def remove_partial(folder: Path, name: str, outputs: Sequence[str]) -> None:
    """Removes what an interrupted run left, once its input is done."""
    state_path(folder, name).unlink(missing_ok=True)
    for output in outputs:
        partial = folder / partial_name(output)
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)
