"""Everything that only a GPU can show, in one run of so many minutes: parity, latency, throughput, video, training.

    python -m benchmarks.gpu_day -o out/gpu --minutes 25
    python -m benchmarks.gpu_day -o out/gpu --minutes 25 --only latency-1-tensorrt throughput-tensorrt
    python -m benchmarks.gpu_day -o out/rehearsal --minutes 10 --tiny
    python -m benchmarks.gpu_day -o out/gpu --table

The parts run one after the other, the most wanted first, each a program of its own in a folder of its own, with its log,
its own files, and its rows of the table as `part.json` and `part.md`. `gpu_day.json` and `gpu_day.md` are written anew
after every part, so that a run which is cut keeps what it has, and the same command goes on: parts that are done are not
repeated (--again does). A part that cannot run here says why. --table writes the table again from these files and prints
it. --tiny rehearses at tiny sizes, on a CPU where there is no GPU. Needs torch for parity and training, PyAV for video;
what is missing is said.
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
from intrinsic_flow.backends import TENSORRT_FLAVORS
from intrinsic_flow.backends.engine_file import MODULES
from intrinsic_flow.backends.gpu import Gpu, find_gpu, why_no_gpu
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
    "polygraphy", "av", "openimageio",
)  # fmt: skip
GPU_BACKENDS = ("cuda", "tensorrt", "tensorrt-rtx")

Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class Part:
    """A measurement: a program and what it writes.

    module, arguments: the program, as `intrinsic_flow.commands.call` names it; "{out}" stands for the part's folder.
    minutes: at most. modules: that must be importable. backend: that has to run here, "" for none; those of GPU_BACKENDS
    need a GPU. on: "gpu" where something else needs a CUDA device, "any" elsewhere. rows: the part's files -> rows of the
    table, (what, value).
    """

    name: str
    shows: str
    module: str
    arguments: tuple[str, ...]
    minutes: float
    rows: Callable[[Path], Rows]
    modules: tuple[str, ...] = ()
    on: str = "gpu"
    backend: str = ""


@dataclass
class Outcome:
    """What became of a part. status: "done", "failed", "cut" or "not run"; why: in one line, where it is not done."""

    status: str
    why: str = ""
    seconds: float = 0.0
    command: str = ""
    bundle: str = ""


def parts(bundle: Path, data: str | None, tiny: bool) -> list[Part]:
    """All parts, the most wanted first. data: training shards, None for procedural scenes. tiny: for a rehearsal, which
    without a GPU runs one of each kind on ONNX Runtime's CPU provider, in a GPU's stead."""
    stand_in = tiny and find_gpu() is None
    backends = (*(("cpu",) if stand_in else ()), *GPU_BACKENDS)
    side, large = (64, 96) if tiny else (256, 512)
    batches = (1, 2) if tiny else (1, 4, 16, 64)
    first, second = ("64x48", "96x64") if tiny else ("1920x1080", "3840x2160")
    own = ("--bundle", str(bundle))

    def engines(flavor: str) -> Part:
        sizes = ("--max-batch", "2", "--resolution", "32", "64", "64")
        sizes = sizes if tiny else ("--max-batch", "64", "--resolution", "32", "256", "512")
        backend = "tensorrt" if flavor == "tensorrt" else "tensorrt-rtx"
        arguments = (*own, "--flavor", flavor, "--fp16", *sizes)
        shows = f"the engines that {backend} runs, for this GPU"
        return Part(f"engines-{backend}", shows, "export.build_trt", arguments, 6, _last_line, (), backend=backend)

    def latency(name: str, backend: str, size: int, counts: Sequence[int], minutes: float, *more: str) -> Part:
        listed = (*more, *((backend,) if backend else ()))
        arguments = (*own, "--backends", *listed, "--batch", *map(str, counts), "--resolution", str(size))
        arguments += ("--rounds", "2" if tiny else "20")
        # Fresh processes tell cold start and memory, once a backend.
        arguments += ("--no-processes",) if tiny or not name.startswith("latency-1-") else ()
        arguments += ("--report", "{out}/latency")
        shows = f"ms at {size} pixels, batch {', '.join(map(str, counts))}: {', '.join(listed)}"
        needed = ("torch", "matplotlib")
        on = "gpu" if not backend else "any"
        return Part(name, shows, "benchmarks.latency", arguments, minutes, _latency_rows, needed, on, backend)

    def throughput(backend: str) -> Part:
        few = ("--largest", "2", "--seconds", "0.05") if tiny else ()
        arguments = (*own, "--backend", backend, "--resolution", str(side), *few, "--report", "{out}/throughput")
        shows = f"pictures a second in ever larger batches at {side} pixels: {backend}"
        name = f"throughput-{backend}"
        return Part(name, shows, "benchmarks.throughput", arguments, 3, _throughput_rows, (), "any", backend)

    def video(backend: str, size: str) -> Part:
        arguments = (*own, "--backend", backend, "--speed", "--hardware-codecs", "--made", size)
        arguments += (*(("--frames", "3") if tiny else ("--frames", "20") if size == second else ()), "--report", "{out}")
        shows = f"frames a second at {size}, {backend}: each stage alone, all together, and on the GPU without codecs"
        name = f"video-{size}-{backend}"
        return Part(name, shows, "benchmarks.video", arguments, 3, _video_rows, ("av",), "any", backend)

    def each(make: Callable[[str], Part]) -> list[Part]:
        return [make(backend) for backend in backends]

    examples = ("--batch", "1", "--resolution", "64", "--images") if tiny else ()
    check = (*own, *examples, "--polygraphy", "--json", "{out}/parity.json")
    graphs = "every graph against PyTorch in FP32: ONNX Runtime on CPU and CUDA in FP32 and FP16, TensorRT"
    eager, compiled = "torch-eager", "torch-compile"
    return [
        engines("tensorrt"),
        engines("rtx"),
        Part("parity", graphs, "export.parity", check, 4, _parity_rows, ("torch", "onnx"), "any"),
        *each(lambda backend: latency(f"latency-1-{backend}", backend, side, (1,), 3, eager)),
        *each(throughput),
        *each(lambda backend: video(backend, first)),
        _training(bundle, data, tiny),
        *(latency(f"latency-batches-{backend}", backend, side, batches[1:], 4, eager) for backend in GPU_BACKENDS),
        *(latency(f"latency-{large}-{backend}", backend, large, batches, 5, eager) for backend in GPU_BACKENDS),
        *(video(backend, second) for backend in GPU_BACKENDS),
        latency("latency-compiled", "", side, (1,), 5, compiled),
        latency("latency-compiled-batches", "", side, batches[1:], 8, compiled),
        latency(f"latency-compiled-{large}", "", large, batches, 8, compiled),
    ]


def _training(bundle: Path, data: str | None, tiny: bool) -> Part:
    config = json.loads((bundle / "bundle.json").read_text())["config"]
    network = config["name"] if tiny else "small"
    recipe = Path(train.__file__).with_name("recipes") / f"{'tiny' if tiny else 'flow_gpu'}.yaml"
    length = ("--steps", "2", "--log-every", "1") if tiny else ("--steps", "300", "--log-every", "100")
    arguments: tuple[str, ...] = (
        "--config",
        str(recipe),
        "--network",
        network,
        "--init",
        str(bundle),
        "--perceptual-network",
        "none",
    )
    # What the network has beside what its name stands for; its weights fit no other.
    arguments += ("--decoder-image",) if config.get("decoder_image") else ()
    arguments += ("--pretrained-encoder", config.get("pretrained_encoder", "none"))
    arguments += (*length, "--data", data or "procedural", "-o", "{out}/run")
    needed = ("torch", "yaml", "matplotlib")
    shows, on = "images a second of the GPU recipe", "any" if tiny else "gpu"
    return Part("training", shows, "train.flow", arguments, 4, _training_rows, needed, on)


def why_not(part: Part, gpu: Gpu | None) -> str:
    """Why a part cannot run here, in a line; empty where it can."""
    if gpu is None and (part.backend in GPU_BACKENDS or part.on == "gpu"):
        return f"no GPU: {why_no_gpu()}"
    missing = [name for name in part.modules if importlib.util.find_spec(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if part.backend == "cuda" and not _has_cuda_provider():
        return "not installed: onnxruntime-gpu, with CUDA's provider"
    modules = MODULES[TENSORRT_FLAVORS[part.backend]] if part.backend in TENSORRT_FLAVORS else ()
    found = [name for name in modules if importlib.util.find_spec(name) is not None]
    if modules and not found:
        return f"not installed: {modules[0]}"
    if part.backend == "tensorrt-rtx" and gpu is not None:
        from intrinsic_flow.export.trt.target import supported_by_rtx

        try:
            supported = supported_by_rtx(importlib.import_module(found[0]))
        except (ImportError, OSError, RuntimeError) as error:
            return f"{found[0]} does not load ({' '.join(str(error).split())})"
        if gpu.compute_capability not in supported:
            return f"compute capability {gpu.compute_capability}, TensorRT for RTX serves {', '.join(map(str, supported))}"
    return ""


def _has_cuda_provider() -> bool:
    if importlib.util.find_spec("onnxruntime") is None:
        return False
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


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
        if reason := why_not(part, gpu):
            outcome = Outcome("not run", reason)
        elif left < LEAST_SECONDS:
            outcome = Outcome("not run", "no time left")
        else:
            print(f"{part.name}: {part.shows}", flush=True)
            outcome = _run(command, out, min(60 * part.minutes, left))
            if outcome.status == "done":
                _write_part(part, out)
        outcome.command, outcome.bundle = shown, identity
        # What an earlier run has is worth more than the reason why this one has nothing.
        if outcome.status == "done" or before is None or before.status != "done":
            outcomes[part.name] = outcome
        after = f" ({outcome.seconds:.0f} s)" if outcome.seconds else ""
        print(f"{part.name}: {outcome.status} {outcome.why}".rstrip() + after, flush=True)
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


def _write_part(part: Part, out: Path) -> None:
    """The part's own rows of the table, beside what its program wrote."""
    rows = part.rows(out)
    write_json(out / "part.json", {"part": part.name, "shows": part.shows, "rows": [list(row) for row in rows]})
    lines = "".join(f"| {what} | {value} |\n" for what, value in rows)
    write_text(out / "part.md", f"# {part.name}\n\n{part.shows}\n\n| what | measured |\n| --- | --- |\n{lines}")


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
        f"# What ran on {gpu.name if gpu else 'a machine without a GPU'}\n\n{about}. "
        f"Not installed: {', '.join(absent) or 'nothing'}.\n\n{_targets(folder, day, outcomes)}\n\n{table}\n\n"
        "Each part's folder has its own report, with everything that was measured, and its log.\n"
    )
    state = {"environment": machine, "rows": [dict(zip(rows[0], row)) for row in rows[2:]]}
    write_json(folder / STATE, {**state, "parts": {name: asdict(value) for name, value in outcomes.items()}})
    write_text(folder / PAGE, page)
    return page


def _targets(folder: Path, day: Sequence[Part], outcomes: dict[str, Outcome]) -> str:
    """A table of what was to be reached on an H100, and the best of what a GPU's backends have reached."""
    complete = {name for name, outcome in outcomes.items() if outcome.status == "done"}
    done = [part.name for part in day if part.backend in GPU_BACKENDS and part.name in complete]
    lines = ["| target | wanted | best | reached |", "| --- | --- | --- | --- |"]
    for what, start, file, pick, most, wanted, unit in TARGETS:
        rows = [row for name in done if name.startswith(start) for row in _read(folder / name / file)["rows"]]
        found = [value for value in map(pick, rows) if value is not None]
        best = (min if most else max)(found, default=None)
        shown, reached = "not measured", ""
        if best is not None:
            shown, reached = f"{best:.2f} {unit}", "yes" if (best <= wanted if most else best >= wanted) else "no"
        lines.append(f"| {what} | at {'most' if most else 'least'} {wanted:g} {unit} | {shown} | {reached} |")
    return "\n".join(lines)


def _network_ms(row: dict[str, Any]) -> float | None:
    ours = row["graph"] == "network" and row["backend"] in GPU_BACKENDS and (row["batch"], row["resolution"]) == (1, 256)
    return row.get("compute_ms") if ours else None


def _batched(row: dict[str, Any]) -> float | None:
    return row["frames_per_second"] if row["resolution"] == 256 else None


def _stage(name: str) -> Callable[[dict[str, Any]], float | None]:
    return lambda row: row.get("frames_per_second") if str(row.get("stage", "")).startswith(name) else None


#: What is measured, in which parts and file, its value of a row, whether it is to be small, what is wanted, in which unit.
TARGETS: tuple[tuple[str, str, str, Callable[[dict[str, Any]], float | None], bool, float, str], ...] = (
    ("network, batch 1, 256 pixels, on the GPU", "latency-1-", "latency.json", _network_ms, True, 1.0, "ms"),
    ("network, batches at 256 pixels", "throughput-", "throughput.json", _batched, False, 5000, "pictures/s"),
    ("1080p on the GPU, no codecs", "video-1920x1080-", "video.json", _stage("on the GPU"), False, 172, "frames/s"),
    ("1080p, decoded, both layers encoded", "video-1920x1080-", "video.json", _stage("pipeline"), False, 60, "frames/s"),
)


def _last_line(out: Path) -> Rows:
    lines = (out / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return [("said at its end", lines[-1])] if lines else []


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _parity_rows(out: Path) -> Rows:
    report, rows = _read(out / "parity.json"), []
    for entry in report["rungs"]:
        decibels = [
            row["psnr_db"] for row in report["rows"] if row["rung"] == entry["name"] and row["graph"] == "end_to_end"
        ]
        value = f"{entry['status']}{f', at least {min(decibels):.1f} dB end to end' if decibels else ''}"
        rows.append((entry["name"], value if entry["status"] != "not run" else f"not run: {'; '.join(entry['why'])[:160]}"))
    return rows


def _latency_rows(out: Path) -> Rows:
    rows = []
    for row in _read(out / "latency.json")["rows"]:
        if row["graph"] != "network":
            continue
        what = f"{row['backend']} {row['precision']}, batch {row['batch']}, {row['resolution']} pixels"
        device = f", {row['compute_ms']:.2f} ms on the GPU" if "compute_ms" in row else ""
        others = ", ".join(f"{name} {ms:.2f}" for name, ms in row["variants_ms"].items() if name != row["variant"])
        memory = f", {row['device_mib']:.0f} MiB of the GPU" if "device_mib" in row else ""
        rows.append((what, f"{row['p50_ms']:.2f} ms{device}{memory}" + (f" ({others} ms)" if others else "")))
    return rows


def _throughput_rows(out: Path) -> Rows:
    report = _read(out / "throughput.json")
    best = max(report["rows"], key=lambda row: row["frames_per_second"])
    value = f"{best['frames_per_second']:.0f} pictures/s at batch {best['batch']}"
    if "device_frames_per_second" in best:
        value += f", {max(row['device_frames_per_second'] for row in report['rows']):.0f} on the GPU alone"
    if "device_mib" in best:
        value += f", {best['device_mib']:.0f} MiB of the GPU"
    return [(f"{best['backend']} {best['precision']}, {best['resolution']} pixels", f"{value}; {report['ended']}")]


def _video_rows(out: Path) -> Rows:
    rows = [row for row in _read(out / "video.json")["rows"] if "stage" in row]
    return [
        (
            f"{row['clip']}: {row['stage']}",
            f"{row['frames_per_second']:.1f} frames/s" if "frames_per_second" in row else f"not run: {row['note']}",
        )
        for row in rows
    ]


def _training_rows(out: Path) -> Rows:
    lines = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]
    speeds = [line["images_per_second"] for line in lines if "images_per_second" in line]
    return [("images a second, the last of the run's windows", f"{speeds[-1]:.0f}")] if speeds else []


@program("benchmarks.gpu_day")
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 every part is done or could not run here, 1 a part failed or was cut, 2 wrong usage."""
    parser = command_parser("benchmarks.gpu_day", __doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the reports")
    parser.add_argument("--minutes", type=float, default=25.0, metavar="N", help="for all of it (default: 25)")
    parser.add_argument("--bundle", help="small or a bundle's folder (default: the best that is shipped)")
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
    # As parts are called today: CUDA's and the CPU's once had the library in their names.
    only = [name.replace("onnxruntime-", "") for name in options.only or ()]
    if unknown := sorted(set(only) - {part.name for part in day}):
        parser.error(f"argument --only: found {', '.join(unknown)}, expected of {', '.join(part.name for part in day)}")
    if options.table:
        print(write_day(folder, day, _former(folder), bundle))
        return 0
    chosen = [part for name in only for part in day if part.name == name] or day
    outcomes = run_day(folder, chosen, bundle, options.minutes, again=options.again)
    print(write_day(folder, day, outcomes, bundle))
    return int(any(outcomes[part.name].status in ("failed", "cut") for part in chosen))


if __name__ == "__main__":
    sys.exit(main())
