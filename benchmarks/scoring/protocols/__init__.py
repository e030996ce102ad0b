"""Which protocols each data set has. The first of a set is the default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from intrinsic_flow.benchmarks.scoring.datasets import (
    ArapDataset,
    Dataset,
    HypersimDataset,
    IiwDataset,
    MawDataset,
    MitDataset,
    MultiIlluminationDataset,
    PhotoDataset,
    PhotometricStereoDataset,
    PublishedDataset,
    SawDataset,
    SawShadingDataset,
    ShadowMovedDataset,
    ShardDataset,
    WhiteBalancedShardDataset,
)
from intrinsic_flow.benchmarks.scoring.protocols.base import Column, Protocol, Record, Score
from intrinsic_flow.benchmarks.scoring.protocols.contrast import ContrastProtocol, OtherLightsProtocol, ShadowMovedProtocol
from intrinsic_flow.benchmarks.scoring.protocols.labels import ConstancyProtocol, IiwProtocol, MawProtocol, SawProtocol
from intrinsic_flow.benchmarks.scoring.protocols.layers import (
    BarronProtocol,
    CareagaProtocol,
    FlowIidProtocol,
    GrosseProtocol,
    HypersimProtocol,
    NativeProtocol,
    PrecomputedShadingProtocol,
)
from intrinsic_flow.benchmarks.scoring.protocols.measures import MaterialProtocol

__all__ = ["BENCHMARKS", "Benchmark", "Column", "Protocol", "Record", "Score", "dataset_name", "protocols_of"]


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
    "shards": [
        Benchmark(ShardDataset, NativeProtocol("truth albedo as rendered")),
        Benchmark(
            WhiteBalancedShardDataset,
            NativeProtocol(
                "truth albedo as rendered; image and shading over the colour of the view's mean shading", "white-balanced"
            ),
        ),
        Benchmark(ShardDataset, ContrastProtocol(expose=True)),
        Benchmark(ShardDataset, MaterialProtocol()),
    ],
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
        Benchmark(MitDataset, ContrastProtocol(expose=True)),
    ],
    "arap": [
        Benchmark(ArapDataset, FlowIidProtocol()),
        Benchmark(partial(ArapDataset, unique=True), CareagaProtocol()),
        Benchmark(partial(ArapDataset, unique=True), ContrastProtocol(expose=True)),
    ],
    "saw": [
        *(Benchmark(SawDataset, SawProtocol(variant)) for variant in ("weighted", "unweighted", "challenge")),
        Benchmark(SawShadingDataset, PrecomputedShadingProtocol()),
        Benchmark(SawDataset, ContrastProtocol()),
    ],
    "iiw": [Benchmark(IiwDataset, IiwProtocol()), Benchmark(IiwDataset, ContrastProtocol())],
    "maw": [Benchmark(MawDataset, MawProtocol()), Benchmark(MawDataset, ContrastProtocol(expose=True))],
    "hypersim": [
        Benchmark(HypersimDataset, HypersimProtocol()),
        Benchmark(HypersimDataset, ContrastProtocol(expose=True)),
    ],
    "shadow_moved": [
        Benchmark(ShadowMovedDataset, ShadowMovedProtocol()),
        Benchmark(ShadowMovedDataset, ContrastProtocol()),
    ],
    "multi_illumination": [
        Benchmark(MultiIlluminationDataset, OtherLightsProtocol()),
        Benchmark(MultiIlluminationDataset, ContrastProtocol()),
    ],
    "photometric_stereo": [
        Benchmark(PhotometricStereoDataset, OtherLightsProtocol(expose=True)),
        Benchmark(PhotometricStereoDataset, ContrastProtocol(expose=True)),
    ],
    "photos": [Benchmark(PhotoDataset, ContrastProtocol())],
    "published": [Benchmark(PublishedDataset, ContrastProtocol())],
}


#: Names that data sets had, which commands and folders may still have.
FORMER_NAMES = {"rivals": "published"}


def dataset_name(text: str) -> str:
    """A data set's name of today, for an option's text."""
    return FORMER_NAMES.get(text, text)


def protocols_of(dataset: str) -> dict[str, Benchmark]:
    """Protocol name -> benchmark, the default first. Raises KeyError for an unknown set."""
    return {benchmark.protocol.name: benchmark for benchmark in BENCHMARKS[dataset]}
