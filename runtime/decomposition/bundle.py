"""The model bundle: a folder with ONNX graphs, one weights file and a manifest, and the description of its graphs.

`graph_specs` is the one description of every tensor (name, dtype, shape). Exporter, engine builder, runtime and parity
all read it, so that none of them can disagree about an interface.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from intrinsic_flow.commands import call
from intrinsic_flow.decomposition import hub
from intrinsic_flow.decomposition.exposure import ToneMap
from intrinsic_flow.decomposition.external_data import external_files
from intrinsic_flow.decomposition.guided_filter import GuidedFilter
from intrinsic_flow.decomposition.noise import TILE_SIDE, read_tile
from intrinsic_flow.errors import InputError
from intrinsic_flow.json_file import (
    anything,
    check_json,
    list_of,
    mapping,
    number,
    one_of,
    read_json,
    record,
    text,
    whole,
    write_json,
)

FORMAT = "intrinsic-flow-bundle"
VERSION = 2
MANIFEST = "bundle.json"
WEIGHTS = "model.safetensors"
NOISE = "noise.npy"
MODELS = Path(__file__).parents[1] / "models"
SHIPPED = ("base", "small")

SIDE_MULTIPLE = 32
LATENT_DOWNSCALE = 8
LATENT_CHANNELS = 12

Precision = Literal["fp32", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")
GRAPHS = ("encoder", "velocity_step", "decoder", "low_shading", "upsampler", "vae_encoder", "decompose_2step")
REQUIRED_GRAPHS = ("encoder", "velocity_step", "decoder", "low_shading", "upsampler", "vae_encoder")

_NOISE_ENTRY = {"file": NOISE, "dtype": "float16", "shape": [LATENT_CHANNELS, TILE_SIDE, TILE_SIDE]}
_DIMENSION = re.compile(r"(?:(\d+)\*)?([a-z_][a-z0-9_]*)")


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph.

    dtype: "float32" or "float16". shape: NCHW for images and features; each entry a fixed int, a symbol ("batch") or a
    multiple of a symbol ("32*h"). A symbol has one value throughout a graph.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def resolve(self, **sizes: int) -> tuple[int, ...]:
        """The concrete shape for the symbols' values, e.g. `resolve(batch=1, h=8, w=8)`. Raises KeyError."""
        return tuple(dim if isinstance(dim, int) else _factor(dim) * sizes[_symbol(dim)] for dim in self.shape)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols of the shape in order of appearance."""
        return tuple(dict.fromkeys(_symbol(dim) for dim in self.shape if isinstance(dim, str)))

    def to_dict(self) -> dict[str, Any]:
        """The manifest's entry."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}


@dataclass(frozen=True)
class GraphSpec:
    """A graph's interface. `name` is the file name without ".onnx" or ".fp16.onnx"."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.outputs)

    def to_dict(self) -> dict[str, Any]:
        """The manifest's entry under "graphs"."""
        return {
            "inputs": [spec.to_dict() for spec in self.inputs],
            "outputs": [spec.to_dict() for spec in self.outputs],
        }


def _parse(dim: str) -> tuple[int, str]:
    match = _DIMENSION.fullmatch(dim)
    if match is None:
        raise ValueError(f"dimension {dim!r}, expected a symbol or a multiple of one, like '32*h'")
    return int(match[1] or 1), match[2]


def _factor(dim: str) -> int:
    return _parse(dim)[0]


def _symbol(dim: str) -> str:
    return _parse(dim)[1]


@dataclass(frozen=True)
class NetworkInterface:
    """What of a network its graphs' tensors depend on.

    feature_channels: of the conditioning features at 1/8, 1/16 and 1/32 of the image. decoder_image: whether the decoder
    sees the image beside the latent. detail_channels: of the `detail` that goes to the upsampler beside the log-shading, 0
    for none.
    """

    feature_channels: tuple[int, int, int]
    decoder_image: bool = False
    detail_channels: int = 0

    @classmethod
    def of(cls, feature_channels: Sequence[int], config: Mapping[str, Any]) -> NetworkInterface:
        """config: the network's configuration, as a bundle's manifest holds it."""
        c8, c16, c32 = feature_channels
        return cls((c8, c16, c32), config.get("decoder_image", False), config.get("detail_channels", 0))


def graph_specs(network: NetworkInterface, precision: Precision = "fp32") -> dict[str, GraphSpec]:
    """Interfaces of a bundle's graphs, by graph name; docs/bundle-format.md says what the tensors hold.

    precision: "fp32" or "fp16"; in FP16 graphs images, features and albedo are float16, while z, t and dt stay float32.
    The upsampler is always float32 and has no FP16 file. low_shading takes the decoder's albedo as it is, float16 in the
    FP16 file, and computes in float32 from there on.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r}, expected one of {', '.join(PRECISIONS)}")
    dtype = "float32" if precision == "fp32" else "float16"
    c8, c16, c32 = network.feature_channels

    def picture(name: str) -> TensorSpec:
        return TensorSpec(name, dtype, ("batch", 3, "32*h", "32*w"))

    def latent(name: str) -> TensorSpec:
        return TensorSpec(name, "float32", ("batch", LATENT_CHANNELS, "4*h", "4*w"))

    def low(name: str, channels: int = 3) -> TensorSpec:
        return TensorSpec(name, "float32", ("batch", channels, "low_h", "low_w"))

    def full(name: str) -> TensorSpec:
        return TensorSpec(name, "float32", ("batch", 3, "full_h", "full_w"))

    features = (
        TensorSpec("feature_8", dtype, ("batch", c8, "4*h", "4*w")),
        TensorSpec("feature_16", dtype, ("batch", c16, "2*h", "2*w")),
        TensorSpec("feature_32", dtype, ("batch", c32, "h", "w")),
    )
    time = (TensorSpec("t", "float32", (1,)), TensorSpec("dt", "float32", (1,)))
    seen = (picture("image"),) if network.decoder_image else ()
    detail = (low("detail", network.detail_channels),) if network.detail_channels else ()
    maps = (low("log_shading"), *detail)
    graphs = [
        GraphSpec("encoder", (picture("image"),), features),
        GraphSpec("velocity_step", (latent("z"), *time, *features), (latent("z_next"),)),
        GraphSpec("decoder", (latent("z"), *seen), (picture("albedo"),)),
        GraphSpec("low_shading", (picture("albedo"), low("guide")), maps),
        GraphSpec("vae_encoder", (picture("albedo"),), (latent("z"),)),
        GraphSpec("decompose_2step", (picture("image"), latent("z")), (picture("albedo"),)),
    ]
    if precision == "fp32":
        rows = TensorSpec("rows", "float32", (2,))
        graphs.append(GraphSpec("upsampler", (*maps, low("guide"), full("image"), rows), (full("shading"),)))
    return {graph.name: graph for graph in graphs}


def graph_file(graph: str, precision: Precision = "fp32") -> str:
    """File name of a graph in a bundle: "encoder.onnx", "encoder.fp16.onnx". The upsampler has only the first."""
    if graph not in GRAPHS:
        raise ValueError(f"graph {graph!r}, expected one of {', '.join(GRAPHS)}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r}, expected one of {', '.join(PRECISIONS)}")
    if precision == "fp32":
        return f"{graph}.onnx"
    if graph == "upsampler":
        raise ValueError("the upsampler computes in FP32 only")
    return f"{graph}.fp16.onnx"


def all_graph_specs(network: NetworkInterface) -> dict[str, GraphSpec]:
    """Interfaces of every graph file a complete bundle holds, by file name."""
    return {
        graph_file(name, precision): spec
        for precision in PRECISIONS
        for name, spec in graph_specs(network, precision).items()
    }


def describe_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The manifest's entry of a file: {"sha256": hex digest, "bytes": size}."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "bytes": os.path.getsize(path)}


def write_manifest(
    folder: str | os.PathLike[str],
    *,
    name: str,
    config: Mapping[str, Any],
    feature_channels: tuple[int, int, int],
    latent_mean: list[float],
    latent_std: list[float],
    tone_map: ToneMap,
    opset: int,
    source: Mapping[str, Any],
    verification: Mapping[str, Any],
    steps: int = 2,
    upsampler: GuidedFilter | None = None,
) -> Path:
    """Writes bundle.json for the graphs, weights and start noise that lie in `folder`; returns its path.

    upsampler: what the upsampler graph computes, None for something else. Hashes weights, noise and every graph file of
    `all_graph_specs` that is there, and describes those graphs. What `Bundle.load` would refuse is refused here
    (ValueError, InputError), and no manifest is left.
    """
    folder = Path(folder)
    described = all_graph_specs(NetworkInterface.of(feature_channels, config))
    specs = {file: spec for file, spec in described.items() if (folder / file).is_file()}
    files = sorted([*specs, *(file for file in (WEIGHTS, NOISE) if (folder / file).is_file())])
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "config": dict(config),
        "latent_channels": LATENT_CHANNELS,
        "latent_downscale": LATENT_DOWNSCALE,
        "side_multiple": SIDE_MULTIPLE,
        "feature_channels": list(feature_channels),
        "latent": {"mean": [float(x) for x in latent_mean], "std": [float(x) for x in latent_std]},
        "tone_map": tone_map.to_dict(),
        "steps": steps,
        **({"upsampler": upsampler.to_dict()} if upsampler else {}),
        "noise": _NOISE_ENTRY,
        "opset": opset,
        "graphs": {file: specs[file].to_dict() for file in sorted(specs)},
        "source": dict(source),
        "verification": dict(verification),
        "files": {file: describe_file(folder / file) for file in files},
    }
    _check_manifest(manifest, folder / MANIFEST)
    write_json(folder / MANIFEST, manifest)
    return folder / MANIFEST


_KIND = "the manifest of a model bundle"
_STATISTICS = {"mean": list_of(number(), length=LATENT_CHANNELS), "std": list_of(number(1e-6), length=LATENT_CHANNELS)}
_VERSIONED = record(others=True, format=one_of(FORMAT), version=whole(1))
_MANIFEST = record(
    others=True,
    name=text(),
    latent_channels=one_of(LATENT_CHANNELS),
    latent_downscale=one_of(LATENT_DOWNSCALE),
    side_multiple=one_of(SIDE_MULTIPLE),
    feature_channels=list_of(whole(1, 1 << 16), length=3),
    steps=whole(1, 1000),
    config=mapping(text(), anything),
    noise=one_of(_NOISE_ENTRY),
    latent=record(others=True, **_STATISTICS),
    tone_map=mapping(text(), number()),
    files=mapping(
        text(r"(?!\.\.?$)[^/\\:]+", "a plain name inside the bundle"), record(others=True, sha256=text(), bytes=whole(0))
    ),
    graphs=mapping(text(), anything),
)


def _check_manifest(manifest: Any, path: Path) -> None:
    """Raises InputError when the manifest is not one that this version reads."""

    def require(condition: bool, found: object, expected: str) -> None:
        if not condition:
            raise InputError(path, str(found), expected)

    check_json(path, manifest, _VERSIONED, _KIND)
    version, folder = manifest["version"], path.parent
    rebuild = f"; rebuild: {call('export.build_onnx')} {folder} -o {folder}" if version == 1 else ""
    require(version == VERSION, f"version {version!r}", f"version {VERSION}{rebuild}")
    check_json(path, manifest, _MANIFEST, _KIND)
    network = NetworkInterface.of(manifest["feature_channels"], manifest["config"])
    seen, detail = network.decoder_image, network.detail_channels
    require(isinstance(seen, bool), f"decoder_image {seen!r}", "true or false")
    require(type(detail) is int and 0 <= detail < 1 << 16, f"detail_channels {detail!r}", "0 or a positive integer")
    try:
        ToneMap.from_dict(manifest["tone_map"])
    except ValueError as error:
        raise InputError(path, f"tone_map with {error}", "the constants of exposure.ToneMap") from error
    if "upsampler" in manifest:
        check_json(path, manifest["upsampler"], mapping(text(), number()), _KIND)
        try:
            GuidedFilter.from_dict(manifest["upsampler"])
        except ValueError as error:
            raise InputError(path, f"upsampler with {error}", "the constants of guided_filter.GuidedFilter") from error
    files, graphs = manifest["files"], manifest["graphs"]
    require(NOISE in files, f"no file {NOISE}", "the start noise with sha256 and bytes")
    for graph in REQUIRED_GRAPHS:
        require(graph_file(graph) in graphs, f"no graph {graph_file(graph)}", f"graphs {', '.join(REQUIRED_GRAPHS)}")
    specs = all_graph_specs(network)
    for file, interface in graphs.items():
        require(file in specs, f"graph {file!r}", f"graphs among {', '.join(sorted(specs))}")
        require(file in files, f"graph {file} without an entry in files", "an entry with sha256 and bytes")
        require(interface == specs[file].to_dict(), f"{file} with another interface", "the interface of this version")


@dataclass(frozen=True)
class Bundle:
    """A checked bundle. Build one with `Bundle.load`; `manifest` is the parsed bundle.json."""

    folder: Path
    manifest: Mapping[str, Any]

    @classmethod
    def load(cls, bundle: str | os.PathLike[str] | None = None, *, verify: bool = False) -> Bundle:
        """Opens "small", "base", a folder, "hf:owner/name@revision", or (None) the best shipped bundle.

        Checks the manifest, every graph's interface as it states it, and that all files are there in their full size;
        `verify` hashes them too; those from the hub, and those that are links, are always hashed: a link could make any
        file of the machine part of a result. Raises InputError.
        """
        verify = verify or (isinstance(bundle, str) and bundle.startswith(hub.PREFIX))
        folder = resolve_bundle(bundle)
        manifest = checked_manifest(folder)
        for file, entry in manifest["files"].items():
            try:
                size = (folder / file).stat().st_size
            except OSError:
                raise InputError(folder / file, "no file", "the file that the bundle's manifest lists") from None
            if size != entry["bytes"]:
                raise InputError(folder / file, f"{size} bytes", f"{entry['bytes']} bytes as in {MANIFEST}")
        loaded = cls(folder, manifest)
        for file in manifest["files"]:
            if verify or (folder / file).is_symlink():
                loaded._verify_file(file)
        return loaded

    def verify(self) -> None:
        """Hashes every file. Raises InputError on the first whose SHA-256 is not the manifest's."""
        for file in self.manifest["files"]:
            self._verify_file(file)

    def _verify_file(self, file: str) -> None:
        digest, expected = describe_file(self.folder / file)["sha256"], self.manifest["files"][file]["sha256"]
        if digest != expected:
            raise InputError(self.folder / file, f"sha256 {digest}", f"sha256 {expected}")

    def has(self, graph: str, precision: Precision = "fp32") -> bool:
        """Whether the bundle holds this graph in this precision."""
        return graph_file(graph, precision) in self.manifest["graphs"]

    def path(self, graph: str, precision: Precision = "fp32") -> Path:
        """Path of a graph's file, all of whose external data are files of the bundle. Raises InputError where the bundle
        lacks it or the graph reads others."""
        file = graph_file(graph, precision)
        if file not in self.manifest["graphs"]:
            raise InputError(self.folder, f"no {file}", f"a bundle with {file} ({call('export.build_onnx')})")
        path = self.folder / file
        if file not in self._sound:
            for location in sorted(external_files(path)):
                if location not in self.manifest["files"]:
                    raise InputError(path, f"external data in {location!r}", f"a file that {MANIFEST} lists")
            self._sound.add(file)
        return path

    @cached_property
    def _sound(self) -> set[str]:
        """Graphs whose external data was looked at."""
        return set()

    def spec(self, graph: str, precision: Precision = "fp32") -> GraphSpec:
        """Interface of a graph."""
        return graph_specs(self.network, precision)[graph]

    @property
    def name(self) -> str:
        return self.manifest["name"]

    @property
    def feature_channels(self) -> tuple[int, int, int]:
        return tuple(self.manifest["feature_channels"])

    @property
    def network(self) -> NetworkInterface:
        """What the graphs' tensors depend on."""
        return NetworkInterface.of(self.feature_channels, self.manifest["config"])

    @cached_property
    def noise(self) -> np.ndarray:
        """The tile that start noise is cut from (`decomposition.noise`), (12, 64, 64) float32. Raises InputError."""
        return read_tile(self.folder / NOISE, LATENT_CHANNELS)

    @property
    def steps(self) -> int:
        """Euler steps the model was made for."""
        return self.manifest["steps"]

    @cached_property
    def guided_filter(self) -> GuidedFilter | None:
        """What the upsampler graph computes, where the manifest says so and the graph sees nothing else."""
        constants = self.manifest.get("upsampler")
        return None if constants is None or self.network.detail_channels else GuidedFilter.from_dict(constants)

    @property
    def tone_map(self) -> ToneMap:
        return ToneMap.from_dict(self.manifest["tone_map"])


def checked_manifest(folder: Path) -> dict[str, Any]:
    """The folder's bundle.json, checked; whether its files are there is not. Raises InputError."""
    manifest = read_manifest(folder)
    _check_manifest(manifest, folder / MANIFEST)
    return manifest


def read_manifest(folder: Path) -> Any:
    """What the folder's bundle.json holds, unchecked. Raises InputError where it cannot be read."""
    path = folder / MANIFEST
    try:
        return read_json(path, anything, _KIND)
    except FileNotFoundError:
        raise InputError(folder, f"no {MANIFEST}", f"a model bundle ({call('export.build_onnx')})") from None


def resolve_bundle(bundle: str | os.PathLike[str] | None = None) -> Path:
    """Folder of a bundle: "small" for the shipped one, "hf:owner/name@revision" for one on the Hugging Face Hub
    (`decomposition.hub`), any other value is a path, None the best shipped.

    Raises InputError when there is no such folder, MissingExtraError without the hub's library.
    """
    if isinstance(bundle, str) and bundle.startswith(hub.PREFIX):
        return hub.fetch(bundle, MANIFEST, lambda folder: checked_manifest(folder)["files"])
    if bundle is None:
        for name in SHIPPED:
            if (MODELS / name / MANIFEST).is_file():
                return MODELS / name
        raise InputError(MODELS, "no shipped bundle", "a bundle in it, or the path of one")
    folder = MODELS / bundle if isinstance(bundle, str) and bundle in SHIPPED else Path(bundle)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        there = " or ".join(name for name in SHIPPED if (MODELS / name / MANIFEST).is_file())
        raise InputError(folder, found, f"a bundle's folder, or the name of one that is shipped ({there})")
    return folder
