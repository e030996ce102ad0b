"""Everything that only a GPU can show, in one run of so many minutes: parity, latency, throughput, video, training.

    python -m benchmarks.gpu_day -o out/gpu --minutes 25
    python -m benchmarks.gpu_day -o out/gpu --minutes 25 --only latency-256 throughput --data SHARDS
    python -m benchmarks.gpu_day -o out/rehearsal --minutes 10 --tiny
    python -m benchmarks.gpu_day -o out/gpu --table

The parts run one after the other, the most wanted first, each a program of its own in a folder of its own, with its log,
its JSON and its Markdown. `gpu_day.json` and `gpu_day.md` are written anew after every part, so that a run which is cut
keeps what it has, and the same command goes on: parts that are done are not repeated (--again does). A part that cannot
run here says why. --table writes the table again from these files and prints it. --tiny rehearses all of it at tiny sizes,
on a CPU where there is no GPU. Needs torch for parity and training, PyAV for video; what is missing is said.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from intrinsic_flow import train
from intrinsic_flow.backends.gpu import find_gpu, why_no_gpu
from intrinsic_flow.benchmarks.report import environment, write_json, write_text
from intrinsic_flow.commands import ROOT, call, command_parser, program, run_as
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.errors import InputError

STATE, PAGE = "gpu_day.json", "gpu_day.md"
# What is left of the time for writing and for the next command of whoever has the GPU.
RESERVE_SECONDS = 10.0
LEAST_SECONDS = 15.0
PACKAGES = (
    "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "cuda-python", "tensorrt", "tensorrt-rtx-cu13-bindings",
    "polygraphy", "av",
)  # fmt: skip
_MODULES = {"tensorrt-rtx": "tensorrt_rtx", "onnxruntime-gpu": "onnxruntime"}


@dataclass(frozen=True)
class Part:
    """A measurement: a program and what it writes.

    module, arguments: the program, as `intrinsic_flow.commands.call` names it; "{out}" stands for the part's folder.
    minutes: at most. modules: that must be importable. on: "gpu" where it needs a CUDA device, "any" elsewhere.
    rows: the part's JSON -> rows of the table, (what, value).
    """

    name: str
    shows: str
    module: str
    arguments: tuple[str, ...]
    minutes: float
    rows: Callable[[Path], list[tuple[str, str]]]
    modules: tuple[str, ...] = ()
    on: str = "gpu"


@dataclass
class Outcome:
    """What became of a part. status: "done", "failed", "cut" or "not run"; why: in one line, where it is not done."""

    status: str
    why: str = ""
    seconds: float = 0.0
    command: str = ""
    bundle: str = ""


def parts(bundle: Path, data: str | None, tiny: bool) -> list[Part]:
    """All parts, the most wanted first. data: training shards, None for procedural scenes. tiny: for a rehearsal."""
    backends = ("onnxruntime-cuda", "tensorrt", "tensorrt-rtx")
    fast = [name for name in backends if _usable(name)] if not tiny or find_gpu() else []
    side, large = (64, 64) if tiny else (256, 512)
    on = "any" if tiny else "gpu"
    ours = "auto" if tiny and not find_gpu() else "cuda"
    own = ("--bundle", str(bundle))
    listed = [*(fast or (["onnxruntime-cpu"] if tiny else ["onnxruntime-cuda"]))]

    def latency(size: int, batches: Sequence[int], references: Sequence[str], minutes: float, name: str) -> Part:
        rounds = "2" if tiny else "20"
        arguments = (*own, "--backends", *references, *listed, "--batch", *map(str, batches), "--resolution", str(size))
        arguments += ("--rounds", rounds, "--no-processes", "--report", "{out}/latency")
        shows = f"milliseconds at {size} pixels, batch {', '.join(map(str, batches))}: {', '.join((*references, *listed))}"
        return Part(name, shows, "benchmarks.latency", arguments, minutes, _latency_rows, ("torch", "matplotlib"), on)

    def video(size: str, minutes: float) -> Part:
        arguments = (*own, "--backend", ours, "--speed", "--made", size, "--json", "{out}/video.json")
        shows = f"frames a second at {size}: decoding, inference and encoding of both layers alone, and all together"
        return Part(f"video-{size}", shows, "benchmarks.video", arguments, minutes, _video_rows, ("av",), on)

    examples = ("--batch", "1", "--resolution", "64", "--images") if tiny else ()
    few = ("--largest", "2", "--seconds", "0.05") if tiny else ()
    network = json.loads((bundle / "bundle.json").read_text())["config"]["name"] if tiny else "small"
    length = ("--steps", "2", "--log-every", "1") if tiny else ("--steps", "300", "--log-every", "100")
    recipe = Path(train.__file__).with_name("recipes") / f"{'tiny' if tiny else 'flow_gpu'}.yaml"
    training: tuple[str, ...] = (
        "--config",
        str(recipe),
        "--network",
        network,
        "--init",
        str(bundle),
        "--perceptual-network",
        "none",
        *length,
    )
    training = (*training, "--data", data or "procedural", "-o", "{out}/run")
    learns = ("torch", "yaml", "matplotlib")
    pictures = f"pictures a second in ever larger batches at {side} pixels"
    throughput = (*own, "--backend", ours, "--resolution", str(side), *few, "--report", "{out}/throughput")
    check = (*own, *examples, "--json", "{out}/parity.json")
    return [
        Part("parity", "graphs against PyTorch in FP32", "export.parity", check, 4, _parity_rows, ("torch", "onnx"), "any"),
        latency(side, (1,), ("torch-eager",), 3, "latency-1"),
        Part("throughput", pictures, "benchmarks.throughput", throughput, 3, _throughput_rows, (), on),
        video("64x48" if tiny else "1920x1080", 3),
        Part("training", "images a second of the GPU recipe", "train.flow", training, 4, _training_rows, learns, on),
        latency(side, (1, 2) if tiny else (1, 4, 16, 64), ("torch-eager",), 4, "latency-batches"),
        latency(large, (1,) if tiny else (1, 4, 16), ("torch-eager",), 4, "latency-512"),
        video("96x64" if tiny else "3840x2160", 3),
        latency(side, (1,), ("torch-compile",), 5, "latency-compiled"),
    ]


def run_day(
    folder: Path, day: Sequence[Part], bundle: Bundle, minutes: float, *, again: bool = False
) -> dict[str, Outcome]:
    """Runs parts until the time is over, writing STATE and PAGE after each; returns what became of each.

    A part that a former run into the same folder has done with the same command and weights is not run again.
    """
    end = time.monotonic() + 60 * minutes
    identity = str(bundle.manifest["files"]["model.safetensors"])
    outcomes = _former(folder)
    gpu = find_gpu()
    for part in day:
        out = folder / part.name
        command = [sys.executable, "-m", run_as(part.module), *(text.format(out=out) for text in part.arguments)]
        shown = f"{call(part.module)} {' '.join(text.format(out=part.name) for text in part.arguments)}"
        before = outcomes.get(part.name)
        if not again and before and (before.status, before.command, before.bundle) == ("done", shown, identity):
            continue
        left = end - time.monotonic() - RESERVE_SECONDS
        missing = [name for name in part.modules if importlib.util.find_spec(name) is None]
        if part.on == "gpu" and gpu is None:
            outcome = Outcome("not run", f"no GPU: {why_no_gpu()}")
        elif missing:
            outcome = Outcome("not run", f"not installed: {', '.join(missing)}")
        elif left < LEAST_SECONDS:
            outcome = Outcome("not run", "no time left")
        else:
            print(f"{part.name}: {part.shows}", flush=True)
            outcome = _run(command, out, min(60 * part.minutes, left))
        outcome.command, outcome.bundle = shown, identity
        # What an earlier run has is worth more than the reason why this one has nothing.
        if outcome.status == "done" or before is None or before.status != "done":
            outcomes[part.name] = outcome
        print(f"  {outcome.status} {outcome.why}".rstrip() + f" ({outcome.seconds:.0f} s)", flush=True)
        write_day(folder, day, outcomes, bundle)
    write_day(folder, day, outcomes, bundle)
    return outcomes


def _run(command: Sequence[str], out: Path, seconds: float) -> Outcome:
    out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with (out / "log.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
    taken = time.monotonic() - begun
    if code == 0:
        return Outcome("done", "", taken)
    if code is None:
        return Outcome("cut", f"after {seconds:.0f} s; its log has what it did", taken)
    last = (out / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    return Outcome("failed", f"exit code {code}: {' '.join(last)[-300:]}", taken)


def _former(folder: Path) -> dict[str, Outcome]:
    path = folder / STATE
    if not path.is_file():
        return {}
    try:
        return {name: Outcome(**value) for name, value in json.loads(path.read_text())["parts"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(path, f"no record of a run ({error})", "an output folder of this command") from error


def write_day(folder: Path, day: Sequence[Part], outcomes: dict[str, Outcome], bundle: Bundle) -> str:
    """Writes STATE and PAGE from the parts' own files; returns the page."""
    gpu = find_gpu()
    machine = {name: value for name, value in environment(PACKAGES).items() if value is not None}
    machine |= {"gpu": gpu.name if gpu else f"none ({why_no_gpu()})", "bundle": bundle.name}
    if gpu:
        machine |= {"compute_capability": gpu.compute_capability, "gpu_memory_gib": round(gpu.memory / 2**30, 1)}
    absent = [name for name in PACKAGES if name not in machine]
    rows = [("part", "what", "measured"), ("---", "---", "---")]
    for part in day:
        outcome = outcomes.get(part.name, Outcome("not run", "not reached"))
        if outcome.status == "done":
            rows += [(part.name, what, value) for what, value in part.rows(folder / part.name)]
        else:
            rows.append((part.name, part.shows, f"**{outcome.status}**: {outcome.why}"))
    about = ", ".join(f"{name} {value}" for name, value in machine.items())
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    page = (
        f"# What ran on this GPU\n\n{about}. Not installed: {', '.join(absent) or 'nothing'}.\n\n{table}\n\n"
        "Each part's folder has its own report, with everything that was measured, and its log.\n"
    )
    state = {"environment": machine, "rows": [dict(zip(rows[0], row)) for row in rows[2:]]}
    write_json(folder / STATE, {**state, "parts": {name: asdict(value) for name, value in outcomes.items()}})
    write_text(folder / PAGE, page)
    return page


def _usable(backend: str) -> bool:
    if importlib.util.find_spec(_MODULES.get(backend, backend.replace("onnxruntime-cuda", "onnxruntime"))) is None:
        return False
    if backend != "onnxruntime-cuda":
        return True
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _parity_rows(out: Path) -> list[tuple[str, str]]:
    report, rows = _read(out / "parity.json"), []
    for entry in report["rungs"]:
        decibels = [
            row["psnr_db"] for row in report["rows"] if row["rung"] == entry["name"] and row["graph"] == "end_to_end"
        ]
        value = f"{entry['status']}{f', at least {min(decibels):.1f} dB end to end' if decibels else ''}"
        rows.append((entry["name"], value if entry["status"] != "not run" else f"not run: {'; '.join(entry['why'])[:160]}"))
    return rows


def _latency_rows(out: Path) -> list[tuple[str, str]]:
    rows = []
    for row in _read(out / "latency.json")["rows"]:
        if row["graph"] != "network":
            continue
        what = f"{row['backend']} {row['precision']}, batch {row['batch']}, {row['resolution']} pixels"
        device = f", {row['compute_ms']:.2f} ms on the GPU" if "compute_ms" in row else ""
        others = ", ".join(f"{name} {ms:.2f}" for name, ms in row["variants_ms"].items() if name != row["variant"])
        rows.append((what, f"{row['p50_ms']:.2f} ms{device}" + (f" ({others} ms)" if others else "")))
    return rows


def _throughput_rows(out: Path) -> list[tuple[str, str]]:
    report = _read(out / "throughput.json")
    best = max(report["rows"], key=lambda row: row["frames_per_second"])
    value = f"{best['frames_per_second']:.0f} pictures/s at batch {best['batch']}"
    if "device_frames_per_second" in best:
        value += f", {max(row['device_frames_per_second'] for row in report['rows']):.0f} on the GPU alone"
    return [(f"{best['backend']} {best['precision']}, {best['resolution']} pixels", f"{value}; {report['ended']}")]


def _video_rows(out: Path) -> list[tuple[str, str]]:
    rows = [row for row in _read(out / "video.json")["rows"] if "stage" in row]
    return [(f"{row['clip']}: {row['stage']}", f"{row['frames_per_second']:.1f} frames/s") for row in rows]


def _training_rows(out: Path) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]
    speeds = [line["images_per_second"] for line in lines if "images_per_second" in line]
    return [("images a second, the last of the run's windows", f"{speeds[-1]:.0f}")] if speeds else []


@program("benchmarks.gpu_day")
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 every part is done or could not run here, 1 a part failed or was cut, 2 wrong usage."""
    parser = command_parser("benchmarks.gpu_day", __doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the reports")
    parser.add_argument("--minutes", type=float, default=25.0, metavar="N", help="for all of it (default: 25)")
    parser.add_argument("--bundle", help="small, base or a bundle's folder (default: the best that is shipped)")
    parser.add_argument("--data", metavar="SHARDS", help="training data (default: procedural scenes)")
    parser.add_argument("--only", nargs="+", metavar="PART", help="these parts, in this order")
    parser.add_argument("--again", action="store_true", help="also parts that are done")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal at tiny sizes, on a CPU where there is no GPU")
    parser.add_argument("--table", action="store_true", help="write the table again from the parts' files, and print it")
    options = parser.parse_args(arguments)
    if options.minutes <= 0:
        parser.error(f"argument --minutes: found {options.minutes:g}, expected more than 0")
    folder = options.output.absolute()
    bundle = Bundle.load(options.bundle)
    day = parts(bundle.folder.absolute(), options.data, options.tiny)
    if unknown := sorted(set(options.only or ()) - {part.name for part in day}):
        parser.error(f"argument --only: found {', '.join(unknown)}, expected of {', '.join(part.name for part in day)}")
    if options.table:
        print(write_day(folder, day, _former(folder), bundle))
        return 0
    chosen = [part for name in options.only for part in day if part.name == name] if options.only else day
    outcomes = run_day(folder, chosen, bundle, options.minutes, again=options.again)
    print(write_day(folder, day, outcomes, bundle))
    return int(any(outcomes[part.name].status in ("failed", "cut") for part in chosen))


if __name__ == "__main__":
    sys.exit(main())
