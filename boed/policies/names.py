"""Policies by name."""

from __future__ import annotations

POLICIES: dict[str, str] = {
    "boed": "highest EIG; Barber-Agakov bound",
    "boed_entropy": "highest EIG; Eq. 17 as printed",
    "boed_mixture": "highest EIG; Eq. 17 with the entropy of the mean belief as first term",
    "boed_retrieval": "highest EIG; Barber-Agakov bound, completions by retrieval",
    "boed_retrieval_entropy": "highest EIG; Eq. 17, completions by retrieval",
    "boed_gaussian": "highest EIG; Barber-Agakov bound, completions of a mixture of Gaussians",
    "boed_gaussian_entropy": "highest EIG; Eq. 17, completions of a mixture of Gaussians",
    "bald": "where the members of an ensemble of classifiers are expected to disagree most",
    "max_variance": "largest predictive variance over completions",
    "centre_out": "fixed scan from the centre outwards",
    "in_order": "the sensor's candidates in their order",
    "fixed": "the same looks for all scenes, optimised on the library",
    "random": "uniformly random look",
    "oracle": "best look knowing the whole scene, not the label; an upper reference",
}
"""Policies by name."""

INFORMED: dict[str, tuple[str | None, str]] = {
    "boed": (None, "variational"),
    "boed_entropy": (None, "entropy"),
    "boed_mixture": (None, "mixture"),
    "boed_retrieval": ("retrieval", "variational"),
    "boed_retrieval_entropy": ("retrieval", "entropy"),
    "boed_gaussian": ("gaussian", "variational"),
    "boed_gaussian_entropy": ("gaussian", "entropy"),
    "bald": (None, "disagreement"),
    "max_variance": (None, "variance"),
}
"""Completer (None: that of the set-up) and estimator of the policies that draw completions."""
