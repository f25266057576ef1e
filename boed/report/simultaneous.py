"""Intervals that hold together for all comparisons, by the bootstrap's largest t."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def simultaneous(mean: Array, drawn: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Bounds within which all comparisons lie together in `level` of the samples.

    The quantile of the largest |t| over the comparisons (Westfall and Young 1993, Sec. 2.2) takes
    the place of 1.96. Comparisons that do not vary, or do not exist, have no part in it.

    Args:
        mean: of each comparison, `[C]`.
        drawn: the same of each resample, `[R, C]`.
        level: of all together.

    Returns:
        Lower and upper bounds, `[C]`; NaN where a comparison does not exist.
    """
    error = np.full(mean.shape, np.nan)
    known = np.isfinite(mean) & np.isfinite(drawn).any(0)
    with np.errstate(invalid="ignore"):
        error[known] = np.nanstd(drawn[:, known], axis=0)
        varies = known & (error > 0)
        if not varies.any():
            return mean - error, mean + error
        t = np.abs(drawn[:, varies] - mean[varies]) / error[varies]
    largest = np.nanmax(np.where(np.isfinite(t), t, 0.0), axis=1)
    reach = np.quantile(largest, level)
    return mean - reach * error, mean + reach * error
