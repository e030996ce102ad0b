"""Self-contained graphs: one image in, one layer out, weights, exposure and start noise inside. For any ONNX loader.

`albedo` and `shading` are the network at the image's own size. `full_albedo` and `full_shading` are the whole way of
`runtime.decompose`: shrink, network, guided upsampler, product. FP16 graphs take and give float32 too.

They are joined from a bundle's graphs and written for loaders that know few operators: no sort, no comparison, no shape
that depends on data. Static sizes leave plain constants where shapes were.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from intrinsic_flow.decomposition.bundle import LATENT_DOWNSCALE, PRECISIONS, SIDE_MULTIPLE, Bundle, Precision
from intrinsic_flow.decomposition.decomposer import DEFAULT_RESOLUTION, Decomposer
from intrinsic_flow.decomposition.exposure import ToneMap, exposure_gain
from intrinsic_flow.decomposition.noise import cut
from intrinsic_flow.decomposition.upsampling import expose, to_nchw, unexposed
from intrinsic_flow.decomposition.working_size import pad, working_size
from intrinsic_flow.errors import InputError
from intrinsic_flow.export.candidates import FP16_MIN_PSNR
from intrinsic_flow.export.cases import procedural_case
from intrinsic_flow.export.graphs.join import JoinedGraph
from intrinsic_flow.export.graphs.onnx_graph import save_graph
from intrinsic_flow.export.verify import VerificationError
from intrinsic_flow.media.color import REC709_LUMINANCE

Layer = Literal["albedo", "shading"]
Size = tuple[int, int]
LAYERS: tuple[Layer, ...] = ("albedo", "shading")

#: Largest side of the dynamic graphs: so much start noise they hold.
LARGEST_SIDE = 1024
# The dynamic graphs are checked at this size.
_EXAMPLE = (256, 384)
_BLACK = 1e-12
# In small pictures two neighbouring pixels, between which the runtime's percentile lies, differ by this much.
_FP32_MAX_ERROR = 1e-3
# What rounding leaves of an albedo counts for more where a shading comes from dividing by it.
_FP16_SHADING_MIN_PSNR = FP16_MIN_PSNR - 10
# Of an interval of some forty nepers: what remains is below a float32's own resolution of a logarithm.
_HALVINGS = 28


class _Graph(JoinedGraph):
    """With the operators that these graphs are made of."""

    def clip(self, x: str, low: float | None = None, high: float | None = None) -> str:
        return self.op("Clip", x, *("" if bound is None else self.constant(bound) for bound in (low, high)))

    def above(self, x: str, level: str) -> str:
        """1 where x is larger, 0 elsewhere."""
        return self.clip(self.op("Mul", self.op("Sub", x, level), self.constant(1e30)), 0, 1)


def build_single(
    bundle: Bundle, folder: Path, *, sizes: Sequence[Size] = (), full_sizes: Sequence[Size] = ()
) -> list[Path]:
    """Writes the graphs of both layers in both precisions to `folder`; returns their paths.

    Always the dynamic `albedo` and `shading`; for each of `sizes` (height, width; multiples of 32) their static ones,
    `albedo_256x384.onnx`; for each of `full_sizes` the full-resolution ones, `full_albedo_1080x1920.onnx`. Each is
    compared with the runtime before it appears. Raises InputError, VerificationError.
    """
    for height, width in sizes:
        if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE or not 0 < max(height, width) <= LARGEST_SIDE:
            found, most = f"--sizes {height}x{width}", LARGEST_SIDE
            raise InputError(folder, found, f"sides that are multiples of {SIDE_MULTIPLE}, at most {most} (or --full)")
    folder.mkdir(parents=True, exist_ok=True)
    wanted: list[tuple[str, Size | None, bool]] = [("", size, False) for size in (None, *sizes)]
    wanted += [("full_", size, True) for size in full_sizes]
    written = []
    with Decomposer.load(bundle, backend="cpu") as runtime:
        for prefix, size, full in wanted:
            picture, expected = expected_layers(runtime, size or _EXAMPLE, full)
            for layer, precision in itertools.product(LAYERS, PRECISIONS):
                sides = "" if size is None else f"_{size[0]}x{size[1]}"
                path = folder / f"{prefix}{layer}{sides}{'.fp16' if precision == 'fp16' else ''}.onnx"
                model = single_graph(bundle, layer, size, full, precision)
                _verify(path.name, model, picture, expected[layer], precision)
                save_graph(model, path)
                written.append(path)
    return written


def single_graph(bundle: Bundle, layer: Layer, size: Size | None, full: bool, precision: Precision) -> onnx.ModelProto:
    """The graph image (1, 3, H, W) -> layer (1, 3, H, W), float32, linear Rec.709, any scale.

    size: (H, W), None for any multiples of 32. full: see the module; wants a size.
    """
    graph = _Graph(layer)
    light = graph.clip("image", 0)
    low, padded, seen_size = light, None, size
    if full:
        assert size is not None
        work = working_size(*size, DEFAULT_RESOLUTION)
        rows, columns = resampling(size[0], work.height), resampling(size[1], work.width)
        low = graph.op("MatMul", graph.op("MatMul", graph.constant(rows), light), graph.constant(columns.T))
        padded, seen_size = work, (work.padded_height, work.padded_width)
    gain = _exposure_gain(graph, low, bundle.tone_map)
    guide = graph.op("Mul", low, gain)
    seen = graph.clip(guide, None, 1)
    if padded is not None:
        for axis, side, length in ((2, padded.height, padded.padded_height), (3, padded.width, padded.padded_width)):
            if length > side:
                index = [pixel if pixel < side else 2 * side - 2 - pixel for pixel in range(length)]
                seen = graph.op("Gather", seen, graph.constant(index, np.int64), axis=axis)
    if precision == "fp16":
        seen = graph.op("Cast", seen, to=TensorProto.FLOAT16)
    noise = _start_noise(graph, bundle.noise, seen_size)
    (albedo,) = graph.append(_part(bundle, "decompose_2step", precision), {"image": seen, "z": noise})
    if not full and layer == "albedo":
        result = graph.op("Cast", albedo, to=TensorProto.FLOAT) if precision == "fp16" else albedo
    else:
        low_shading = _part(bundle, "low_shading", precision)
        maps = graph.append(low_shading, {"albedo": albedo, "guide": guide})
        if full:
            result = _full_layer(graph, bundle, layer, maps, guide, light, gain, size)
        else:
            result = graph.op("Div", graph.op("Exp", maps[0]), gain)
    last = graph.proto.node[-1]
    assert list(last.output) == [result]
    last.output[0] = layer
    sides = size or (f"{SIDE_MULTIPLE}*h", f"{SIDE_MULTIPLE}*w")
    for values, name in ((graph.proto.input, "image"), (graph.proto.output, layer)):
        values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, *sides)))
    return _folded(graph.proto, bundle)


def _full_layer(
    graph: _Graph, bundle: Bundle, layer: Layer, maps: list[str], guide: str, light: str, gain: str, size: Size | None
) -> str:
    """Upsampler and product, see `decomposition.product`. Negative light ends as 0 here, so as albedo too."""
    assert size is not None
    names = [tensor.name for tensor in bundle.spec("low_shading").outputs]
    inputs = dict(zip(names, maps, strict=True))
    inputs |= {"guide": guide, "image": graph.op("Mul", light, gain), "rows": graph.constant([0, size[0]])}
    (shading,) = graph.append(_part(bundle, "upsampler", "fp32"), inputs)
    shading = graph.op("Max", graph.op("Div", shading, gain), light)
    return shading if layer == "shading" else graph.op("Div", light, shading)


def _exposure_gain(graph: _Graph, image: str, rule: ToneMap) -> str:
    """`intrinsic_flow.decomposition.exposure.exposure_gain` without a sort: (1, 1, 1, 1).

    A percentile is where the right share of the pixels lies above, found by halving an interval of log-luminance. Of two
    neighbouring pixels it takes the brighter one, where the runtime interpolates: 5e-5 of the gain at 64x96 pixels.
    """
    light = graph.op("Conv", image, graph.constant(REC709_LUMINANCE[None, :, None, None]))
    light = graph.op("Log", graph.clip(light, _BLACK))
    brightest, darkest = graph.op("GlobalMaxPool", light), math.log(_BLACK)

    def share_above(level: str) -> str:
        return graph.op("GlobalAveragePool", graph.above(light, level))

    def level(share: str) -> str:
        low, high, half = graph.constant([[[[darkest]]]]), brightest, graph.constant(0.5)
        for _ in range(_HALVINGS):
            middle = graph.op("Mul", graph.op("Add", low, high), half)
            more = graph.above(share_above(middle), share)
            raised = graph.op("Mul", more, graph.op("Sub", middle, low))
            lowered = graph.op("Mul", graph.op("Sub", graph.constant(1), more), graph.op("Sub", high, middle))
            low, high = graph.op("Add", low, raised), graph.op("Sub", high, lowered)
        return high

    reference = level(graph.constant(1 - rule.reference_percentile / 100))
    lit = share_above(graph.op("Add", reference, graph.constant(math.log(max(rule.dark_fraction, _BLACK)))))
    percentile = level(graph.op("Mul", lit, graph.constant(1 - rule.percentile / 100)))
    gain = graph.op("Exp", graph.op("Sub", graph.constant(math.log(rule.target)), percentile))
    gain = graph.clip(gain, rule.min_gain, rule.max_gain)
    # 1 for a black image.
    seen, one = graph.above(brightest, graph.constant(darkest + 1e-3)), graph.constant(1)
    return graph.op("Add", one, graph.op("Mul", seen, graph.op("Sub", gain, one)))


def _start_noise(graph: _Graph, tile: np.ndarray, size: Size | None) -> str:
    """Of seed 0, (1, 12, H / 8, W / 8)."""
    if size is not None:
        return graph.constant(cut(tile, *(side // LATENT_DOWNSCALE for side in size)))
    most = LARGEST_SIDE // LATENT_DOWNSCALE
    noise = graph.constant(cut(tile, most, most))
    sides = graph.op("Slice", graph.op("Shape", "image"), *(graph.constant([end], np.int64) for end in (2, 4)))
    ends = graph.op("Div", sides, graph.constant([LATENT_DOWNSCALE] * 2, np.int64))
    return graph.op("Slice", noise, graph.constant([0, 0], np.int64), ends, graph.constant([2, 3], np.int64))


def resampling(whole: int, part: int) -> np.ndarray:
    """(part, whole) float32: averages over areas where a side shrinks, linear interpolation where it grows; as
    `working_size.resize`, along one side."""
    edges, pixel = np.arange(part + 1) * (whole / part), np.arange(whole)
    if part <= whole:
        overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
        return (overlap.clip(min=0) * (part / whole)).astype(np.float32)
    center = ((edges[:-1] + edges[1:]) / 2 - 0.5).clip(0, whole - 1)
    return (1 - np.abs(center[:, None] - pixel)).clip(min=0).astype(np.float32)


def _part(bundle: Bundle, name: str, precision: Precision) -> onnx.GraphProto:
    """A bundle's graph with its weights inside, without the shapes that it states."""
    return onnx.load(bundle.path(name, precision)).graph


def _folded(graph: onnx.GraphProto, bundle: Bundle) -> onnx.ModelProto:
    """What follows from constants is computed, and of the sets of operators only ONNX's own is left."""
    opset = bundle.manifest["opset"]
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        folded = onnx.load(options.optimized_model_filepath)
    used = {"ai.onnx" if node.domain == "" else node.domain for node in folded.graph.node}
    kept = [entry for entry in folded.opset_import if (entry.domain or "ai.onnx") in used]
    del folded.opset_import[:]
    folded.opset_import.extend(kept)
    folded.producer_name, folded.producer_version = "intrinsic-flow", ""
    return folded


def expected_layers(runtime: Decomposer, size: Size, full: bool) -> tuple[np.ndarray, dict[Layer, np.ndarray]]:
    """A picture (1, 3, H, W) float32 in a scale of its own, and what the runtime makes of it. size: (H, W)."""
    square = procedural_case().image[0].numpy().transpose(1, 2, 0)
    rows, columns = (np.arange(side) * square.shape[0] // side for side in size)
    image = np.ascontiguousarray(square[rows][:, columns]) * np.float32(3)
    if full:
        result = runtime.decompose(image)
        return to_nchw(image), {"albedo": to_nchw(result.albedo), "shading": to_nchw(result.shading)}
    gain = exposure_gain(image, runtime.bundle.tone_map)
    guide, noise = expose(image, gain), cut(runtime.bundle.noise, *(side // LATENT_DOWNSCALE for side in size))
    assert pad(image) is image
    albedo = runtime.backend.network(guide.clip(0, 1), noise, runtime.bundle.steps)
    maps = runtime.backend.run("low_shading", {"albedo": albedo, "guide": guide})
    return to_nchw(image), {"albedo": albedo, "shading": to_nchw(unexposed(np.exp(maps["log_shading"]), gain))}


def _verify(name: str, model: onnx.ModelProto, image: np.ndarray, expected: np.ndarray, precision: Precision) -> None:
    """Raises VerificationError where a graph does not compute what the runtime does."""
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": image})
    if found.shape != expected.shape or not np.isfinite(found).all():
        raise VerificationError(f"{name}: found {found.shape}, not all finite, expected finite {expected.shape}")
    difference = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    if precision == "fp32" and difference.max() > _FP32_MAX_ERROR:
        raise VerificationError(f"{name}: found error {difference.max():.1e}, expected at most {_FP32_MAX_ERROR:.0e}")
    psnr = -10 * float(np.log10(max(np.mean(difference**2), 1e-14)))
    least = FP16_MIN_PSNR if model.graph.output[0].name == "albedo" else _FP16_SHADING_MIN_PSNR
    if precision == "fp16" and psnr < least:
        raise VerificationError(f"{name}: found PSNR {psnr:.1f} dB, expected at least {least:.0f} dB")
