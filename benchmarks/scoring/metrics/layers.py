"""Scores of a predicted layer (albedo or shading) against the truth, over the valid pixels.

Everything is measured in linear light. A method's layer is defined up to one positive factor, so each
prediction is first multiplied by the one scalar, shared by the three channels, that brings it closest to the
truth in least squares over the mask (`best_scale`). LMSE alone finds its own scale in every window.

The absolute scores (si-MSE, RMSE) and SSIM's constants assume truth whose range is about [0, 1]; the data
sets bring it there (`intrinsic_flow.benchmarks.scoring.datasets`). LMSE does not depend on the truth's scale.

In every function `prediction` and `truth` are (H, W, 3) floating point, linear light, finite inside the mask,
and `mask` is (H, W) bool with at least one pixel set. What lies outside the mask never matters.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from intrinsic_flow.media.color import linear_to_srgb

LMSE_WINDOW = 20
LMSE_STRIDE = 10
SSIM_SIGMA = 1.5
SSIM_RANGE = 1.0


def score_layer(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """The four scores of one layer of one view: `si_mse`, `rmse`, `lmse`, `ssim` (higher is better)."""
    error = si_mse(prediction, truth, mask)
    return {
        "si_mse": error,
        "rmse": float(np.sqrt(error)),
        "lmse": lmse(prediction, truth, mask),
        "ssim": ssim(prediction, truth, mask),
    }


def best_scale(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """The scalar `a` that minimises `|a * prediction - truth|^2` over masked pixels; 0 for black."""
    inside, wanted = prediction[mask].astype(np.float64), truth[mask].astype(np.float64)
    energy = float(np.sum(inside * inside))
    return float(np.sum(inside * wanted)) / energy if energy > 0 else 0.0


def si_mse(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Scale-invariant mean squared error: the mean over masked pixels and channels after `best_scale`.

    The RMSE of a view is its square root, so it is taken after the same scale.
    """
    difference = best_scale(prediction, truth, mask) * prediction[mask].astype(np.float64) - truth[mask]
    return float(np.mean(difference * difference))


def mse(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Mean squared error over masked pixels and channels, nothing aligned."""
    difference = prediction[mask].astype(np.float64) - truth[mask]
    return float(np.mean(difference * difference))


def psnr(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of the sRGB-encoded layers, over masked pixels and channels.

    After `best_scale`, both clipped to [0, 1] before they are encoded. At most 100, which stands for equality.
    """
    guess, wanted = (linear_to_srgb(np.clip(layer, 0, 1)) for layer in aligned_inside(prediction, truth, mask))
    if np.array_equal(guess, wanted):
        return 100.0
    return min(100.0, float(peak_signal_noise_ratio(wanted, guess, data_range=1.0)))


def aligned_inside(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(prediction after `best_scale`, truth), each (N, 3) float64: the masked pixels alone."""
    return best_scale(prediction, truth, mask) * prediction[mask].astype(np.float64), truth[mask].astype(np.float64)


def lmse_by_channel(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """The mean of `lmse` over channels, each with its own scale in every window."""
    return float(np.mean([lmse(prediction[..., c : c + 1], truth[..., c : c + 1], mask) for c in range(3)]))


def lmse(
    prediction: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    *,
    window: int = LMSE_WINDOW,
    stride: int = LMSE_STRIDE,
) -> float:
    """Local mean squared error (Grosse et al., ICCV 2009): 0 for the truth, 1 for a black layer.

    Windows of `window` x `window` pixels lie at every multiple of `stride` where they fit whole. In each of
    them the prediction gets its own least-squares scale, one for the three channels; the squared errors of
    all windows are summed and divided by the summed squares of the truth in the same windows. Pixels outside
    the mask count for nothing, on either side. As in the published code a rest of the picture that no window
    reaches is left out.

    Raises ValueError if a side is shorter than `window` or the truth is zero in every window.
    """
    if min(mask.shape) < window:
        raise ValueError(f"a picture of {mask.shape[1]}x{mask.shape[0]} pixels has no LMSE window of {window}x{window}")
    valid = mask[..., None]
    guess = _windows(np.where(valid, prediction, 0).astype(np.float64), window, stride)
    wanted = _windows(np.where(valid, truth, 0).astype(np.float64), window, stride)
    cross = np.einsum("abchw,abchw->ab", guess, wanted)
    energy = np.einsum("abchw,abchw->ab", guess, guess)
    scale = np.divide(cross, energy, out=np.zeros_like(cross), where=energy > 0)
    difference = scale[..., None, None, None] * guess - wanted
    total = float(np.sum(wanted * wanted))
    if total <= 0:
        raise ValueError("the truth is zero in every LMSE window")
    return float(np.sum(difference * difference)) / total


def _windows(values: np.ndarray, window: int, stride: int) -> np.ndarray:
    """(H, W, 3) -> a view (rows, columns, 3, window, window)."""
    return sliding_window_view(values, (window, window), axis=(0, 1))[::stride, ::stride]


def ssim_plain(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity as scikit-image computes it by default: 7x7 windows of equal weight, range 1.

    No mask and no scale: the mean over the whole picture and its channels. Raises ValueError for pictures under 7
    pixels a side.
    """
    return float(
        structural_similarity(
            truth.astype(np.float64), prediction.astype(np.float64), data_range=SSIM_RANGE, channel_axis=-1
        )
    )


def ssim(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Structural similarity (Wang et al., IEEE TIP 2004): its mean over masked pixels and channels.

    Gaussian weights with sigma 1.5, range 1, after `best_scale`, in linear light and without clipping. Both
    layers are set to 0 outside the mask, so a window across the mask's edge compares the same surround.
    Raises ValueError for pictures smaller than the 11-pixel window.
    """
    valid = mask[..., None]
    scaled = np.where(valid, prediction, 0).astype(np.float64) * best_scale(prediction, truth, mask)
    _, full = structural_similarity(
        scaled,
        np.where(valid, truth, 0).astype(np.float64),
        data_range=SSIM_RANGE,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=SSIM_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    return float(full[mask].mean())
