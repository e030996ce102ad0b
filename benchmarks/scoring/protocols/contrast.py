"""Protocols whose scores stand beside the albedo's contrast, so that a flat answer wins nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from intrinsic_flow.benchmarks.scoring.baselines import Layers, Method
from intrinsic_flow.benchmarks.scoring.datasets.base import Sample
from intrinsic_flow.benchmarks.scoring.datasets.published import PublishedAnswers
from intrinsic_flow.benchmarks.scoring.datasets.shadow_moved import CastShadows
from intrinsic_flow.benchmarks.scoring.metrics import constancy, lmse
from intrinsic_flow.benchmarks.scoring.metrics.cast_shadow import shadow_left
from intrinsic_flow.benchmarks.scoring.metrics.contrast import FLAT, contrast_and_correlation, mean_of
from intrinsic_flow.benchmarks.scoring.protocols.base import Column, Protocol, Record, Score, checked
from intrinsic_flow.benchmarks.scoring.protocols.labels import labels_of
from intrinsic_flow.benchmarks.scoring.summary import interval_of_sums
from intrinsic_flow.decomposition.exposure import exposure_gain

CONTRAST = Score("contrast", "contrast", better="neither")
CORRELATION = Score("correlation", "correlation", better="neither")
CONTRAST_TEXT = (
    "contrast: std log(Y_albedo + 1e-3) / std log(Y_image), Rec.709 luminance of linear light, valid pixels with Y_image "
    "> .02; correlation: of the two logarithms; no direction is good: the image is 1 and 1, a flat answer 0 and nothing"
)
_RELATIVE = "left / contrast: of the means, 1 for the image and every power of it, nothing for a flat answer"
_EXPOSED = "; images times the gain that brings the 90th percentile of luminance to .8"


def exposed(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 of arbitrary scale -> at the scale that the networks see."""
    return image * np.float32(exposure_gain(image))


class ContrastProtocol(Protocol):
    """Contrast and correlation of the albedo, beside the truth's and those of published answers where there are any."""

    name = "contrast"
    scores = (CONTRAST, CORRELATION)
    rank = CONTRAST

    def __init__(self, expose: bool = False) -> None:
        """expose: of a set whose pictures have an arbitrary scale."""
        self._expose = expose
        self.text = CONTRAST_TEXT + (_EXPOSED if expose else "")

    def prepare(self, sample: Sample) -> Sample:
        """The image at the scale that the networks see, if it has none of its own."""
        return replace(sample, image=exposed(sample.image)) if self._expose else sample

    def answers(self, sample: Sample, methods: Mapping[str, Method]) -> dict[str, Layers]:
        """The methods', the published ones, and the truth."""
        answers = super().answers(sample, methods)
        if isinstance(sample.labels, PublishedAnswers):
            answers |= {name: checked(name, Layers(albedo), sample) for name, albedo in sample.labels.albedos.items()}
        if sample.albedo is not None:
            answers["truth"] = Layers(sample.albedo)
        return answers

    def score(self, sample: Sample, layers: Layers) -> list[Record]:
        """One record for an answer with albedo."""
        if layers.albedo is None:
            return []
        return [{"layer": "albedo", **contrast_and_correlation(layers.albedo, sample.image, sample.mask)}]


class RelitProtocol(Protocol):
    """What is `left` of light in the albedo, and that over the contrast.

    Of a power p of the image p is left, and p is its contrast: the ratio is 1 for the image and all its powers, whose light
    is no less for being fainter. It is below 1 where light went and surfaces stayed. A flat answer has none.
    """

    relative = Score("relative", "left / contrast")

    def combine(self, records: Sequence[Record]) -> dict[str, Column]:
        """The means of the scores, and the mean of `left` over that of the contrast."""
        columns = super().combine(records)
        pairs: dict[str, np.ndarray] = {}
        for record in records:
            if record["left"] is not None and record["contrast"] is not None:
                part = np.array([record["left"], record["contrast"], 1.0])
                pairs[str(record["group"])] = pairs.get(str(record["group"]), 0) + part
        if pairs:
            parts = np.stack(list(pairs.values()))
            if (value := _relative(parts.sum(0))) is not None:
                columns["relative"] = Column(value, interval_of_sums(parts, _relative))
        return columns

    def score(self, sample: Sample, layers: Layers) -> list[Record]:
        """One picture alone has no such score."""
        return []


def _relative(total: np.ndarray) -> float | None:
    left, contrast, count = total
    return float(left / contrast) if contrast > FLAT * count > 0 else None


class ShadowMovedProtocol(RelitProtocol):
    """How much of a cast shadow stays in the albedo."""

    name = "shadow-moved"
    rank = Score("left", "shadow left")
    scores = (RelitProtocol.relative, rank, CONTRAST, CORRELATION)
    text = (
        "every picture of a scene decomposed alone; shadow left: median over the shadow (7x7 erosion, at least 1% of the "
        "picture) of log(Y_albedo / Y_albedo without the shadow), less the median outside it, over the median of "
        "log(Y_image / Y_image without it): 0 gone, 1 as in the image; mean over pictures; "
        f"{CONTRAST_TEXT}; {_RELATIVE}"
    )

    def judge(self, sample: Sample, methods: Mapping[str, Method]) -> tuple[list[Record], dict[str, Layers]]:
        """A record for every picture with a shadow; the sheet shows the answers to the first."""
        labels = labels_of(sample, CastShadows)
        records: list[Record] = []
        shown: dict[str, Layers] = {}
        for name, method in methods.items():
            lit = checked(name, method(sample.image, sample.mask), sample)
            if lit.albedo is None:
                continue
            for picture, image, shadow in zip(labels.names, sample.lights, labels.shadows, strict=True):
                answer = checked(name, method(image, sample.mask), sample)
                assert answer.albedo is not None, "a method that answers one picture answers all"
                left = shadow_left(image, sample.image, answer.albedo, lit.albedo, shadow)
                if left is not None:
                    head = {"view": sample.name, "group": sample.name, "method": name, "layer": "albedo"}
                    scores = contrast_and_correlation(answer.albedo, image, sample.mask)
                    records.append({**head, "picture": picture, "left": left, **scores})
                shown.setdefault(name, answer)
        return records, shown


class OtherLightsProtocol(RelitProtocol):
    """How much the albedo changes under other lights, of the change of the image."""

    name = "other-lights"
    rank = Score("left", "light left")
    scores = (RelitProtocol.relative, rank, Score("change", "change"), CONTRAST, CORRELATION, Score("lmse", "LMSE"))

    def __init__(self, expose: bool = False) -> None:
        """expose: of a set whose pictures have an arbitrary scale."""
        self._expose = expose
        self.text = (
            "every picture of a scene decomposed alone; light left: mean over pairs of lights of std log(Y_albedo / "
            "Y_other albedo) over std log(Y_image / Y_other image), pixels over .02 in both images: 0 gone, 1 as in the "
            "images; change: mean over pairs of the share of the albedo's energy that the best multiple of the other does "
            "not explain, over the same of the images; LMSE (window 20 stride 10) to the measured albedo, mean over "
            f"lights; {CONTRAST_TEXT}{_EXPOSED if expose else ''}; {_RELATIVE}"
        )

    def prepare(self, sample: Sample) -> Sample:
        """Images at the scale that the networks see, if they have none of their own."""
        if not self._expose:
            return sample
        return replace(sample, image=exposed(sample.image), lights=tuple(map(exposed, sample.lights)))

    def judge(self, sample: Sample, methods: Mapping[str, Method]) -> tuple[list[Record], dict[str, Layers]]:
        """One record for a method with albedo; the sheet shows the answers under the first and the last light."""
        seen = constancy.change(list(sample.lights), sample.mask)
        records: list[Record] = []
        shown: dict[str, Layers] = {}
        for name, method in methods.items():
            answers = [checked(name, method(light, sample.mask), sample).albedo for light in sample.lights]
            albedos = [albedo for albedo in answers if albedo is not None]
            if not albedos or seen <= 0:
                continue
            pairs = zip(albedos, sample.lights, strict=True)
            pictures = [contrast_and_correlation(albedo, light, sample.mask) for albedo, light in pairs]
            record: dict[str, Any] = {"view": sample.name, "group": sample.name, "method": name, "layer": "albedo"}
            record["left"] = constancy.light_left(albedos, list(sample.lights), sample.mask)
            record["change"] = constancy.change(albedos, sample.mask) / seen
            record |= {key: mean_of(pictures, key) for key in ("contrast", "correlation")}
            if sample.albedo is not None:
                record["lmse"] = float(np.mean([lmse(albedo, sample.albedo, sample.mask) for albedo in albedos]))
            records.append(record)
            shown |= {f"{name} {word}": Layers(albedos[place]) for word, place in (("first", 0), ("last", -1))}
        return records, shown
