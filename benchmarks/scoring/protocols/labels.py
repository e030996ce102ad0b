"""Protocols for sets that people or instruments labelled: SAW, IIW and MAW; and constancy under other lights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from intrinsic_flow.benchmarks.scoring.baselines import TRIVIAL, Layers, Method
from intrinsic_flow.benchmarks.scoring.datasets.base import Sample
from intrinsic_flow.benchmarks.scoring.metrics import constancy, lmse, measured_albedo, shading_gradient
from intrinsic_flow.benchmarks.scoring.metrics.whdr import DELTA, Judgements, whdr, with_offset
from intrinsic_flow.benchmarks.scoring.protocols.base import Column, Protocol, Record, Score, checked
from intrinsic_flow.benchmarks.scoring.summary import interval_of_sums
from intrinsic_flow.media.color import linear_to_srgb, luminance

Kind = TypeVar("Kind")


def labels_of(sample: Sample, kind: type[Kind]) -> Kind:
    """The sample's labels. TypeError: they are of another kind than the protocol judges."""
    if not isinstance(sample.labels, kind):
        raise TypeError(f"{sample.name}: found {type(sample.labels).__name__} as labels, expected {kind.__name__}")
    return sample.labels


class SawProtocol(Protocol):
    """Average precision of smooth shading over people's labels, in three variants.

    `weighted` is Kovacs et al.'s (linear shading), `unweighted` and `challenge` are Li & Snavely's (log shading).
    """

    scores = (Score("ap", "AP", better="higher"),)
    rank = scores[0]

    def __init__(self, variant: str) -> None:
        """variant: weighted, unweighted or challenge."""
        self.name = variant
        self._log = variant != "weighted"
        self._challenge = variant == "challenge"
        self._thresholds = shading_gradient.log_thresholds() if self._log else shading_gradient.linear_thresholds()
        gradients = {
            "weighted": "linear shading / its 99th percentile, clipped at 1; a 10-pixel maximum filter widens gradients",
            "unweighted": "log shading; a 10-pixel maximum filter widens gradients at boundaries only",
            "challenge": "log shading; a 10-pixel maximum filter widens gradients at boundaries only; smooth regions "
            "weighted by the photo's mean gradient in them",
        }[variant]
        self.text = (
            "photos of 512 pixels; shading is the mean of its channels; labels reweighted to 1 : 1 : 2; "
            f"{gradients}; area under precision over recall of `smooth`, pooled over the set, from {len(self._thresholds)} "
            "thresholds and the point (1, .5)"
        )

    def score(self, sample: Sample, layers: Layers) -> list[Record]:
        """One record with the photo's counts and, where it has all three classes, its own average precision."""
        if layers.shading is None:
            return []
        labels = labels_of(sample, shading_gradient.ShadingLabels)
        gray = layers.shading.mean(-1)
        peak = float(np.percentile(gray, 99)) or 1.0
        gray = gray / peak if self._log else np.clip(gray / peak, 0, 1)
        if self._log:
            gray = np.log(np.maximum(gray, shading_gradient.DARKEST))
        weights = None
        if self._challenge:
            photo = linear_to_srgb(np.clip(sample.image, 0, 1)).mean(-1)
            weights = shading_gradient.region_weights(photo, labels)
        counts = shading_gradient.smooth_counts(
            gray, labels, self._thresholds, filter_smooth=not self._log, weights=weights
        )
        complete = bool((counts.sum(-1) > 0).all())
        own = shading_gradient.average_precision(counts) if complete else None
        return [{"layer": "shading", "ap": own, "counts": counts.tolist()}]

    def combine(self, records: Sequence[Record]) -> dict[str, Column]:
        """Counts are pooled over photos before precision and recall; the bootstrap draws photos."""
        counts = np.array([record["counts"] for record in records])
        if not (counts.sum((0, 2)) > 0).all():
            return {}

        def pooled(total: np.ndarray) -> float | None:
            return shading_gradient.average_precision(total) if (total.sum(-1) > 0).all() else None

        return {"ap": Column(shading_gradient.average_precision(counts.sum(0)), interval_of_sums(counts, pooled))}


class IiwProtocol(Protocol):
    """Weighted human disagreement rate (Bell et al. 2014)."""

    name = "whdr"
    scores = (
        Score("whdr", "WHDR"),
        Score("whdr_luminance", "WHDR, Rec.709"),
        Score("whdr_offset", "WHDR after offset"),
    )
    rank = scores[0]
    text = (
        f"WHDR at {DELTA:.2f} in [0, 1] on linear albedo at native size, mean over photos; the grey is the mean of R, G "
        "and B as in the published code, and Rec.709 luminance beside it; `after offset` is the same albedo squeezed into "
        "[0.5, 1] by adding its maximum, which changes no order of surfaces: what it gains is not better albedo"
    )

    def score(self, sample: Sample, layers: Layers) -> list[Record]:
        """One record for a method with albedo."""
        if layers.albedo is None:
            return []
        judgements, gray = labels_of(sample, Judgements), layers.albedo.mean(-1, dtype=np.float64)
        return [
            {
                "layer": "albedo",
                "whdr": whdr(gray, judgements),
                "whdr_luminance": whdr(luminance(layers.albedo), judgements),
                "whdr_offset": whdr(with_offset(gray), judgements),
            }
        ]


class MawProtocol(Protocol):
    """Intensity and chromaticity of measured albedo (Wu et al. 2023)."""

    name = "maw"
    scores = (Score("intensity", "intensity x100", factor=100.0), Score("chromaticity", "chromaticity"))
    rank = scores[1]
    text = (
        "as the authors' evaluator: albedo in sRGB shrunk to 320x240, averaged over each measured surface; intensity: "
        "squared difference of grey after one scale per photo, times 100; chromaticity: CIEDE2000 after one scale per "
        "surface; both weighted by pixels within a photo, then the mean over photos; methods see photos of at most 640 "
        "pixels"
    )

    def score(self, sample: Sample, layers: Layers) -> list[Record]:
        """One record for a method with albedo; none for a photo whose every region vanishes at the scores' size."""
        labels = labels_of(sample, measured_albedo.MeasuredRegions)
        if layers.albedo is None or not labels.visible:
            return []
        regions = measured_albedo.region_means(layers.albedo, labels)
        intensity, chromaticity = measured_albedo.intensity_error(*regions), measured_albedo.chromaticity_error(*regions)
        return [{"layer": "albedo", "intensity": intensity, "chromaticity": chromaticity}]


class ConstancyProtocol(Protocol):
    """How much albedo changes with the lamp: every single-light picture of an object is decomposed by itself."""

    name = "constancy"
    scores = (Score("change", "change"), Score("local_change", "local change"), Score("lmse", "LMSE to the truth"))
    rank = scores[1]
    text = (
        "each light*.png of an object decomposed alone; change: mean over pairs of lights of the share of albedo's energy "
        "that the best multiple of the other does not explain, 0 to 1; local change: mean of LMSE (window 20 stride 10) "
        "both ways; over pixels that every light reaches (1% of its 99th percentile of luminance); a constant albedo "
        "scores 0, so the LMSE to the true reflectance, mean over lights, stands beside it; specular light is not taken out"
    )

    def judge(self, sample: Sample, methods: Mapping[str, Method]) -> tuple[list[Record], dict[str, Layers]]:
        """Methods answer every light; pictures show albedo under the first and the last.

        An object with fewer than two lights gives no records.
        """
        if len(sample.lights) < 2:
            return [], {}
        lit = constancy.lit_in_all([luminance(light) for light in sample.lights], sample.mask)
        head = {"view": sample.name, "group": sample.name, "layer": "albedo", "lights": len(sample.lights)}
        truth, _ = sample.dense()
        records: list[Record] = []
        shown: dict[str, Layers] = {}
        for name, method in methods.items():
            answers = [checked(name, method(light, sample.mask), sample) for light in sample.lights]
            if name not in TRIVIAL:
                shown |= {f"{name} {word}": Layers(answers[i].albedo) for word, i in (("first", 0), ("last", -1))}
            albedos = [answer.albedo for answer in answers if answer.albedo is not None]
            if albedos:
                changes = {
                    "change": constancy.change(albedos, lit),
                    "local_change": constancy.local_change(albedos, lit),
                    "lmse": float(np.mean([lmse(albedo, truth, lit) for albedo in albedos])),
                }
                records.append(head | {"method": name} | changes)
        return records, shown

    def score(self, sample: Sample, layers: Layers) -> list[Record]:
        """One light alone has no constancy."""
        return []
