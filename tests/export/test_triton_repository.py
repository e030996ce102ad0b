"""Triton's model repository: its configurations, its files, and what is refused.

The golden files are the config.pbtxt of `--bundle small`, of the engines made here, and of the loop in three steps; after a
wanted change, copy the new ones over them. `test_triton_serving.py` parses them with the server's schema.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import intrinsic_flow.export.triton_repository as triton_repository
from intrinsic_flow.backends.engine_file import EngineSidecar, EngineTensor, graph_precision, platform_name
from intrinsic_flow.decomposition.bundle import WEIGHTS, Bundle, graph_file
from intrinsic_flow.errors import InputError
from intrinsic_flow.export.triton_repository import MODELS, Options, main, write_repository
from intrinsic_flow.export.trt.profiles import Shapes, profiles

GOLDEN = Path(__file__).parent / "golden"
NEEDED = ("encoder", "velocity_step", "decoder", "low_shading", "upsampler")


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load("small")


@pytest.fixture
def engines(bundle, tmp_path):
    """A folder of engines of full TensorRT, as `export.build_trt` leaves it; the engines themselves are opaque bytes."""
    return write_engines(bundle, tmp_path / "engines")


def write_engines(bundle, folder, batch=(1, 1, 4), **changes):
    folder.mkdir()
    files = bundle.manifest["files"]
    for graph in NEEDED:
        own = graph_precision(graph, "fp16")
        spec, engine = bundle.spec(graph, own), f"engine of {graph}".encode()
        inputs = [EngineTensor(tensor.name, tensor.dtype, True) for tensor in spec.inputs]
        outputs = [EngineTensor(tensor.name, tensor.dtype, False) for tensor in spec.outputs]
        sidecar = EngineSidecar(
            graph=graph,
            onnx=graph_file(graph, own),
            onnx_sha256=files[graph_file(graph, own)]["sha256"],
            weights_sha256=files[WEIGHTS]["sha256"],
            precision=own,
            set_precision="fp16",
            flavor="tensorrt",
            version="10.13.0.35",
            compute_capabilities=(89,),
            gpu="NVIDIA GeForce RTX 4090",
            hardware="same",
            version_compatible=False,
            options={},
            tensors=(*inputs, *outputs),
            profiles=profiles(spec, Shapes(batch, (32, 256, 512))),
            plan_sha256=hashlib.sha256(engine).hexdigest(),
            plan_bytes=len(engine),
            platform=platform_name(),
            path=folder / f"{graph}.plan.json",
        )
        sidecar = dataclasses.replace(sidecar, **changes)
        sidecar.engine.write_bytes(engine)
        sidecar.path.write_text(sidecar.to_json())
    return folder


def configs(repository):
    return {path.parent.name: path.read_text() for path in repository.glob("*/config.pbtxt")}


def golden(name):
    return {path.stem: path.read_text() for path in (GOLDEN / name).glob("*.pbtxt")}


def files(repository):
    return {path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file()}


def test_configurations_of_onnx_graphs_are_the_golden_ones(bundle, tmp_path):
    write_repository(bundle, tmp_path / "out")
    assert configs(tmp_path / "out") == golden("onnx")


def test_configurations_of_engines_are_the_golden_ones(bundle, engines, tmp_path):
    write_repository(bundle, tmp_path / "out", engines=engines)
    assert configs(tmp_path / "out") == golden("engines")


def test_configuration_of_the_loop_in_three_steps_is_the_golden_one(bundle, tmp_path):
    options = Options(steps=3, max_batch=2, queue_delay=0, device="cpu", instances=2)
    write_repository(bundle, tmp_path / "out", precision="fp16", options=options)
    assert configs(tmp_path / "out") == golden("three_steps")


def test_only_models_whose_tensors_all_have_a_batch_get_one(bundle, tmp_path):
    made = {config.name: config.max_batch for config in write_repository(bundle, tmp_path / "out")}
    assert made == {"encoder": 8, "velocity_step": 0, "decoder": 8, "low_shading": 8, "upsampler": 0, "decompose": 8}


def test_graphs_lie_in_version_folders_beside_the_weights_that_they_name(bundle, tmp_path):
    repository = tmp_path / "out"
    write_repository(bundle, repository, options=Options(version=7))
    made = {name for name in files(repository) if not name.endswith("config.pbtxt") and "/warmup/" not in name}
    graphs = {f"{model}/7/model.onnx" for model in MODELS}
    assert made == graphs | {f"{model}/7/{WEIGHTS}" for model in MODELS if model not in ("low_shading", "upsampler")}
    for name in ("encoder", "upsampler"):
        assert (repository / name / "7/model.onnx").read_bytes() == bundle.path(name).read_bytes()


def test_weights_are_one_file_on_disk_where_links_are_possible_and_copies_elsewhere(bundle, tmp_path, monkeypatch):
    own = tmp_path / "bundle"
    shutil.copytree(bundle.folder, own)
    write_repository(Bundle.load(own), tmp_path / "linked")
    weights = tmp_path / "linked/encoder/1" / WEIGHTS
    assert (tmp_path / "linked/decoder/1" / WEIGHTS).samefile(weights)
    # onnx does not load graphs whose weights have another name elsewhere.
    assert not weights.samefile(own / WEIGHTS) and (own / WEIGHTS).stat().st_nlink == 1

    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    write_repository(Bundle.load(own), tmp_path / "copied")
    copy = tmp_path / "copied/encoder/1" / WEIGHTS
    assert not copy.is_symlink() and not copy.samefile(own / WEIGHTS)
    assert copy.read_bytes() == (own / WEIGHTS).read_bytes()


def test_the_bundle_behind_a_symbolic_link_gives_real_files(bundle, tmp_path):
    own = tmp_path / "bundle"
    own.mkdir()
    for path in bundle.folder.iterdir():
        (own / path.name).symlink_to(path)
    write_repository(Bundle.load(own), tmp_path / "out")
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_engines_are_served_with_all_their_profiles_and_the_loop_calls_them(bundle, engines, tmp_path):
    repository = tmp_path / "out"
    made = write_repository(bundle, repository, engines=engines)
    assert {config.backend for config in made if config.name != "decompose"} == {"tensorrt"}
    assert (repository / "decoder/1/model.plan").samefile(engines / "decoder.plan")
    assert (repository / "decompose/1/model.py").read_bytes() == triton_repository.LOOP_MODEL.read_bytes()
    assert 'profile: ["0", "1", "2", "3"]' in (repository / "upsampler/config.pbtxt").read_text()
    assert made[-1].max_batch == 4


def test_the_warm_up_steps_from_zero_and_upsamples_whole_images(bundle, engines, tmp_path):
    write_repository(bundle, tmp_path / "out", engines=engines, options=Options(steps=4))
    values = {path.name: np.fromfile(path, "<f4").tolist() for path in (tmp_path / "out").glob("*/warmup/*")}
    assert values["t"] == [0] and values["dt"] == [0.25]
    heights = {profile["image"].opt[2] for profile in EngineSidecar.load(engines / "upsampler.plan.json").profiles}
    assert {values[f"rows_{number}"][1] for number in range(4)} == heights


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"flavor": "rtx"},
            "engines of TensorRT for RTX, expected those of TensorRT, the server has no backend for others",
        ),
        ({"weights_sha256": "0" * 64}, "built from another model.safetensors"),
        ({"plan_sha256": "0" * 64}, "expected sha256 0000"),
        ({"plan_bytes": 3}, "expected 3 bytes"),
        ({"batch": (2, 2, 4)}, "batches from 2 on, expected batches from 1 on"),
        ({"platform": "elsewhere"}, "built on elsewhere"),
    ],
)
def test_engines_that_the_server_could_not_run_are_refused_in_one_line(bundle, tmp_path, capsys, changes, message):
    engines = write_engines(bundle, tmp_path / "engines", **changes)
    assert main(["-o", str(tmp_path / "out"), "--bundle", "small", "--engines", str(engines)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]
    assert {path.name for path in tmp_path.iterdir()} == {"engines"}


def test_engines_with_other_tensors_than_the_bundles_graphs_are_refused(bundle, engines, tmp_path):
    path = engines / "decoder.plan.json"
    sidecar = EngineSidecar.load(path)
    tensors = (*sidecar.tensors[:-1], EngineTensor("albedo", "float32", False))
    path.write_text(dataclasses.replace(sidecar, tensors=tensors).to_json())
    with pytest.raises(InputError, match=r"'albedo': 'float32'.*expected tensors .*'albedo': 'float16'"):
        write_repository(bundle, tmp_path / "out", engines=engines)


def test_engines_of_two_builds_are_refused(bundle, engines, tmp_path):
    path = engines / "decoder.plan.json"
    path.write_text(dataclasses.replace(EngineSidecar.load(path), version="10.12.0.36").to_json())
    with pytest.raises(InputError, match="engines of one build"):
        write_repository(bundle, tmp_path / "out", engines=engines)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max-batch", "5"], "engines for batches up to 4"),
        (["--fp32"], "engines in fp16, expected engines in fp32"),
        (["--device", "cpu"], "TensorRT engines for --device cpu"),
    ],
)
def test_options_that_engines_cannot_follow_are_refused(engines, tmp_path, capsys, flags, message):
    assert main(["-o", str(tmp_path / "out"), "--bundle", "small", "--engines", str(engines), *flags]) == 1
    assert message in capsys.readouterr().err


def test_folders_without_engines_or_bundle_are_refused(bundle, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for flags in (["--engines", str(tmp_path / "empty")], ["--engines", str(tmp_path / "no")], ["--bundle", str(tmp_path)]):
        assert main(["-o", str(tmp_path / "out"), *flags]) == 1
        assert re.fullmatch(r"export\.triton_repository: .+: found .+, expected .+\n", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_a_damaged_bundle_is_refused(bundle, tmp_path):
    own = tmp_path / "bundle"
    shutil.copytree(bundle.folder, own)
    data = bytearray((own / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (own / WEIGHTS).write_bytes(data)
    with pytest.raises(InputError, match="sha256"):
        write_repository(Bundle.load(own), tmp_path / "out")


@pytest.mark.parametrize(
    "flags", [["--max-batch", "0"], ["--resolution", "100"], ["--steps", "0"], ["--queue-delay", "-1"]]
)
def test_bad_options_are_refused(tmp_path, flags):
    with pytest.raises(SystemExit):
        main(["-o", str(tmp_path / "out"), *flags])


def test_a_repository_is_replaced_only_when_asked_and_as_a_whole(bundle, tmp_path):
    repository = tmp_path / "out"
    write_repository(bundle, repository)
    before = files(repository)
    with pytest.raises(InputError, match="--overwrite"):
        write_repository(bundle, repository, options=Options(version=2))
    assert files(repository) == before
    write_repository(bundle, repository, options=Options(version=2), overwrite=True)
    assert (repository / "encoder/2").is_dir() and not (repository / "encoder/1").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_other_folders_are_never_replaced(bundle, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="other files"):
        write_repository(bundle, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out/thesis.tex").read_text() == "years of work"


def test_a_failure_leaves_what_was_there(bundle, tmp_path, monkeypatch):
    repository = tmp_path / "out"
    write_repository(bundle, repository)
    before = files(repository)
    rename = os.rename

    def fail(source, target):
        if Path(target) == repository and "old" not in Path(source).name:
            raise OSError("disk full")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="disk full"):
        write_repository(bundle, repository, options=Options(version=2), overwrite=True)
    assert files(repository) == before
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_writing_needs_neither_torch_nor_onnx_nor_a_client():
    code = (
        "import sys, intrinsic_flow.export.triton_repository\n"
        "print({'torch', 'onnx', 'onnxruntime', 'google.protobuf', 'tritonclient'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
