"""Scores. Each file is one family; what is compared, and at what size, is the protocols' business."""

from intrinsic_flow.benchmarks.scoring.metrics.layers import (
    LMSE_STRIDE,
    LMSE_WINDOW,
    best_scale,
    lmse,
    score_layer,
    si_mse,
    ssim,
)

__all__ = ["LMSE_STRIDE", "LMSE_WINDOW", "best_scale", "lmse", "score_layer", "si_mse", "ssim"]
