"""In how many runs what was seen is unlike the classifier's training data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr


def unlike_shares(results: xr.Dataset) -> dict[str, list[float]]:
    """The share of scenes and seeds beyond the limit after 1, 2, ... T looks, by policy.

    Nothing where the classifier does not know how far they are; see
    `boed.classifiers.evaluation.out_of_distribution.relative_distance`.
    """
    if "distance" not in results:
        return {}
    far = results["distance"].isel(look=slice(1, None))
    known = far.notnull().sum(("seed", "scene"))
    share = (far > 1).sum(("seed", "scene")) / known.where(known > 0)
    rows = share.transpose("policy", "look").fillna(0.0).values.tolist()
    return dict(zip(map(str, results["policy"].values), rows, strict=True))
