"""How good are the samples of a completer: realism, fidelity, diversity, calibration, answers."""

from boed.completion.evaluation.calibration import (
    TARP,
    Uniformity,
    crps,
    energy_score,
    implied_levels,
    interval_coverage,
    projections,
    rank_uniformity,
    sbc_ranks,
    tarp,
)
from boed.completion.evaluation.diversity import feature_distance, pixel_std
from boed.completion.evaluation.fidelity import (
    best_of,
    l1,
    mean_decibels,
    observed_error,
    psnr,
    relative_l1,
    relative_l2,
    share_within,
    squared_error,
    ssim,
)
from boed.completion.evaluation.labels import label_calibration, label_posterior
from boed.completion.evaluation.realism import (
    Coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)

__all__ = [
    "TARP",
    "Coverage",
    "Uniformity",
    "best_of",
    "crps",
    "energy_score",
    "feature_distance",
    "frechet_distance",
    "implied_levels",
    "inception_score",
    "interval_coverage",
    "kernel_distance",
    "l1",
    "label_calibration",
    "label_posterior",
    "mean_decibels",
    "observed_error",
    "pixel_std",
    "precision_recall",
    "projections",
    "psnr",
    "rank_uniformity",
    "relative_l1",
    "relative_l2",
    "sbc_ranks",
    "share_within",
    "squared_error",
    "ssim",
    "tarp",
]
