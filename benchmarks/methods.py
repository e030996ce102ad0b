"""The methods that a quality report compares: a model bundle, colour Retinex and the trivial answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from intrinsic_flow.benchmarks.baselines import TRIVIAL, Layers, Method
from intrinsic_flow.benchmarks.retinex import THRESHOLDS, Thresholds, color_retinex
from intrinsic_flow.bundle import Bundle
from intrinsic_flow.decomposer import Decomposer

METHODS = ("flow", "retinex", "trivial")


@dataclass(frozen=True)
class MethodOptions:
    """Which methods run, and with what settings; travels to worker processes instead of loaded models."""

    dataset: str
    methods: tuple[str, ...]
    bundle: Bundle | None
    steps: int
    resolution: int
    seed: int
    threads: int | None
    backend: str = "cpu"

    @property
    def thresholds(self) -> dict[str, Thresholds]:
        """Those of each Retinex by its name. On a set that has thresholds of its own, tuned on what they are scored on,
        "retinex untuned" runs beside it with those of our training shards; on others that is "retinex".
        """
        untuned = THRESHOLDS["shards"]
        tuned = THRESHOLDS.get(self.dataset, untuned)
        return {"retinex": tuned} if tuned == untuned else {"retinex": tuned, "retinex untuned": untuned}

    def build(self) -> dict[str, Method]:
        """Name -> method, in the report's order. Raises MissingExtraError where ONNX Runtime is missing."""
        built: dict[str, Method] = {}
        if "flow" in self.methods:
            built["flow"] = _flow(self)
        if "retinex" in self.methods:
            built |= {name: partial(_retinex, thresholds=thresholds) for name, thresholds in self.thresholds.items()}
        if "trivial" in self.methods:
            built |= TRIVIAL
        return built

    def settings(self) -> dict[str, dict[str, object]]:
        """What a row of a method's says about how it ran."""
        settings: dict[str, dict[str, object]] = {
            name: {"thresholds": vars(thresholds)} for name, thresholds in self.thresholds.items()
        }
        if self.bundle:
            made = {"bundle": self.bundle.name, "source": self.bundle.manifest["source"]}
            settings["flow"] = made | {"steps": self.steps, "resolution": self.resolution, "seed": self.seed}
            settings["flow"]["backend"] = self.backend
        return settings


def _retinex(image: np.ndarray, mask: np.ndarray, thresholds: Thresholds) -> Layers:
    return color_retinex(image, mask, thresholds)


def _flow(options: MethodOptions) -> Method:
    model = Decomposer.load(
        options.bundle,
        options.backend,
        steps=options.steps,
        seed=options.seed,
        resolution=options.resolution,
        threads=options.threads,
    )

    def decompose(image: np.ndarray, mask: np.ndarray) -> Layers:
        result = model.decompose(image)
        return Layers(result.albedo, result.shading)

    return decompose
