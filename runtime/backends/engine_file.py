"""Engine files: a TensorRT engine per graph, each beside a JSON sidecar that says what it was built from and runs on.

An engine that does not fit the GPU, the library or the weights fails late and unreadably, or gives the results of other
weights. So the sidecar is checked before an engine is deserialised. Nothing here needs TensorRT.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from intrinsic_flow.commands import call
from intrinsic_flow.decomposition.bundle import GRAPHS, PRECISIONS, WEIGHTS, Bundle, Precision, describe_file
from intrinsic_flow.errors import InputError
from intrinsic_flow.json_file import (
    SHA256,
    anything,
    flag,
    list_of,
    mapping,
    one_of,
    optional,
    read_json,
    record,
    text,
    whole,
)  # fmt: skip

FORMAT = "intrinsic-flow-engine"
VERSION = 1
ENGINES = "engines"
SUFFIX = ".plan"
SIDECAR_SUFFIX = ".plan.json"
# The merged loop is for ONNX Runtime: an engine loops over the step, for any number of steps.
ENGINE_GRAPHS = ("encoder", "velocity_step", "decoder", "low_shading", "upsampler", "vae_encoder")

Flavor = Literal["tensorrt", "rtx"]
FLAVORS: tuple[Flavor, ...] = ("tensorrt", "rtx")
Hardware = Literal["same", "list", "ampere_plus"]
HARDWARE: tuple[Hardware, ...] = ("same", "list", "ampere_plus")
LIBRARIES = {"tensorrt": "TensorRT", "rtx": "TensorRT for RTX"}
#: Modules that have a library's bindings, in the order in which they are tried, and the extra that brings them.
MODULES = {"tensorrt": ("tensorrt",), "rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings")}
EXTRAS = {"tensorrt": "tensorrt", "rtx": "rtx"}
AMPERE = 80


def graph_precision(graph: str, precision: Precision) -> Precision:
    """The precision in which a set of engines of `precision` computes a graph: the upsampler's is always FP32."""
    return "fp32" if graph == "upsampler" else precision


def engine_folder(bundle: Bundle, flavor: Flavor, precision: Precision, target: Sequence[int] | None) -> Path:
    """Where a bundle's engines lie by default: BUNDLE/engines/rtx-fp16-sm86-sm89, or -ampere_plus (target None)."""
    targets = "ampere_plus" if target is None else "-".join(f"sm{capability}" for capability in target)
    return bundle.folder / ENGINES / f"{flavor}-{precision}-{targets}"


def engine_folders(bundle: Bundle) -> list[Path]:
    """The folders with engines that lie in the bundle, in the order of their names."""
    return sorted({path.parent for path in (bundle.folder / ENGINES).glob(f"*/*{SIDECAR_SUFFIX}")})


def platform_name() -> str:
    """The operating system as sidecars name it: "linux", "win32", ... Engines of full TensorRT never cross it."""
    return sys.platform


@dataclass(frozen=True)
class EngineTensor:
    """An input or output of an engine. dtype: "float32" or "float16"."""

    name: str
    dtype: str
    is_input: bool


@dataclass(frozen=True)
class ShapeRange:
    """The shapes that an optimisation profile takes for one input; `opt` is the one it is tuned for."""

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]

    def contains(self, shape: Sequence[int]) -> bool:
        """Whether each side lies within the range."""
        return len(shape) == len(self.min) and all(
            low <= side <= high for low, side, high in zip(self.min, shape, self.max, strict=True)
        )


@dataclass(frozen=True)
class EngineSidecar:
    """What one engine was built from and what it runs on.

    graph: name in `bundle.GRAPHS`. onnx, onnx_sha256: the graph's file. weights_sha256: of model.safetensors,
    which holds the file's weights. precision: of this graph's file, "fp32" or "fp16". set_precision: of the engines that
    it was built with, where the upsampler is FP32 all the same. flavor: "tensorrt" or "rtx".
    version: the library's. compute_capabilities: 86, 120, ...; the GPU's own or, ahead of time, those that were asked
    for. gpu: its name, None when built ahead of time. hardware: "same" (this compute capability only), "list" (those
    listed), "ampere_plus" (80 and all above). version_compatible: later versions of the library run it too.
    options: the builder's (optimization_level, ...). tensors: inputs and outputs. profiles: for each optimisation
    profile the shapes of each input. plan_sha256, plan_bytes: the engine's file. platform: `sys.platform` it was built on.
    """

    graph: str
    onnx: str
    onnx_sha256: str
    weights_sha256: str
    precision: Precision
    set_precision: Precision
    flavor: Flavor
    version: str
    compute_capabilities: tuple[int, ...]
    gpu: str | None
    hardware: Hardware
    version_compatible: bool
    options: Mapping[str, Any]
    tensors: tuple[EngineTensor, ...]
    profiles: tuple[Mapping[str, ShapeRange], ...]
    plan_sha256: str
    plan_bytes: int
    platform: str
    path: Path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EngineSidecar:
        """Reads a sidecar (".plan.json") and checks its fields; the engine itself is not touched. Raises InputError."""
        path = Path(path)
        try:
            content = read_json(path, _SIDECAR, f"an engine's sidecar ({rebuild_command()})")
        except FileNotFoundError:
            raise InputError(path, "no file", f"an engine's sidecar ({rebuild_command()})") from None
        return _parse(content, path)

    @property
    def engine(self) -> Path:
        """The engine's file, beside the sidecar."""
        return self.path.with_name(f"{self.graph}{SUFFIX}")

    def to_dict(self) -> dict[str, Any]:
        """The sidecar's content."""
        fields = asdict(self)
        del fields["path"]
        return {"format": FORMAT, "version_of_format": VERSION, **fields}

    def to_json(self) -> str:
        """The sidecar's text: equal builds give equal bytes, there is no time and no path in it."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def check(
        self,
        bundle: Bundle,
        flavor: Flavor | None = None,
        version: str | None = None,
        compute_capability: int | None = None,
    ) -> list[str]:
        """What keeps this engine from being used, each a line with what was found, what is needed and what rebuilds it.

        bundle: the one that is about to run. flavor, version: of the library that is about to load the engine.
        compute_capability: of the GPU, e.g. 86. What is None is not compared. The engine's size is compared, its hash
        is not: `verify` does that. Empty when the engine fits.
        """
        problems: list[tuple[str, str]] = []
        files = bundle.manifest["files"]
        for file, digest in ((self.onnx, self.onnx_sha256), (WEIGHTS, self.weights_sha256)):
            current = files.get(file, {}).get("sha256")
            if current is None:
                problems.append((f"built from {file}", f"a graph of the bundle {bundle.name}, which has no such file"))
            elif current != digest:
                found = f"built from another {file} (sha256 {digest[:12]})"
                problems.append((found, f"the one of {bundle.folder} (sha256 {current[:12]})"))
        problems += self._library_problems(flavor, version)
        if compute_capability is not None and not self.runs_on(compute_capability):
            problems.append((f"built for {self.target()}", f"compute capability {compute_capability}"))
        if self.flavor == "tensorrt" and self.platform != platform_name():
            problems.append((f"built on {self.platform}", f"an engine built on {platform_name()}"))
        try:
            size = self.engine.stat().st_size
        except OSError:
            problems.append((f"no {self.engine.name} beside it", "the engine"))
        else:
            if size != self.plan_bytes:
                problems.append((f"{self.engine.name} of {size} bytes", f"{self.plan_bytes} bytes"))
        command = rebuild_command(bundle, flavor or self.flavor, self.set_precision, self.path.parent)
        return [str(InputError(self.path, found, f"{needed}; rebuild: {command}")) for found, needed in problems]

    def verify(self) -> None:
        """Hashes the engine. Raises InputError when it is not the one that this sidecar describes."""
        try:
            digest = describe_file(self.engine)["sha256"]
        except OSError as error:
            raise InputError(self.engine, f"{error.strerror}", "the engine that the sidecar describes") from error
        if digest != self.plan_sha256:
            raise InputError(self.engine, f"sha256 {digest}", f"sha256 {self.plan_sha256} as in {self.path.name}")

    def runs_on(self, compute_capability: int) -> bool:
        """Whether the engine runs on GPUs of this compute capability."""
        if self.hardware == "ampere_plus":
            return compute_capability >= AMPERE
        return compute_capability in self.compute_capabilities

    def target(self) -> str:
        """The GPUs that the engine runs on, in words."""
        if self.hardware == "ampere_plus":
            return f"compute capability {AMPERE} and above"
        return f"compute capability {', '.join(map(str, self.compute_capabilities))}"

    def _library_problems(self, flavor: Flavor | None, version: str | None) -> list[tuple[str, str]]:
        if flavor is not None and flavor != self.flavor:
            return [(f"an engine of {LIBRARIES[self.flavor]}", f"one of {LIBRARIES[flavor]}")]
        if version is None or version == self.version:
            return []
        if self.version_compatible and _version(version) >= _version(self.version):
            return []
        least = " or later" if self.version_compatible else ""
        return [(f"built with {LIBRARIES[self.flavor]} {self.version}{least}", f"an engine for {version}")]


def rebuild_command(
    bundle: Bundle | None = None, flavor: str | None = None, precision: str = "fp16", output: Path | None = None
) -> str:
    """The command that builds engines, with the options that are known."""
    parts = [*call("export.build_trt").split(), f"--{precision}"]
    if bundle is not None:
        parts += ["--bundle", os.fspath(bundle.folder)]
    if flavor is not None:
        parts += ["--flavor", flavor]
    if output is not None and (bundle is None or output.parent.resolve() != (bundle.folder / ENGINES).resolve()):
        parts += ["-o", os.fspath(output)]
    return shlex.join(parts)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))


_SHAPE = list_of(whole(1))
_SIDECAR = record(
    format=one_of(FORMAT),
    version_of_format=one_of(VERSION),
    graph=one_of(*GRAPHS),
    onnx=text(),
    onnx_sha256=SHA256,
    weights_sha256=SHA256,
    precision=one_of(*PRECISIONS),
    set_precision=one_of(*PRECISIONS),
    flavor=one_of(*FLAVORS),
    version=text(),
    compute_capabilities=list_of(whole(10), least=1),
    gpu=optional(text()),
    hardware=one_of(*HARDWARE),
    version_compatible=flag,
    options=mapping(text(), anything),
    tensors=list_of(record(name=text(), dtype=one_of("float32", "float16"), is_input=flag)),
    profiles=list_of(mapping(text(), record(min=_SHAPE, opt=_SHAPE, max=_SHAPE)), least=1),
    plan_sha256=SHA256,
    plan_bytes=whole(0),
    platform=text(),
)


def _parse(content: dict[str, Any], path: Path) -> EngineSidecar:
    """Raises InputError where fields that are right by themselves do not fit one another."""
    fields = dict(content)
    del fields["format"], fields["version_of_format"]
    if path.name != f"{fields['graph']}{SIDECAR_SUFFIX}":
        raise InputError(path, f"graph {fields['graph']!r}", "the graph that the file is named after")
    inputs = {tensor["name"] for tensor in fields["tensors"] if tensor["is_input"]}
    for profile in fields["profiles"]:
        if set(profile) != inputs or not all(map(_is_range, profile.values())):
            found = json.dumps(profile)[:200]
            raise InputError(path, f"profile {found}", f"growing min, opt and max shapes of {', '.join(sorted(inputs))}")
    fields["compute_capabilities"] = tuple(fields["compute_capabilities"])
    fields["tensors"] = tuple(EngineTensor(**tensor) for tensor in fields["tensors"])
    fields["profiles"] = tuple(
        {name: ShapeRange(**{key: tuple(shape) for key, shape in shapes.items()}) for name, shapes in profile.items()}
        for profile in fields["profiles"]
    )
    return EngineSidecar(**fields, path=path)


def _is_range(shapes: Mapping[str, list[int]]) -> bool:
    low, best, high = shapes["min"], shapes["opt"], shapes["max"]
    return len(low) == len(best) == len(high) and all(a <= b <= c for a, b, c in zip(low, best, high))
