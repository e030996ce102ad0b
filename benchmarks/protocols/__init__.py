"""Which protocols each data set has. The first of a set is the default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from intrinsic_flow.benchmarks.datasets import (
    ArapDataset,
    Dataset,
    HypersimDataset,
    IiwDataset,
    MawDataset,
    MitDataset,
    SawDataset,
    SawShadingDataset,
    ShardDataset,
)
from intrinsic_flow.benchmarks.protocols.base import Column, Protocol, Record, Score
from intrinsic_flow.benchmarks.protocols.labels import ConstancyProtocol, IiwProtocol, MawProtocol, SawProtocol
from intrinsic_flow.benchmarks.protocols.layers import (
    BarronProtocol,
    CareagaProtocol,
    FlowIidProtocol,
    GrosseProtocol,
    HypersimProtocol,
    NativeProtocol,
    PrecomputedShadingProtocol,
)

__all__ = ["BENCHMARKS", "Benchmark", "Column", "Protocol", "Record", "Score", "protocols_of"]


@dataclass(frozen=True)
class Benchmark:
    """A data set under a protocol. reader: (path, split) -> the data set. split: the default; None is the set's own."""

    reader: Callable[[Path, str | None], Dataset]
    protocol: Protocol
    split: str | None = None

    def open(self, path: Path, split: str | None = None) -> Dataset:
        """Raises InputError for a folder of another layout."""
        return self.reader(path, split or self.split)


BENCHMARKS: dict[str, list[Benchmark]] = {
    "shards": [Benchmark(ShardDataset, NativeProtocol("truth albedo as rendered"))],
    "mit": [
        Benchmark(
            MitDataset,
            NativeProtocol(
                "truth reflectance / its 99th percentile; shading compared as Rec.709 luminance; input diffuse.png"
            ),
        ),
        Benchmark(MitDataset, BarronProtocol(), "test"),
        Benchmark(MitDataset, GrosseProtocol(), "grosse"),
        Benchmark(MitDataset, ConstancyProtocol()),
    ],
    "arap": [Benchmark(ArapDataset, FlowIidProtocol()), Benchmark(partial(ArapDataset, unique=True), CareagaProtocol())],
    "saw": [
        *(Benchmark(SawDataset, SawProtocol(variant)) for variant in ("weighted", "unweighted", "challenge")),
        Benchmark(SawShadingDataset, PrecomputedShadingProtocol()),
    ],
    "iiw": [Benchmark(IiwDataset, IiwProtocol())],
    "maw": [Benchmark(MawDataset, MawProtocol())],
    "hypersim": [Benchmark(HypersimDataset, HypersimProtocol())],
}


def protocols_of(dataset: str) -> dict[str, Benchmark]:
    """Protocol name -> benchmark, the default first. Raises KeyError for an unknown set."""
    return {benchmark.protocol.name: benchmark for benchmark in BENCHMARKS[dataset]}
