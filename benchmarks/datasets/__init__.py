"""Pictures with a known decomposition, or with what people said or instruments measured. One file is one data set."""

from __future__ import annotations

from intrinsic_flow.benchmarks.datasets.arap import ArapDataset
from intrinsic_flow.benchmarks.datasets.base import MINIMUM_VALID_SHARE, Dataset, Sample
from intrinsic_flow.benchmarks.datasets.hypersim import HypersimDataset
from intrinsic_flow.benchmarks.datasets.iiw import IiwDataset
from intrinsic_flow.benchmarks.datasets.maw import MawDataset
from intrinsic_flow.benchmarks.datasets.mit import MitDataset
from intrinsic_flow.benchmarks.datasets.multi_illumination import MultiIlluminationDataset
from intrinsic_flow.benchmarks.datasets.photometric_stereo import PhotometricStereoDataset
from intrinsic_flow.benchmarks.datasets.photos import PhotoDataset
from intrinsic_flow.benchmarks.datasets.rivals import RivalDataset
from intrinsic_flow.benchmarks.datasets.saw import SawDataset, SawShadingDataset
from intrinsic_flow.benchmarks.datasets.shadow_moved import ShadowMovedDataset
from intrinsic_flow.benchmarks.datasets.shards import ShardDataset, WhiteBalancedShardDataset

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
    "RivalDataset",
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
