"""Protocols of `benchmarks.measures`: one answer for each picture, and all that is measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from intrinsic_flow.benchmarks.scoring.baselines import Layers, Method
from intrinsic_flow.benchmarks.scoring.datasets.base import Sample
from intrinsic_flow.benchmarks.scoring.metrics import lmse
from intrinsic_flow.benchmarks.scoring.metrics.contrast import contrast_and_correlation
from intrinsic_flow.benchmarks.scoring.metrics.materials import Materials
from intrinsic_flow.benchmarks.scoring.protocols.base import LayerProtocol, Protocol, Record
from intrinsic_flow.benchmarks.scoring.protocols.contrast import CONTRAST, CONTRAST_TEXT, CORRELATION, exposed
from intrinsic_flow.benchmarks.scoring.protocols.layers import LMSE


class MaterialProtocol(Protocol):
    """LMSE of the albedo on each material, of views that store which pixel shows what."""

    name = "materials"
    scores = (LMSE,)
    rank = LMSE
    text = (
        "albedo, LMSE (window 20 stride 10) over the valid pixels of one material, mean over the views where it has 1% of "
        "them; a layer of this table is a material; views that store no materials are skipped"
    )

    def score(self, sample: Sample, layers: Layers) -> list[Record]:
        """One record for each material; none for a method without albedo or a view without materials."""
        if layers.albedo is None or sample.albedo is None or not isinstance(sample.labels, Materials):
            return []
        places = sample.labels.masks(sample.mask)
        return [{"layer": name, "lmse": lmse(layers.albedo, sample.albedo, place)} for name, place in places.items()]


class DenseMeasures(LayerProtocol):
    """LMSE of both layers, contrast and correlation of the albedo with the truth's beside, and LMSE by material."""

    name = "measures"
    scores = (LMSE, CONTRAST, CORRELATION)
    rank = LMSE
    text = f"native size; LMSE window 20 stride 10; exposed images; {CONTRAST_TEXT}; by material: {MaterialProtocol.text}"
    _materials = MaterialProtocol()

    def prepare(self, sample: Sample) -> Sample:
        """The image at the scale that the networks see."""
        return replace(sample, image=exposed(sample.image))

    def answers(self, sample: Sample, methods: Mapping[str, Method]) -> dict[str, Layers]:
        """The methods', and the truth."""
        return super().answers(sample, methods) | {"truth": Layers(*sample.dense())}

    def score_layer(self, prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> Mapping[str, float]:
        """LMSE."""
        return {"lmse": lmse(prediction, truth, mask)}

    def score(self, sample: Sample, layers: Layers) -> list[Record]:
        """Records of albedo and shading, and one for each material."""
        records = super().score(sample, layers)
        for record in records:
            if record["layer"] == "albedo":
                assert layers.albedo is not None, "it has just been scored"
                record |= contrast_and_correlation(layers.albedo, sample.image, sample.mask)
        return records + self._materials.score(sample, layers)
