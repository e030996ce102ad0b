"""Verification of a bundle: ONNX Runtime against PyTorch from the same FP16-rounded weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from intrinsic_flow.decomposition.bundle import PRECISIONS, GraphSpec, NetworkInterface, Precision, graph_file, graph_specs
from intrinsic_flow.decomposition.exposure import exposure_gain
from intrinsic_flow.decomposition.working_size import pad, resize, working_size
from intrinsic_flow.export.graphs.modules import graph_modules
from intrinsic_flow.media.images import read_image
from intrinsic_flow.train.networks.model import IntrinsicFlow, latent_shape

FP32_MAX_ERROR = 1e-4
FP16_MIN_PSNR = 60.0
# BF16 keeps three bits less than FP16, 18 dB; an albedo of 55 dB is off by less than half of an 8-bit step.
BF16_MIN_PSNR = 55.0
STEPS = 2
RESOLUTION = 256
RANDOM_SHAPES = ((1, 64, 96), (2, 96, 64), (1, 256, 384))

_NUMPY_DTYPES = {"float32": np.float32, "float16": np.float16}


class VerificationError(Exception):
    """A graph does not compute what the network does; the message names graph, input, error and limit."""


@dataclass(frozen=True)
class Case:
    """One input: a picture (B, 3, H, W), linear in [0, 1], sides multiples of 32, and start noise for that size."""

    name: str
    image: Tensor
    z: Tensor


@dataclass(frozen=True)
class Comparison:
    """One graph (or the loop "end_to_end") in one precision on one case, against PyTorch in FP32.

    max_error: largest absolute error over all outputs, in units of max(1, the largest reference value): absolute for
    albedo in [0, 1], relative to the largest activation for features, latents and shading. psnr_db: of the albedo, peak
    1; only for outputs named albedo; capped where float32 itself ends.
    """

    graph: str
    precision: Precision
    case: str
    max_error: float
    psnr_db: float | None


def make_case(name: str, image: np.ndarray | Tensor, seed: int = 0) -> Case:
    """A case from a picture (B, 3, H, W) and seeded noise."""
    image = torch.as_tensor(image, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    shape = latent_shape(image.shape[0], *image.shape[2:])
    return Case(name, image, torch.randn(shape, generator=generator))


def random_cases(shapes: Iterable[tuple[int, int, int]] = RANDOM_SHAPES) -> list[Case]:
    """Seeded uniform noise of several (batch, height, width): non-square ones and batches."""
    generator = torch.Generator().manual_seed(1)
    return [make_case(f"random {b}x{h}x{w}", torch.rand(b, 3, h, w, generator=generator)) for b, h, w in shapes]


def procedural_case() -> Case:
    """A picture computed here: coloured discs on stripes under a light that falls off, black and clipped parts."""
    rows, columns = np.mgrid[0:RESOLUTION, 0:RESOLUTION].astype(np.float32) / RESOLUTION
    albedo = np.stack([0.35 + 0.25 * np.sin(40 * columns + phase) for phase in (0.0, 1.0, 2.0)])
    for x, y, radius, color in ((0.3, 0.35, 0.2, (0.7, 0.1, 0.1)), (0.7, 0.6, 0.25, (0.1, 0.5, 0.2))):
        disc = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
        albedo = np.where(disc, np.reshape(color, (3, 1, 1)), albedo)
    light = 2.5 * np.exp(-3 * ((columns - 0.2) ** 2 + (rows - 0.2) ** 2)) * (columns + rows < 1.7)
    return make_case("procedural", np.clip(albedo * light, 0, 1)[None].astype(np.float32))


def photo_case(path: Path) -> Case:
    """A picture file as the runtime shows it to the network: resized, exposed, clipped, padded. Raises InputError."""
    pixels = np.maximum(read_image(path).pixels, 0)
    size = working_size(pixels.shape[0], pixels.shape[1], RESOLUTION)
    low = resize(pixels, size.height, size.width)
    exposed = pad(np.clip(low * exposure_gain(low), 0, 1))
    return make_case(path.name, np.ascontiguousarray(exposed.transpose(2, 0, 1)[None]))


def verify(folder: Path, model: IntrinsicFlow, cases: Iterable[Case], opset: int) -> dict[str, object]:
    """Verifies every graph in `folder` and returns the report that the manifest stores.

    model: FP32 from the same rounded weights. Checks ONNX validity, then compares on each case. VerificationError
    above FP32_MAX_ERROR (any graph, end to end included), below FP16_MIN_PSNR end to end, or on a non-finite value.
    """
    check_graphs(folder, model.config.interface)
    comparisons = [row for case in cases for row in compare(folder, model, case)]
    report = {
        "reference": f"PyTorch {torch.__version__}, FP32, from the FP16-rounded weights",
        "candidate": f"ONNX Runtime {onnxruntime.__version__}, CPUExecutionProvider",
        "opset": opset,
        "limits": {"fp32_max_error": FP32_MAX_ERROR, "fp16_end_to_end_psnr_db": FP16_MIN_PSNR},
        "worst": _worst(comparisons),
        "comparisons": [asdict(row) for row in comparisons],
    }
    _require_limits(comparisons)
    return report


def check_graphs_of_weights(folder: Path, model: IntrinsicFlow, case: Case) -> None:
    """Compares the loop over the FP32 graphs of a finished bundle with a model from its weights.

    Raises VerificationError where they are not the same network, as after a change of the networks' code.
    """
    run = runner(folder, graph_specs(model.config.interface), "fp32")
    albedo = run_loop(run, case.image.numpy(), case.z.numpy())
    with torch.inference_mode():
        expected = model(case.image, case.z, STEPS).numpy()
    row = _compare(f"{folder}: end_to_end", "fp32", case.name, {"albedo": albedo}, {"albedo": expected}, ("albedo",))
    _require_limits([row])


def check_graphs(folder: Path, network: NetworkInterface) -> None:
    """Runs the ONNX checker over every graph file. Raises VerificationError."""
    for precision in PRECISIONS:
        for name in graph_specs(network, precision):
            file = graph_file(name, precision)
            try:
                # By path: the checker then finds the external data too.
                onnx.checker.check_model(str(folder / file), full_check=True)
            except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
                raise VerificationError(f"{file}: {' '.join(str(error).split())}") from error


def compare(folder: Path, model: IntrinsicFlow, case: Case) -> list[Comparison]:
    """Compares all graphs of both precisions on one case.

    Each graph gets the reference's inputs, so that its error is its own; "end_to_end" runs the loop over the graphs,
    each on the output of the one before.
    """
    with torch.inference_mode():
        truth = reference(model, case)
    rows = []
    for precision in PRECISIONS:
        specs = graph_specs(model.config.interface, precision)
        run = runner(folder, specs, precision)
        for name, spec in specs.items():
            inputs, outputs = truth[name]
            rows.append(_compare(name, precision, case.name, run(name, inputs), outputs, spec.output_names))
        albedo = run_loop(run, case.image.numpy(), case.z.numpy())
        outputs = truth["decompose_2step"][1]
        rows.append(_compare("end_to_end", precision, case.name, {"albedo": albedo}, outputs, ("albedo",)))
    return rows


def largest_activations(model: IntrinsicFlow, cases: Iterable[Case]) -> dict[str, float]:
    """Largest absolute value that any layer puts out, by graph: how far FP16 (65504) is from overflowing."""
    parts = {
        "encoder": model.encoder,
        "velocity_step": model.unet,
        "decoder": model.vae.decoder,
        "vae_encoder": model.vae.encoder,
    }
    largest = dict.fromkeys(parts, 0.0)

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                largest[name] = max(largest[name], output.abs().max().item())

        return hook

    hooks = [module.register_forward_hook(watch(name)) for name, part in parts.items() for module in part.modules()]
    try:
        with torch.inference_mode():
            for case in cases:
                model.vae.encode(model(case.image, case.z, STEPS))
    finally:
        for hook in hooks:
            hook.remove()
    return largest


Arrays = dict[str, np.ndarray]
Run = Callable[[str, Mapping[str, np.ndarray]], Arrays]


def reference(model: IntrinsicFlow, case: Case) -> dict[str, tuple[Arrays, Arrays]]:
    """Inputs and outputs of each graph by PyTorch, by tensor name."""
    modules, specs = graph_modules(model), graph_specs(model.config.interface)
    graphs: dict[str, tuple[Arrays, Arrays]] = {}

    def compute(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        inputs = {tensor: tensors[tensor] for tensor in specs[name].input_names}
        results = modules[name](*inputs.values())
        results = results if isinstance(results, tuple) else (results,)
        outputs = dict(zip(specs[name].output_names, results, strict=True))
        graphs[name] = _arrays(inputs), _arrays(outputs)
        return outputs

    image = {"image": case.image}
    features = compute("encoder", image)
    # Inside the trajectory, where the step is not simply noise: the second step's own state.
    dt = torch.full((1,), 1 / STEPS)
    first = compute("velocity_step", {"z": case.z, "t": torch.zeros(1), "dt": dt, **features})
    last = compute("velocity_step", {"z": first["z_next"], "t": dt, "dt": dt, **features})
    albedo = compute("decoder", {"z": last["z_next"], **image})
    compute("vae_encoder", albedo)
    # Without some of the padding, and with light that was clipped for the network.
    guide = 1.5 * case.image[:, :, : case.image.shape[2] - 5, : case.image.shape[3] - 31]
    maps = compute("low_shading", {**albedo, "guide": guide})
    rows = torch.tensor([0.0, case.image.shape[2]])
    compute("upsampler", {**maps, "guide": guide, **image, "rows": rows})
    merged = _arrays({"image": case.image, "z": case.z})
    graphs["decompose_2step"] = merged, {"albedo": model(case.image, case.z, STEPS).numpy()}
    return graphs


def _arrays(tensors: Mapping[str, Tensor]) -> Arrays:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def runner(folder: Path, specs: Mapping[str, GraphSpec], precision: Precision) -> Run:
    """Runs graphs on ONNX Runtime's CPU provider, inputs cast to the spec's types."""
    sessions: dict[str, onnxruntime.InferenceSession] = {}

    def run(name: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        if name not in sessions:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            path = str(folder / graph_file(name, precision))
            sessions[name] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        spec = specs[name]
        feeds = {x.name: inputs[x.name].astype(_NUMPY_DTYPES[x.dtype]) for x in spec.inputs}
        return dict(zip(spec.output_names, sessions[name].run(list(spec.output_names), feeds), strict=True))

    return run


def run_loop(run: Run, image: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Encoder, STEPS Euler steps and decoder, each graph on the outputs of the one before. Returns the albedo."""
    features = run("encoder", {"image": image})
    dt = np.full(1, 1 / STEPS, np.float32)
    for step in range(STEPS):
        t = np.full(1, step / STEPS, np.float32)
        z = run("velocity_step", {"z": z, "t": t, "dt": dt, **features})["z_next"]
    return run("decoder", {"z": z, "image": image})["albedo"]


def _compare(
    graph: str, precision: Precision, case: str, found: Arrays, expected: Arrays, names: Iterable[str]
) -> Comparison:
    worst, psnr = 0.0, None
    for name in names:
        candidate, truth = found[name].astype(np.float64), expected[name].astype(np.float64)
        if candidate.shape != truth.shape:
            raise VerificationError(
                f"{graph} {precision} on {case}: found {name} of shape {candidate.shape}, expected {truth.shape}"
            )
        if not np.isfinite(candidate).all():
            raise VerificationError(f"{graph} {precision} on {case}: found non-finite {name}, expected finite values")
        difference = np.abs(candidate - truth)
        worst = max(worst, difference.max() / max(1.0, np.abs(truth).max()))
        if name == "albedo":
            # The floor is float32's own resolution at 1: JSON has no infinity.
            psnr = -10 * float(np.log10(max(np.mean(difference**2), np.finfo(np.float32).eps ** 2)))
    return Comparison(graph, precision, case, float(worst), psnr)


def _worst(comparisons: list[Comparison]) -> dict[str, dict[str, dict[str, float]]]:
    """Worst error and PSNR over the cases, by precision and graph."""
    worst: dict[str, dict[str, dict[str, float]]] = {}
    for row in comparisons:
        entry = worst.setdefault(row.precision, {}).setdefault(row.graph, {"max_error": 0.0})
        entry["max_error"] = max(entry["max_error"], row.max_error)
        if row.psnr_db is not None:
            entry["psnr_db"] = min(entry.get("psnr_db", np.inf), row.psnr_db)
    return worst


def _require_limits(comparisons: list[Comparison]) -> None:
    for row in comparisons:
        where = f"{row.graph} {row.precision} on {row.case}"
        if row.precision == "fp32" and row.max_error > FP32_MAX_ERROR:
            raise VerificationError(f"{where}: found error {row.max_error:.2e}, expected at most {FP32_MAX_ERROR:.0e}")
        in_all = row.graph in ("end_to_end", "decompose_2step")
        if row.precision == "fp16" and in_all and row.psnr_db is not None and row.psnr_db < FP16_MIN_PSNR:
            raise VerificationError(
                f"{where}: found albedo PSNR {row.psnr_db:.1f} dB, expected at least {FP16_MIN_PSNR:.0f} dB"
            )
