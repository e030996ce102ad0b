"""Pictures with a known decomposition, or with what people said or instruments measured. One file is one data set."""

from __future__ import annotations

from intrinsic_flow.benchmarks.scoring.datasets.arap import ArapDataset
from intrinsic_flow.benchmarks.scoring.datasets.base import MINIMUM_VALID_SHARE, Dataset, Sample
from intrinsic_flow.benchmarks.scoring.datasets.hypersim import HypersimDataset
from intrinsic_flow.benchmarks.scoring.datasets.iiw import IiwDataset
from intrinsic_flow.benchmarks.scoring.datasets.maw import MawDataset
from intrinsic_flow.benchmarks.scoring.datasets.mit import MitDataset
from intrinsic_flow.benchmarks.scoring.datasets.multi_illumination import MultiIlluminationDataset
from intrinsic_flow.benchmarks.scoring.datasets.photometric_stereo import PhotometricStereoDataset
from intrinsic_flow.benchmarks.scoring.datasets.photos import PhotoDataset
from intrinsic_flow.benchmarks.scoring.datasets.published import PublishedDataset
from intrinsic_flow.benchmarks.scoring.datasets.saw import SawDataset, SawShadingDataset
from intrinsic_flow.benchmarks.scoring.datasets.shadow_moved import ShadowMovedDataset
from intrinsic_flow.benchmarks.scoring.datasets.shards import ShardDataset, WhiteBalancedShardDataset

__all__ = [
    "DENSE_DATASETS",
    "MINIMUM_VALID_SHARE",
    "ArapDataset",
    "Dataset",
    "HypersimDataset",
    "IiwDataset",
    "MawDataset",
    "MitDataset",
    "MultiIlluminationDataset",
    "PhotoDataset",
    "PhotometricStereoDataset",
    "PublishedDataset",
    "Sample",
    "SawDataset",
    "SawShadingDataset",
    "ShadowMovedDataset",
    "ShardDataset",
    "WhiteBalancedShardDataset",
]

# Sets with albedo and shading at every valid pixel.
DENSE_DATASETS: dict[str, type[Dataset]] = {
    cls.name: cls for cls in (ShardDataset, MitDataset, ArapDataset, HypersimDataset)
}
