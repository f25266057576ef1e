"""What a run makes no use of though it was asked for: told, so that no one waits for its effect."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from boed.classifiers.classifier import Classifier, DenseNetClassifier
from boed.classifiers.tabular import TabularClassifier
from boed.data.dataset import Dataset
from boed.eig.completions.estimators import AdditiveEstimator
from boed.eig.completions.estimators import named as estimator_named
from boed.policies.names import INFORMED
from boed.zoo.fitted import GaussianClassifier


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
    asked: Iterable[str], policies: Iterable[str], classifier: Classifier, *, objects: bool
) -> None:
    """Warn of each argument that nothing in the run makes use of.

    Args:
        asked: arguments of `boed.setup` that differ from their defaults.
        policies: names of the run's policies.
        classifier: whose belief is scored.
        objects: whether the policies are objects, which have what they need.
    """
    reasons = _reasons(list(policies), classifier, objects=objects)
    for name in asked:
        if name in reasons:
            warnings.warn(f"{name} has no effect: {reasons[name]}", stacklevel=3)


def _reasons(policies: list[str], classifier: Classifier, *, objects: bool) -> Mapping[str, str]:
    """Why an argument has no effect, by its name; those that have one are not there."""
    own = "policies that are objects bring their own"
    used = {} if objects else {name: INFORMED[name] for name in policies if name in INFORMED}
    fitted = isinstance(classifier, TabularClassifier | GaussianClassifier)
    none = own if objects else f"none is drawn by {', '.join(policies)}"
    reasons = {}
    if not used:
        reasons["completions"] = none
    if not any(completer is None for completer, _ in used.values()):
        reasons["completer"] = own if objects else f"{', '.join(policies)} do not use it"
    if not any(isinstance(estimator_named(each), AdditiveEstimator) for _, each in used.values()):
        reasons["search"] = own if objects else f"{', '.join(policies)} do not search"
    if not used and not fitted and (objects or "fixed" not in policies):
        reasons["library"] = reasons["val"] = "nothing is retrieved from it or fitted to it"
    if not isinstance(classifier, DenseNetClassifier):
        reasons["precision"] = f"it is of DenseNet classifiers, not of {type(classifier).__name__}"
    return reasons
