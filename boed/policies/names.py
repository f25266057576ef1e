"""Policies by name."""

from __future__ import annotations

from pathlib import Path

from boed.foundation.registry import names_object

POLICIES: dict[str, str] = {
    "boed": "highest EIG; Barber-Agakov bound",
    "boed_entropy": "highest EIG; Eq. 17 as printed",
    "boed_mixture": "highest EIG; Eq. 17 with the entropy of the mean belief as first term",
    "boed_information": "highest EIG; expected divergence of the belief from the current one",
    "boed_retrieval": "highest EIG; Barber-Agakov bound, completions by retrieval",
    "boed_retrieval_entropy": "highest EIG; Eq. 17, completions by retrieval",
    "boed_gaussian": "highest EIG; Barber-Agakov bound, completions of a mixture of Gaussians",
    "boed_gaussian_entropy": "highest EIG; Eq. 17, completions of a mixture of Gaussians",
    "value": "highest expected gain by a trained network, in one pass",
    "greedy": "by a trained selector, in one pass (GDFS)",
    "nonmyopic": "highest expected gain of the look and those after it, in one pass",
    "boed_value": "highest EIG among the looks that a trained network proposes",
    "bald": "where the members of an ensemble of classifiers are expected to disagree most",
    "max_variance": "largest predictive variance over completions",
    "centre_out": "fixed scan from the centre outwards",
    "in_order": "the sensor's candidates in their order",
    "fixed": "the same looks for all scenes, optimised on the library",
    "random": "uniformly random look",
    "oracle": "best look knowing the whole scene, not the label; an upper reference",
}
"""Policies by name."""

USUAL = ("boed", "max_variance", "centre_out", "random", "oracle")
"""Policies of a run that names none, and `USUAL_LEARNED` where a network is shipped for it."""

USUAL_LEARNED = "value"

INFORMED: dict[str, tuple[str | None, str]] = {
    "boed": (None, "variational"),
    "boed_entropy": (None, "entropy"),
    "boed_mixture": (None, "mixture"),
    "boed_information": (None, "information"),
    "boed_retrieval": ("retrieval", "variational"),
    "boed_retrieval_entropy": ("retrieval", "entropy"),
    "boed_gaussian": ("gaussian", "variational"),
    "boed_gaussian_entropy": ("gaussian", "entropy"),
    "boed_value": (None, "variational"),
    "bald": (None, "disagreement"),
    "max_variance": (None, "variance"),
}
"""Completer (None: that of the set-up) and estimator of the policies that draw completions."""

LEARNED = ("value", "greedy", "nonmyopic", "boed_value")
"""Policies of a trained network: by the bare name the one that is shipped for the looks."""


def named_policy(asked: str) -> tuple[str, str | None]:
    """What a policy is called, and where its trained network is, if that was said.

    >>> named_policy("boed"), named_policy("mine.safetensors")
    (('boed', None), ('mine', 'mine.safetensors'))
    >>> named_policy("boed_value=runs/value-1"), named_policy("my.module:Class")
    (('boed_value', 'runs/value-1'), ('my.module:Class', None))

    Args:
        asked: a name, `package.module:Class`, the path or name of a trained network, or
            `NAME=` before that; `boed_value=` for its proposals.
    """
    name, equals, where = asked.partition("=")
    if equals:
        return name, where
    if asked in POLICIES or names_object(asked):
        return asked, None
    return Path(asked).name.removesuffix(".safetensors"), asked
