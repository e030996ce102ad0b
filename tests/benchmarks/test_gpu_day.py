"""The day on a GPU, rehearsed: what runs, what is kept when it is cut, what is said of what cannot run; and its packing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from intrinsic_flow.backends.gpu import find_gpu
from intrinsic_flow.benchmarks import gpu_day, gpu_pack, throughput
from intrinsic_flow.benchmarks.gpu_day import Part, parts, run_day
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.errors import InputError


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


def test_a_rehearsal_measures_on_this_machine(exported_bundle, tmp_path, capsys):
    command = ["-o", str(tmp_path), "--bundle", str(exported_bundle), "--tiny", "--minutes", "5", "--only", "throughput"]
    assert gpu_day.main(command) == 0
    assert "pictures/s at batch" in (tmp_path / "gpu_day.md").read_text()
    rows = json.loads((tmp_path / "throughput" / "throughput.json").read_text())["rows"]
    assert [row["batch"] for row in rows] == [1, 2] and all(row["frames_per_second"] > 0 for row in rows)
    capsys.readouterr()
    assert gpu_day.main(["-o", str(tmp_path), "--bundle", str(exported_bundle), "--tiny", "--table"]) == 0
    assert "| parity | graphs against PyTorch in FP32 | **not run**: not reached |" in capsys.readouterr().out


@pytest.mark.slow
def test_a_whole_rehearsal_has_every_part(exported_bundle, tmp_path):
    assert gpu_day.main(["-o", str(tmp_path), "--bundle", str(exported_bundle), "--tiny", "--minutes", "20"]) == 0
    state = json.loads((tmp_path / "gpu_day.json").read_text())
    assert {outcome["status"] for outcome in state["parts"].values()} == {"done"}


def test_every_part_takes_arguments_that_its_program_has(exported_bundle):
    text = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    for day in (parts(exported_bundle, "shards", False), parts(exported_bundle, None, True)):
        assert len({p.name for p in day}) == len(day) == 9
        for p in day:
            told = text.split(f"\n## {p.module}\n")[1].split("\n## ")[0]
            assert all(option in told for option in p.arguments if option.startswith("--"))
    if find_gpu() is None:
        assert [p.name for p in parts(exported_bundle, None, False) if p.on == "any"] == ["parity"]


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


def test_the_command_of_packing_refuses_what_is_not_there(tmp_path, capsys):
    assert gpu_pack.main(["-o", str(tmp_path / "out"), "--files", str(tmp_path / "none")]) == 1
    assert str(tmp_path / "none") in capsys.readouterr().err
    with pytest.raises(SystemExit):
        gpu_pack.main(["-o", str(tmp_path / "out")])
    assert sys.executable and "nothing to pack" in capsys.readouterr().err
