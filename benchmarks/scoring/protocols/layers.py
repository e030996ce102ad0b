"""Protocols for sets with albedo and shading at every pixel: ours, and those that papers on ARAP and MIT use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from intrinsic_flow.benchmarks.scoring.baselines import Layers
from intrinsic_flow.benchmarks.scoring.datasets.base import Sample, fitted, over_99th_percentile, resized
from intrinsic_flow.benchmarks.scoring.metrics import layers as metrics
from intrinsic_flow.benchmarks.scoring.metrics.perceptual import lpips_distance, why_unavailable
from intrinsic_flow.benchmarks.scoring.protocols.base import LayerProtocol, Record, Score

SI_MSE = Score("si_mse", "si-MSE")
RMSE = Score("rmse", "RMSE")
LMSE = Score("lmse", "LMSE")
SSIM = Score("ssim", "SSIM", better="higher")
MSE = Score("mse", "MSE")


class NativeProtocol(LayerProtocol):
    """The project's own: native size, linear light, everything masked, one scale a layer."""

    name = "native"
    scores: tuple[Score, ...] = (LMSE, SI_MSE, RMSE, SSIM)
    rank = LMSE
    text = (
        "native size, linear light, masked, mean over views of a score per view; one least-squares scale per view and "
        "layer; RMSE is the root of si-MSE; LMSE window 20 stride 10, one scale per window for all channels, sum of "
        "errors / sum of squared truth; SSIM Gaussian sigma 1.5, range 1; truth shading / its 99th percentile"
    )

    def __init__(self, remark: str = "", name: str = "native") -> None:
        """remark: what else the set's truth has undergone. name: of the protocol, where a set has several such."""
        self.name = name
        self.text = f"{type(self).text}; {remark}" if remark else type(self).text

    def score_layer(self, prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> Mapping[str, float]:
        """si-MSE, RMSE, LMSE and SSIM."""
        return metrics.score_layer(prediction, truth, mask)


class HypersimProtocol(NativeProtocol):
    """Ours, with PSNR, and LPIPS where its weights are on this machine."""

    name = "layers"
    scores = (LMSE, SI_MSE, Score("psnr", "PSNR", better="higher"), SSIM, Score("lpips", "LPIPS"))
    text = (
        "long side 512 by area averages, otherwise as the native protocol of the other sets: "
        f"{NativeProtocol.text.removeprefix('native size, ')}; PSNR and LPIPS (AlexNet, 0.1) of the aligned layer, clipped "
        "and sRGB-encoded, black outside the mask for LPIPS; pixels without surface, albedo or light are masked out"
    )

    def __init__(self) -> None:
        super().__init__(name="layers")
        self._lpips: bool | None = None

    def notes(self) -> list[str]:
        """Why there is no LPIPS, where there is none."""
        reason = why_unavailable()
        return [reason] if reason else []

    def score_layer(self, prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> Mapping[str, float]:
        """The native scores, PSNR and, where it can be computed, LPIPS."""
        scores = dict(metrics.score_layer(prediction, truth, mask))
        scores["psnr"] = metrics.psnr(prediction, truth, mask)
        if self._lpips is None:
            self._lpips = why_unavailable() is None
        if self._lpips:
            scale, valid = metrics.best_scale(prediction, truth, mask), mask[..., None]
            scores["lpips"] = lpips_distance(np.where(valid, prediction * scale, 0), np.where(valid, truth, 0))
        return scores


class FlowIidProtocol(LayerProtocol):
    """ARAP as FlowIID's published script measures it (mithleshsingla/FlowIID: eval/eval_arap.py)."""

    name = "flowiid"
    scores: tuple[Score, ...] = (
        LMSE,
        Score("rmse", "RMSE, unaligned"),
        SSIM,
        Score("mse", "MSE, unaligned"),
        SI_MSE,
        Score("si_rmse", "RMSE, aligned"),
    )
    rank = LMSE
    side = 256
    threshold = 0.004
    text = (
        "squashed to 256x256; layers clipped to [0, 1]; shading is the mean of its channels; mask: mean albedo and "
        "shading of the truth of at least .004, half of that where it leaves under 10%; LMSE window 20 stride 10, masked; "
        "SSIM unmasked and unaligned, 7x7 windows, range 1; MSE and RMSE masked, without a scale (RMSE) and with the best "
        "one (si-MSE and its root); float images times the gain that brings the 90th percentile of luminance to .8, truth "
        "shading in the image's scale; linear light (the authors' script takes PNG values as they are stored)"
    )

    def prepare(self, sample: Sample) -> Sample:
        """Squash, clip and mask."""
        size = (self.side, self.side)
        image, albedo, shading = (np.clip(resized(layer, size), 0, 1) for layer in (sample.image, *sample.dense()))
        shading = shading.mean(-1, keepdims=True).repeat(3, -1)
        least = np.minimum(albedo.mean(-1), shading.mean(-1))
        mask = least >= self.threshold
        if mask.mean() < 0.1:
            mask = least >= self.threshold / 2
        return replace(sample, image=image, albedo=albedo, shading=shading, mask=mask, gray_shading=True)

    def comparable(self, layers: Layers, sample: Sample) -> Layers:
        """Clipped to [0, 1]; shading as the mean of its channels; anything outside the mask is made finite for SSIM."""
        albedo, shading = (
            None if layer is None else np.clip(np.nan_to_num(layer), 0, 1) for layer in (layers.albedo, layers.shading)
        )
        return Layers(albedo, None if shading is None else shading.mean(-1, keepdims=True).repeat(3, -1))

    def score_layer(self, prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> Mapping[str, float]:
        """LMSE, unaligned MSE and RMSE, aligned si-MSE and RMSE, plain SSIM."""
        error, aligned = metrics.mse(prediction, truth, mask), metrics.si_mse(prediction, truth, mask)
        return {
            "lmse": metrics.lmse(prediction, truth, mask),
            "mse": error,
            "rmse": float(np.sqrt(error)),
            "si_mse": aligned,
            "si_rmse": float(np.sqrt(aligned)),
            "ssim": metrics.ssim_plain(prediction, truth),
        }


class CareagaProtocol(LayerProtocol):
    """ARAP as Careaga & Aksoy measure it (TOG 2023 and 2024; CCareaga/chrislib: metrics.py, general.get_brightness)."""

    name = "careaga"
    scores = (LMSE, Score("rmse", "RMSE"), SSIM, SI_MSE)
    rank = LMSE
    equal_groups = True
    long_side = 512
    gray = np.array([0.3, 0.59, 0.11], np.float32)
    text = (
        "long side 512; shading is grey, .3 R + .59 G + .11 B; LMSE window 16 stride 8; one least-squares scale per layer; "
        "RMSE over pixels with the squares of the channels added up, as chrislib's rmse_error does with a mask of pixels "
        "(for grey shading, one channel); SSIM aligned, masked, Gaussian sigma 1.5, range 1 (the authors' is not public); "
        "the input keeps its light's colour; lights of a scene count together as one, duplicates are left out; truth "
        "shading / its 99th percentile"
    )

    def prepare(self, sample: Sample) -> Sample:
        """Shrink or grow to 512, grey shading."""
        size = fitted(sample.image.shape, self.long_side)
        image, albedo, shading = (resized(layer, size) for layer in (sample.image, *sample.dense()))
        mask = resized(sample.mask.astype(np.float32)[..., None].repeat(3, -1), size)[..., 0] > 0.999
        shading = over_99th_percentile(self._gray(shading), mask)
        return replace(sample, image=image, albedo=albedo, shading=shading, mask=mask, gray_shading=True)

    def comparable(self, layers: Layers, sample: Sample) -> Layers:
        """Shading as its grey."""
        return Layers(layers.albedo, None if layers.shading is None else self._gray(layers.shading))

    def _gray(self, layer: np.ndarray) -> np.ndarray:
        return (layer @ self.gray)[..., None].repeat(3, -1)

    def score_layer(self, prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> Mapping[str, float]:
        """LMSE 16/8, RMSE over pixels, SSIM and, to compare with other protocols, si-MSE over values."""
        error = metrics.si_mse(prediction, truth, mask)
        is_gray = bool(np.ptp(truth[mask], axis=-1).max() == 0) if mask.any() else False
        return {
            "lmse": metrics.lmse(prediction, truth, mask, window=16, stride=8),
            "rmse": float(np.sqrt(error * (1 if is_gray else 3))),
            "ssim": metrics.ssim(prediction, truth, mask),
            "si_mse": error,
        }


class GrosseProtocol(LayerProtocol):
    """MIT as first published (Grosse et al., ICCV 2009; `comparison.py`, `intrinsic.score_image`)."""

    name = "grosse"
    scores = (LMSE,)
    rank = LMSE
    text = (
        "the sixteen objects of the paper's evaluation (of those in the folder); grey layers, the mean of channels; "
        "LMSE window 20 stride 10; `both` is the paper's score, half albedo and half shading; methods are not tuned per "
        "object, where the paper tuned thresholds on the others"
    )

    def comparable(self, layers: Layers, sample: Sample) -> Layers:
        """Both layers as the mean of their channels."""
        return Layers(*(None if layer is None else _mean_gray(layer) for layer in (layers.albedo, layers.shading)))

    def score_layer(self, prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> Mapping[str, float]:
        """The original LMSE, against the truth's grey."""
        return {"lmse": metrics.lmse(prediction, _mean_gray(truth), mask)}

    def score(self, sample: Sample, layers: Layers) -> list[Record]:
        """Albedo, shading and, where a method answers both, their mean."""
        records = super().score(sample, layers)
        if len(records) == 2:
            records.append({"layer": "both", "lmse": float(np.mean([record["lmse"] for record in records]))})
        return records


class BarronProtocol(LayerProtocol):
    """MIT as learned methods report it: Barron & Malik's test half, MSE, LMSE and DSSIM."""

    name = "barron"
    scores = (
        LMSE,
        MSE,
        Score("dssim", "DSSIM"),
        Score("lmse_geometric", "LMSE, geometric", average="geometric", source="lmse"),
        Score("mse_geometric", "MSE, geometric", average="geometric", source="mse"),
    )
    rank = LMSE
    text = (
        "Barron & Malik's split; native size, linear light, masked, one least-squares scale per layer for MSE and DSSIM = "
        "(1 - SSIM) / 2, SSIM Gaussian sigma 1.5, range 1; LMSE window 20 stride 10 per channel, then their mean; "
        "arithmetic means over objects as in Narihira et al. 2015, and Barron & Malik's geometric means; truth / its 99th "
        "percentile"
    )

    def score_layer(self, prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> Mapping[str, float]:
        """MSE after one scale, LMSE by channel, DSSIM."""
        return {
            "mse": metrics.si_mse(prediction, truth, mask),
            "lmse": metrics.lmse_by_channel(prediction, truth, mask),
            "dssim": (1 - metrics.ssim(prediction, truth, mask)) / 2,
        }


class PrecomputedShadingProtocol(FlowIidProtocol):
    """ "SAW" as one README prints it: errors against shading pictures that another method made. Not a SAW score."""

    name = "precomputed-shading"
    layers = ("shading",)
    scores = (Score("mse", "MSE"), RMSE, SSIM)
    rank = Score("mse", "MSE")
    text = (
        "NOT the SAW score: squashed to 256x256, values as stored, grey shading clipped to [0, 1], unaligned MSE and RMSE "
        "where the precomputed albedo and shading reach .004, SSIM unmasked, 7x7 windows, range 1; the script behind the "
        "published row is not in its repository, so this is its ARAP script's arithmetic"
    )


def _mean_gray(layer: np.ndarray) -> np.ndarray:
    return layer.mean(-1, keepdims=True).repeat(3, -1)
