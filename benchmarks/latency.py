"""Latency of a model bundle: each graph, the network, a whole decomposition and a cold start, on the CPU.

    python -m benchmarks.latency --bundle small
    python -m benchmarks.latency --bundle small --torch --threads 2 --rounds 30 --json latency.json

`network` is encoder, Euler steps and decoder; `decompose` adds what the runtime does around them on one square picture;
`cold_start` is the command line on one such picture, start of Python included. With --torch the same weights run in
PyTorch eager beside it, in both memory formats; the speed-up is over the faster one, from rounds in which all
contestants take turns. Quote neither times nor ratios from a run that reports itself disturbed: on cores shared with
other work threads wait for one another, PyTorch's many times longer than ONNX Runtime's. --threads 1 suffers least.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.report import environment, write_json
from runtime.bundle import LATENT_CHANNELS, LATENT_DOWNSCALE, SIDE_MULTIPLE, Bundle
from runtime.decomposer import Decomposer
from runtime.engines import open_engine
from runtime.engines.base import Engine
from runtime.errors import InputError, MissingExtraError
from runtime.images import write_image

CALLS_PER_ROUND = 3
# Threads of one library may wait actively for a while after a call; they must not do so in the other's turn.
PAUSE_SECONDS = 0.02
DISTURBED_RATIO = 1.5


@dataclass
class Contestant:
    """Something to time: what it is (the row's descriptive fields), how to call it once, and the times taken, in ms.

    frames: pictures per call. times: one list a round.
    """

    labels: dict[str, object]
    call: Callable[[], object]
    frames: int
    times: list[list[float]] = field(default_factory=list)

    def take_turn(self, calls: int = CALLS_PER_ROUND) -> None:
        """One round: `calls` calls back to back."""
        turn = []
        for _ in range(calls):
            start = time.perf_counter()
            self.call()
            turn.append((time.perf_counter() - start) * 1e3)
        self.times.append(turn)

    def round_medians(self) -> np.ndarray:
        """Median of each round, ms."""
        return np.median(self.times, axis=1)

    def row(self) -> dict[str, object]:
        """The report's row: labels, percentiles over all calls, pictures per second at the median.

        `disturbed`: the median is far from the minimum or the 90th percentile from the median, so that the times tell
        of other work on the machine more than of this.
        """
        p50, p90, p99 = np.percentile(self.times, (50, 90, 99))
        return {
            **self.labels,
            "min_ms": round(float(np.min(self.times)), 3),
            "p50_ms": round(float(p50), 3),
            "p90_ms": round(float(p90), 3),
            "p99_ms": round(float(p99), 3),
            "frames_per_second": round(self.frames * 1e3 / float(p50), 2),
            "calls": int(np.size(self.times)),
            "disturbed": bool(p50 > DISTURBED_RATIO * np.min(self.times) or p90 > DISTURBED_RATIO * p50),
        }


def speedup(candidate: Contestant, reference: Contestant) -> float:
    """How many times faster the candidate is: the median of the ratio over the rounds, which both took part in."""
    return float(np.median(reference.round_medians() / candidate.round_medians()))


def measure(
    bundle: Bundle,
    *,
    resolution: int = 256,
    batch: int = 1,
    steps: int = 2,
    threads: int = 2,
    rounds: int = 20,
    torch: bool = False,
    cold_starts: int = 3,
) -> dict[str, object]:
    """Runs the benchmark and returns the report, {"environment": ..., "rows": [...]}.

    resolution: side of the square picture, a multiple of 32. cold_starts: runs of the command line; 0 leaves them out.
    Raises ValueError on a size that the network does not take, MissingExtraError without the libraries.
    """
    if resolution < SIDE_MULTIPLE or resolution % SIDE_MULTIPLE:
        raise ValueError(f"resolution {resolution}, expected a multiple of {SIDE_MULTIPLE}")
    for name, value in (("batch", batch), ("steps", steps), ("threads", threads), ("rounds", rounds)):
        if value < 1:
            raise ValueError(f"{name} {value}, expected at least 1")
    packages = ["numpy", "onnxruntime", *(["torch"] if torch else [])]
    labels = {"precision": "fp32", "batch": batch, "resolution": resolution, "steps": steps, "threads": threads}
    picture = _picture(resolution)
    engine = open_engine(bundle, "cpu", threads=threads)
    try:
        decomposer = Decomposer(bundle, engine, steps=steps, resolution=resolution)
        runtime = _runtime_calls(bundle, engine, resolution, batch, steps)
        contestants = [
            Contestant({"backend": "onnxruntime-cpu", "graph": graph, **labels}, call, batch)
            for graph, call in runtime.items()
        ]
        one = {"backend": "onnxruntime-cpu", "graph": "decompose", **labels, "batch": 1}
        contestants.append(Contestant(one, lambda: decomposer.decompose(picture), 1))
        if torch:
            contestants += _torch_contestants(bundle, labels)
        for contestant in contestants:
            contestant.take_turn()
            contestant.times.clear()
        for _ in range(rounds):
            for contestant in contestants:
                contestant.take_turn()
                time.sleep(PAUSE_SECONDS)
    finally:
        engine.close()
    rows = [contestant.row() for contestant in contestants]
    for row, contestant in zip(rows, contestants, strict=True):
        rivals = [x for x in contestants if _compares(contestant, x)]
        if rivals:
            fastest = min(rivals, key=lambda rival: np.median(rival.times))
            row["speedup_over_torch"] = round(speedup(contestant, fastest), 3)
            row["torch_memory_format"] = fastest.labels["memory_format"]
    if cold_starts:
        cold = Contestant({**one, "graph": "cold_start"}, lambda: _cold_start(bundle, picture, steps, threads), 1)
        cold.take_turn(cold_starts)
        rows.append(cold.row())
    return {"environment": {**environment(packages), "threads": threads, "bundle": bundle.name}, "rows": rows}


def _compares(candidate: Contestant, rival: Contestant) -> bool:
    """Whether the rival is PyTorch doing the candidate's work; the merged graph does that of the network."""
    graph = candidate.labels["graph"]
    work = "network" if graph == "decompose_2step" else graph
    backends = (candidate.labels["backend"], rival.labels["backend"])
    return backends == ("onnxruntime-cpu", "torch-eager") and rival.labels["graph"] == work


def _runtime_calls(
    bundle: Bundle, engine: Engine, resolution: int, batch: int, steps: int
) -> dict[str, Callable[[], object]]:
    """One call per graph and one for the loop over them, through the runtime's engine, on fixed inputs."""
    rng = np.random.default_rng(0)
    side = resolution // LATENT_DOWNSCALE
    image = rng.random((batch, 3, resolution, resolution), dtype=np.float32)
    noise = rng.standard_normal((batch, LATENT_CHANNELS, side, side), dtype=np.float32)
    features = engine.run("encoder", {"image": image})
    times = [np.full(1, step / steps, np.float32) for step in range(steps)]
    dt = np.full(1, 1 / steps, np.float32)

    def network() -> object:
        maps, z = engine.run("encoder", {"image": image}), noise
        for t in times:
            z = engine.run("velocity_step", {"z": z, "t": t, "dt": dt, **maps})["z_next"]
        return engine.run("decoder", {"z": z})

    calls: dict[str, Callable[[], object]] = {
        "encoder": lambda: engine.run("encoder", {"image": image}),
        "velocity_step": lambda: engine.run("velocity_step", {"z": noise, "t": times[0], "dt": dt, **features}),
        "decoder": lambda: engine.run("decoder", {"z": noise}),
        "network": network,
    }
    if steps == 2 and bundle.has("decompose_2step"):
        calls["decompose_2step"] = lambda: engine.run("decompose_2step", {"image": image, "z": noise})
    return calls


def _torch_contestants(bundle: Bundle, labels: dict[str, object]) -> list[Contestant]:
    try:
        from benchmarks import torch_eager
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "export") from error
    contestants = []
    batch, resolution, threads = labels["batch"], labels["resolution"], labels["threads"]
    for memory_format in torch_eager.MEMORY_FORMATS:
        if not torch_eager.runs_in_a_process_of_its_own(bundle.folder, memory_format, batch, resolution, threads):
            print(f"torch crashes in {memory_format}: left out", file=sys.stderr)
            continue
        calls = torch_eager.torch_calls(
            bundle, memory_format, batch=batch, resolution=resolution, steps=labels["steps"], threads=threads
        )
        for graph, call in calls.items():
            row = {"backend": "torch-eager", "graph": graph, "memory_format": memory_format, **labels}
            contestants.append(Contestant(row, call, batch))
    return contestants


def _picture(side: int) -> np.ndarray:
    """(side, side, 3) float32 linear: smooth, with highlights above 1, so that nothing is trivially constant."""
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    return np.stack([(0.2 + x * y) * (1.5 + np.sin(9 * x + phase)) for phase in (0, 1, 2)], axis=-1).astype(np.float32)


def _cold_start(bundle: Bundle, picture: np.ndarray, steps: int, threads: int) -> None:
    """The command line in a fresh process. Raises RuntimeError when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "picture.png"
        write_image(source, np.clip(picture, 0, 1), format="png", colorspace="srgb")
        command = [sys.executable, "-m", "runtime.decompose", str(source), "-o", str(Path(folder) / "out"), "--quiet"]
        command += ["--bundle", str(bundle.folder.resolve()), "--steps", str(steps)]
        command += ["--threads", str(threads)]
        root = Path(__file__).parent.parent
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"runtime.decompose failed: {done.stderr.strip()}")


def format_rows(rows: Sequence[dict[str, object]]) -> str:
    """A table for the terminal."""
    times = ("min_ms", "p50_ms", "p90_ms", "p99_ms")
    heads = "".join(f"{key.replace('_', ' '):>9s}" for key in times)
    lines = [f"{'backend':16s}{'graph':17s}{'memory format':15s}{heads}{'frames/s':>10s}{'vs torch':>10s}"]
    for row in rows:
        numbers = "".join(f"{row[key]:9.1f}" for key in times)
        ratio = f"{row['speedup_over_torch']:9.2f}x" if "speedup_over_torch" in row else ""
        lines.append(
            f"{row['backend']:16s}{row['graph']:17s}{row.get('memory_format', ''):15s}{numbers}"
            f"{row['frames_per_second']:10.1f}{ratio}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", help="small, base or a bundle's folder (default: the best that is shipped)")
    parser.add_argument("--resolution", type=int, default=256, help="side in pixels (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=1, help="pictures a call of the network (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=2, help="Euler steps (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each library (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help=f"of {CALLS_PER_ROUND} calls (default: %(default)s)")
    parser.add_argument("--torch", action="store_true", help="measure PyTorch eager beside it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report")
    options = parser.parse_args(arguments)
    try:
        bundle = Bundle.load(options.bundle)
        report = measure(
            bundle,
            resolution=options.resolution,
            batch=options.batch,
            steps=options.steps,
            threads=options.threads,
            rounds=options.rounds,
            torch=options.torch,
        )
    except (InputError, MissingExtraError, ValueError, RuntimeError) as error:
        print(f"benchmarks.latency: {error}", file=sys.stderr)
        return 1
    print(format_rows(report["rows"]))
    if disturbed := [row for row in report["rows"] if row["disturbed"]]:
        print(f"{len(disturbed)} of {len(report['rows'])} rows disturbed by other work: quote neither times nor ratios")
    if options.json:
        write_json(options.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
