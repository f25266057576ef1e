"""What a run makes no use of though it was asked for: told, so that no one waits for its effect."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from boed.classifiers.classifier import Classifier
from boed.classifiers.trained import TrainedClassifier
from boed.data.dataset import Dataset
from boed.eig.completions.estimators import AdditiveEstimator
from boed.eig.completions.estimators import named as estimator_named
from boed.policies.names import INFORMED


def check_of_the_data(data: Dataset, **asked: Any) -> None:
    """Refuse another size or split than that of scenes that are there already.

    Args:
        data: the scenes.
        asked: for each of these attributes; None where it was not.

    Raises:
        ValueError: naming both.
    """
    for name, value in asked.items():
        own = getattr(data, name)
        if value is not None and value != own:
            raise ValueError(
                f"{name} is {value!r}, but data is a Dataset, {data.name}, whose {name} is "
                f"{own!r}: leave `{name}` out, or give data by name or path"
            )


def warn_without_effect(
    asked: Iterable[str],
    policies: Sequence[str] | Mapping[str, object],
    classifier: Classifier,
    *,
    by_name: bool,
) -> None:
    """Warn of each argument that nothing in the run makes use of.

    Args:
        asked: arguments of `boed.setup` that differ from their defaults.
        policies: names of the run's policies, or objects, which have what they need.
        classifier: whose belief is scored.
        by_name: whether the classifier was made from its name: it may then be fitted to a library.
    """
    fitted = by_name and not isinstance(classifier, TrainedClassifier)
    objects = isinstance(policies, Mapping)
    reasons = _reasons(list(policies), classifier, objects=objects, fitted=fitted)
    for name in asked:
        if name in reasons:
            warnings.warn(f"{name} has no effect: {reasons[name]}", stacklevel=3)


def _reasons(
    policies: list[str], classifier: Classifier, *, objects: bool, fitted: bool
) -> Mapping[str, str]:
    """Why an argument has no effect, by its name; those that have one are not there."""
    own = "policies that are objects bring their own"
    used = {} if objects else {name: INFORMED[name] for name in policies if name in INFORMED}
    none = own if objects else f"none is drawn by {', '.join(policies)}"
    reasons = {}
    if not used:
        reasons["completions"] = none
    if not any(completer is None for completer, _ in used.values()):
        reasons["completer"] = own if objects else f"{', '.join(policies)} do not use it"
        reasons["reweight"] = reasons["completer"]
    if not any(isinstance(estimator_named(each), AdditiveEstimator) for _, each in used.values()):
        reasons["search"] = own if objects else f"{', '.join(policies)} do not search"
    if not used and not fitted and (objects or "fixed" not in policies):
        reasons["library"] = reasons["val"] = "nothing is retrieved from it or fitted to it"
    if not isinstance(classifier, TrainedClassifier):
        reasons["precision"] = f"it is of DenseNet classifiers, not of {type(classifier).__name__}"
    return reasons
