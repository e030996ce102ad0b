"""What a protocol is: how a sample is prepared, which scores a method's answer gets, and how views become a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from intrinsic_flow.benchmarks.scoring.baselines import Layers, Method, as_gray
from intrinsic_flow.benchmarks.scoring.datasets.base import Sample
from intrinsic_flow.benchmarks.scoring.oracle import Oracle
from intrinsic_flow.benchmarks.scoring.summary import mean_and_interval

# The scores of one view, as JSON: text, numbers and lists of them.
Record = dict[str, Any]


@dataclass(frozen=True)
class Score:
    """One column. `key` is its name in records and JSON; `better` says which way is good; "neither" orders nothing.

    average: "geometric" is Barron & Malik's; `source` is then the record's key that is averaged. factor: what papers
    print it times.
    """

    key: str
    title: str
    better: Literal["lower", "higher", "neither"] = "lower"
    average: Literal["arithmetic", "geometric"] = "arithmetic"
    source: str | None = None
    factor: float = 1.0

    @property
    def record_key(self) -> str:
        """The key of single views that this column averages."""
        return self.source or self.key


@dataclass(frozen=True)
class Column:
    """A score of a row: its value and the 95% bootstrap interval, None where a single group gives none."""

    value: float
    interval: tuple[float, float] | None


class Protocol(ABC):
    """A named way to score.

    name: for `--protocol`. text: what a reader needs to know to compare numbers. scores: the columns; the first orders
    the table. rank: the score of single views that picks best, median and worst. equal_groups: views of one scene count
    together as one, not each.
    """

    name: str
    text: str
    scores: tuple[Score, ...]
    rank: Score
    equal_groups = False

    def notes(self) -> list[str]:
        """Lines that the user should read before the table, e.g. on a score that cannot be computed here."""
        return []

    def prepare(self, sample: Sample) -> Sample:
        """The sample as methods and scores see it."""
        return sample

    def answers(self, sample: Sample, methods: Mapping[str, Method]) -> dict[str, Layers]:
        """Every method's answer to the prepared sample, checked. Raises ValueError for a broken one."""
        answers: dict[str, Layers] = {}
        for name, method in methods.items():
            answers |= method.answers(sample) if isinstance(method, Oracle) else {name: method(sample.image, sample.mask)}
        return {name: checked(name, layers, sample) for name, layers in answers.items()}

    @abstractmethod
    def score(self, sample: Sample, layers: Layers) -> list[Record]:
        """Records of one method on one prepared sample, each with `layer` and the scores."""

    def judge(self, sample: Sample, methods: Mapping[str, Method]) -> tuple[list[Record], dict[str, Layers]]:
        """All methods on one prepared sample: records with `view`, `group`, `method`, and the answers for pictures."""
        answers = self.answers(sample, methods)
        head = {"view": sample.name, "group": sample.group or sample.name}
        records = [
            {**head, "method": name, **record} for name, layers in answers.items() for record in self.score(sample, layers)
        ]
        return records, answers

    def combine(self, records: Sequence[Record]) -> dict[str, Column]:
        """Records of one method and layer over views -> the row's columns. A score that no record has is left out."""
        columns = {}
        for score in self.scores:
            present = [record for record in records if record.get(score.record_key) is not None]
            if present:
                values = np.array([record[score.record_key] for record in present], np.float64)
                groups = [str(record["group"]) for record in present]
                columns[score.key] = Column(*mean_and_interval(values, groups, score.average, self.equal_groups))
        return columns


class LayerProtocol(Protocol):
    """A protocol for sets with dense truth: the same scores for albedo and shading."""

    layers: tuple[str, ...] = ("albedo", "shading")

    @abstractmethod
    def score_layer(self, prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> Mapping[str, float]:
        """The scores of one layer; arrays (H, W, 3), linear light."""

    def comparable(self, layers: Layers, sample: Sample) -> Layers:
        """The answer as it is compared: shading as luminance where the truth's shading has no colour."""
        if sample.gray_shading and layers.shading is not None:
            return Layers(layers.albedo, as_gray(layers.shading))
        return layers

    def score(self, sample: Sample, layers: Layers) -> list[Record]:
        """One record for each layer that the method answers."""
        compared = self.comparable(layers, sample)
        return [
            {"layer": layer, **self.score_layer(getattr(compared, layer), getattr(sample, layer), sample.mask)}
            for layer in self.layers
            if getattr(compared, layer) is not None
        ]


def checked(name: str, layers: Layers, sample: Sample) -> Layers:
    """The layers. Raises ValueError that names method and view for a wrong shape or a value that is not finite."""
    for layer in ("albedo", "shading"):
        prediction = getattr(layers, layer)
        if prediction is None:
            continue
        if prediction.shape != sample.image.shape or not np.isfinite(prediction[sample.mask]).all():
            raise ValueError(f"{name}: {layer} of {sample.name} has the wrong shape or is not finite")
    return layers
