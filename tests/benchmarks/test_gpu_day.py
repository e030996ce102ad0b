"""The day on a GPU, rehearsed: what runs, what is kept when it is cut, what is said of what cannot run; and its packing."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
import zipfile
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest

from intrinsic_flow.backends.gpu import Gpu, find_gpu
from intrinsic_flow.benchmarks import gpu_day, gpu_pack, throughput
from intrinsic_flow.benchmarks.gpu_day import Outcome, Part, parts, run_day
from intrinsic_flow.benchmarks.timing import machine_limit
from intrinsic_flow.decomposition.bundle import Bundle, resolve_bundle
from intrinsic_flow.errors import InputError
from intrinsic_flow.export import candidates


@pytest.fixture
def bundle(exported_bundle: Path) -> Bundle:
    return Bundle.load(exported_bundle)


def part(name: str, *arguments: str, minutes: float = 1.0, on: str = "any", modules: tuple[str, ...] = ()) -> Part:
    """One that runs a line of Python in place of a benchmark, and reads back what that wrote."""

    def read(out: Path) -> list[tuple[str, str]]:
        return [("written", (out / "value").read_text())]

    return Part(name, f"shows {name}", "timeit", ("-n", "1", "-r", "1", *arguments), minutes, read, modules, on)


@pytest.fixture
def plain(monkeypatch):
    """`timeit` runs the parts' own statements: a program of the standard library, by its own name."""
    monkeypatch.setattr(gpu_day, "run_as", lambda module: module)
    monkeypatch.setattr(gpu_day, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(gpu_day, "RESERVE_SECONDS", 0.0)


def writes(text: str) -> str:
    return f"open('{{out}}/value', 'w').write('{text}')"


def test_each_part_is_written_down_as_soon_as_it_is_done(plain, bundle, tmp_path):
    day = [
        part("first", writes("one")),
        part("broken", "raise ValueError('no such kernel')"),
        part("slow", "import time; time.sleep(60)", minutes=0.5 / 60),
        part("absent", writes("x"), modules=("no_such_module",)),
        part("last", writes("two")),
    ]
    outcomes = run_day(tmp_path, day, bundle, minutes=1)
    assert [outcomes[p.name].status for p in day] == ["done", "failed", "cut", "not run", "done"]
    assert outcomes["broken"].why == "exit code 1: ValueError: no such kernel"
    assert outcomes["absent"].why == "not installed: no_such_module"
    page = (tmp_path / "gpu_day.md").read_text()
    assert "| first | written | one |" in page and "| last | written | two |" in page
    assert "| broken | shows broken | **failed**: exit code 1: ValueError: no such kernel |" in page
    state = json.loads((tmp_path / "gpu_day.json").read_text())
    assert {"part": "first", "what": "written", "measured": "one"} in state["rows"]


def test_the_same_command_goes_on_and_keeps_what_is_done(plain, bundle, tmp_path):
    day = [part("counted", "open('{out}/value', 'a').write('x')")]
    run_day(tmp_path, day, bundle, minutes=1)
    run_day(tmp_path, day, bundle, minutes=1)
    assert (tmp_path / "counted" / "value").read_text() == "x"
    run_day(tmp_path, day, bundle, minutes=1, again=True)
    assert (tmp_path / "counted" / "value").read_text() == "xx"
    # Without time, what an earlier run has stays.
    assert run_day(tmp_path, day, bundle, minutes=-1, again=True)["counted"].status == "done"


def test_without_time_or_without_a_gpu_nothing_starts(plain, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_day, "find_gpu", lambda: None)
    monkeypatch.setattr(gpu_day, "why_no_gpu", lambda: "no driver")
    outcomes = run_day(tmp_path, [part("a", writes("a"), on="gpu"), part("b", writes("b"))], bundle, minutes=-1)
    assert (outcomes["a"].status, outcomes["a"].why) == ("not run", "no GPU: no driver")
    assert (outcomes["b"].status, outcomes["b"].why) == ("not run", "no time left")
    assert not list(tmp_path.glob("*/value"))


@pytest.fixture
def in_this_process(monkeypatch):
    """Parts run here, where torch is loaded, and not each in a process of its own; their log is what they print. What
    latency asks of processes and of the machine's limits is tested with it (`test_latency.py`)."""
    monkeypatch.setattr("intrinsic_flow.benchmarks.timing.pytorch.runs_in_a_process_of_its_own", lambda *_: True)
    monkeypatch.setitem(machine_limit.SIDE, "cpu", 128)
    monkeypatch.setitem(machine_limit.COPY_BYTES, "cpu", 1 << 20)

    def run(command, out, seconds):
        arguments, begun = command[3:], time.monotonic()
        module = importlib.import_module(f"intrinsic_flow.{command[2].removeprefix('intrinsic_flow.')}")
        out.mkdir(parents=True, exist_ok=True)
        with (out / "log.txt").open("w") as log, redirect_stdout(log):
            code = module.main(arguments)
        return Outcome("failed" if code else "done", f"exit code {code}" if code else "", time.monotonic() - begun)

    monkeypatch.setattr(gpu_day, "_run", run)


@pytest.mark.parametrize("tiny", [False, True])
def test_training_starts_from_a_network_of_the_bundles_parts(tiny):
    """The shipped network's decoder sees the image, which its name alone does not say."""
    arguments = next(part for part in parts(resolve_bundle("small"), None, tiny) if part.name == "training").arguments
    assert "--decoder-image" in arguments
    assert arguments[arguments.index("--pretrained-encoder") + 1] == "none"


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU")
def test_a_whole_rehearsal_runs_what_a_cpu_can_and_says_why_the_rest_did_not(
    in_this_process, exported_bundle, tmp_path, capsys, monkeypatch
):
    # Where the CPU has BF16: whether that is near enough depends on the weights, and these are random.
    monkeypatch.setattr(candidates, "BF16_MIN_PSNR", 30.0)
    command = ["-o", str(tmp_path), "--bundle", str(exported_bundle), "--tiny", "--minutes", "20"]
    assert gpu_day.main(command) == 0
    state = json.loads((tmp_path / "gpu_day.json").read_text())
    assert list(state["parts"]) == [p.name for p in parts(exported_bundle, None, True)]
    ran = [name for name, outcome in state["parts"].items() if outcome["status"] == "done"]
    cpu = [f"{name}-cpu" for name in ("latency-1", "throughput", "video-64x48")]
    assert ran == ["parity", *cpu, "training"]
    for name, outcome in state["parts"].items():
        if name not in ran:
            assert outcome["status"] == "not run" and outcome["why"].startswith("no GPU: ")
            continue
        written = json.loads((tmp_path / name / "part.json").read_text())
        assert written["rows"] and (tmp_path / name / "part.md").read_text().count("|") > 6
        assert all(
            f"| {name} | {what} | {value} |" in (tmp_path / "gpu_day.md").read_text() for what, value in written["rows"]
        )
    page = (tmp_path / "gpu_day.md").read_text()
    assert page.startswith("# What ran on a machine without a GPU")
    # What a CPU reached is no answer to what a GPU should.
    assert page.count("| not measured |  |") == 4
    assert "decode by NVDEC | not run: " in page and "cuda-fp32 | not run: " in page
    capsys.readouterr()
    gpu_day.main([*command, "--table"])
    assert capsys.readouterr().out.strip() == page.strip()


def test_targets_are_met_or_not_by_what_a_gpus_backend_measured(bundle, tmp_path):
    def rows(name, file, *found):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(json.dumps({"rows": found}))

    network = {"graph": "network", "backend": "cuda", "batch": 1, "resolution": 256, "variants_ms": {}}
    network |= {"precision": "fp16", "p50_ms": 2.0, "variant": "default"}
    rows("latency-1-cuda", "latency.json", {**network, "compute_ms": 0.8}, {**network, "backend": "torch-eager"})
    speeds = [
        {"batch": n, "resolution": 256, "frames_per_second": n * 100, "backend": "cuda", "precision": "fp16"}
        for n in (1, 8)
    ]
    (tmp_path / "throughput-cuda").mkdir()
    report = {"rows": speeds, "ended": "batch 16: out of memory"}
    (tmp_path / "throughput-cuda" / "throughput.json").write_text(json.dumps(report))
    stages = [
        {"clip": "made", "stage": "pipeline", "frames_per_second": 61},
        {"clip": "made", "stage": "decode by NVDEC", "note": "none"},
    ]
    rows("video-1920x1080-cuda", "video.json", *stages)
    day = parts(bundle.folder, None, False)
    done = ("latency-1-cuda", "throughput-cuda", "video-1920x1080-cuda")
    page = gpu_day.write_day(tmp_path, day, {name: Outcome("done") for name in done}, bundle)
    assert "| network, batch 1, 256 pixels, on the GPU | at most 1 ms | 0.80 ms | yes |" in page
    assert "| network, batches at 256 pixels | at least 5000 pictures/s | 800.00 pictures/s | no |" in page
    assert "| 1080p on the GPU, no codecs | at least 172 frames/s | not measured |  |" in page
    assert "| 1080p, decoded, both layers encoded | at least 60 frames/s | 61.00 frames/s | yes |" in page
    assert "| made: decode by NVDEC | not run: none |" in page


def test_a_part_whose_library_does_not_serve_the_gpu_says_so(exported_bundle, monkeypatch):
    h100 = Gpu("NVIDIA H100", 90, (13, 0), 80 << 30)
    day = {p.name: p for p in parts(exported_bundle, None, False)}
    pytest.importorskip("tensorrt_rtx_bindings")
    assert gpu_day.why_not(day["engines-tensorrt-rtx"], h100).startswith(
        "compute capability 90, TensorRT for RTX serves 75, "
    )
    assert gpu_day.why_not(day["engines-tensorrt-rtx"], replace(h100, compute_capability=89)) == ""
    if importlib.util.find_spec("tensorrt") is None:
        assert gpu_day.why_not(day["throughput-tensorrt"], h100) == "not installed: tensorrt"


def test_without_av_openimageio_and_mitsuba_what_needs_them_says_so_and_the_rest_runs(exported_bundle, tmp_path):
    """As on a machine without a package index: each part in a process where they cannot be imported."""
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "real, gone = PathFinder.find_spec, {'av', 'OpenImageIO', 'mitsuba'}\n"
        "def find(name, *rest): return None if name.split('.')[0] in gone else real(name, *rest)\n"
        "PathFinder.find_spec = staticmethod(find)\n"
    )
    command = ["-o", str(tmp_path / "out"), "--bundle", str(exported_bundle), "--tiny", "--minutes", "5"]
    command += ["--only", "throughput-cpu", "video-64x48-cpu"]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_day", *command], capture_output=True, text=True, env=environment, cwd=root
    )
    page = (tmp_path / "out" / "gpu_day.md").read_text()
    assert done.returncode == 0, done.stderr
    assert "pictures/s at batch" in page and "**not run**: not installed: av" in page


def test_every_part_takes_arguments_that_its_program_has(exported_bundle):
    text = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    for day in (parts(exported_bundle, "shards", False), parts(exported_bundle, None, True)):
        assert len({p.name for p in day}) == len(day)
        for p in day:
            told = text.split(f"\n## {p.module}\n")[1].split("\n## ")[0]
            assert all(option in told for option in p.arguments if option.startswith("--"))
    if find_gpu() is None:
        free = [p.name for p in parts(exported_bundle, None, False) if not gpu_day.why_not(p, None)]
        assert free == ["parity"]


def test_a_record_that_is_none_and_an_unknown_part_are_named(exported_bundle, tmp_path, capsys):
    (tmp_path / "gpu_day.json").write_text("[]")
    assert gpu_day.main(["-o", str(tmp_path), "--bundle", str(exported_bundle)]) == 1
    assert str(tmp_path / "gpu_day.json") in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        gpu_day.main(["-o", str(tmp_path), "--bundle", str(exported_bundle), "--only", "luck"])
    assert ended.value.code == 2 and "found luck" in capsys.readouterr().err


def test_throughput_says_where_memory_ended(bundle, monkeypatch):
    real = throughput._row

    def row(engine, batch, *rest):
        if batch > 2:
            raise RuntimeError("CUDA failure 2: out of memory")
        return real(engine, batch, *rest)

    monkeypatch.setattr(throughput, "_row", row)
    report = throughput.measure(bundle, "cpu", resolution=32, seconds=0.01)
    assert [r["batch"] for r in report["rows"]] == [1, 2]
    assert report["ended"] == "batch 4: CUDA failure 2: out of memory"
    assert "No larger batch: batch 4" in throughput.markdown(report)


def test_a_pack_comes_back_whole_or_is_refused(tmp_path):
    shards = tmp_path / "shards"
    shards.mkdir()
    (shards / "train-00000.tar").write_bytes(bytes(range(256)) * 9000)
    (tmp_path / "weights").write_bytes(b"w")
    names = gpu_pack.pack(tmp_path / "out", [shards, tmp_path / "weights"], 1 << 20)
    assert names == ["pack.00", "pack.01", "pack.02"]
    assert max((tmp_path / "out" / name).stat().st_size for name in names) == 1 << 20
    assert gpu_pack.unpack(tmp_path / "out", tmp_path / "back") == ["shards", "weights"]
    assert (tmp_path / "back/shards/train-00000.tar").read_bytes() == (shards / "train-00000.tar").read_bytes()
    damaged = bytearray((tmp_path / "out/pack.01").read_bytes())
    damaged[7] ^= 1
    (tmp_path / "out/pack.01").write_bytes(damaged)
    (tmp_path / "out/pack.02").unlink()
    with pytest.raises(InputError, match=r"missing or damaged: pack\.01, pack\.02"):
        gpu_pack.unpack(tmp_path / "out", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_packed_wheels_can_be_imported_where_they_were_unpacked(tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "carried-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carried/__init__.py", "value = 7")
    assert gpu_pack.main(["-o", str(tmp_path / "out"), "--wheels", str(wheels)]) == 0
    assert gpu_pack.unpack(tmp_path / "out", tmp_path / "day") == ["wheels", "site"]
    program = [sys.executable, "-c", "import carried; print(carried.value)"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "day" / "site")}
    assert subprocess.run(program, capture_output=True, text=True, env=environment).stdout == "7\n"


def test_the_command_of_packing_refuses_what_is_not_there(tmp_path, capsys):
    assert gpu_pack.main(["-o", str(tmp_path / "out"), "--files", str(tmp_path / "none")]) == 1
    assert str(tmp_path / "none") in capsys.readouterr().err
    with pytest.raises(SystemExit):
        gpu_pack.main(["-o", str(tmp_path / "out")])
    assert sys.executable and "nothing to pack" in capsys.readouterr().err
