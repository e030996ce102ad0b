"""What an interrupted video leaves behind, and how a later run goes on with it.

Beside the playable `x_albedo.partial.mp4` lies `x_partial.json`: the settings of the run, how many frames of the files the
next run can take over, and what it has to know about them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.video_formats import CODECS

FORMAT = "intrinsic-flow-partial"


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
    text = json.dumps({"format": FORMAT, **asdict(state)}, indent=2)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, path)


def load_state(path: Path, settings: Mapping[str, object]) -> PartialState | None:
    """The state of an interrupted run, or None where there is none. Raises InputError where it had other settings."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        state = PartialState(**content)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"no state of an interrupted run ({error})", "the file that one left, or none") from error
    for name, value in settings.items():
        if state.settings.get(name) != value:
            found = f"an interrupted run with {name} {state.settings.get(name)}"
            raise InputError(path, found, f"{name} {value} as now; without --resume the video is started anew")
    return state


def remove_partial(folder: Path, name: str, outputs: Sequence[str]) -> None:
    """Removes what an interrupted run left, once its input is done."""
    state_path(folder, name).unlink(missing_ok=True)
    for output in outputs:
        partial = folder / partial_name(output)
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)
