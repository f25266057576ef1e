"""From names to a whole study: data, checkpoints and policies, ready for `benchmark`."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boed.classifiers.classifier import DenseNetClassifier, Precision
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completer
from boed.data.dataset import Dataset
from boed.data.load import load
from boed.eig.completions.estimators import AdditiveEstimator, named
from boed.policies import BOED, CentreOut, Oracle, Policy, Random, optimise_fixed_design
from boed.policies.first_look import FirstLook, default_folder
from boed.search import CoarseToFine, Exhaustive, Racing, Screening, Search
from boed.sensors import PatchSensor, Sensor
from boed.zoo import DEFAULT_SIZE, classifier_for, completer_for, screen_for

POLICIES: dict[str, str] = {
    "boed": "highest EIG; Barber-Agakov bound",
    "boed_entropy": "highest EIG; Eq. 17 as printed",
    "boed_mixture": "highest EIG; Eq. 17 with the entropy of the mean belief as first term",
    "boed_retrieval": "highest EIG; Barber-Agakov bound, completions by retrieval",
    "boed_retrieval_entropy": "highest EIG; Eq. 17, completions by retrieval",
    "max_variance": "largest predictive variance over completions",
    "centre_out": "fixed scan from the centre outwards",
    "fixed": "the same looks for all scenes, optimised on the training split",
    "random": "uniformly random look",
    "oracle": "best look knowing the whole scene, not the label; an upper reference",
}
"""Policies that a study knows by name."""


SEARCHES: dict[str, Search] = {
    "exhaustive": Exhaustive(),
    "racing": Racing(),
    "coarse": CoarseToFine(then=Racing()),
}
"""Searches by name."""

SAID: dict[str, str] = {
    "exhaustive": "exact: all candidates with all completions",
    "racing": "exact: the exhaustive choice from fewer evaluations",
    "coarse": "an approximation: a coarse grid refined, which may miss the best look; by racing",
}
"""What results say of them."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Study:
    """Everything a benchmark needs."""

    test: Dataset
    sensor: Sensor
    classifier: DenseNetClassifier
    completer: Completer
    library: Dataset
    policies: dict[str, Policy]
    attributes: dict[str, Any]


def study(
    data: str = "digits",
    size: int | None = None,
    split: str = "test",
    *,
    policies: Sequence[str] = ("boed", "random"),
    completer: str | None = None,
    classifier: str | None = None,
    completions: int = 10,
    grid: int = 17,
    patch: float = 0.25,
    memory: int = 512,
    device: str = "cpu",
    looks: int = 5,
    search: str = "exhaustive",
    precision: Precision = "fp32",
) -> Study:
    """Put a study together.

    Args:
        data: name or path of the data set; its train split is what retrieval retrieves from.
        size: width in pixels; the one for which checkpoints are shipped if not given.
        split: scenes to measure on.
        policies: names from `POLICIES`.
        completer: `retrieval`, the name of one that is shipped, such as `aipo`, or the path of a
            checkpoint; the data's default if not given (`boed.zoo`).
        classifier: the path of a checkpoint; the shipped one if not given.
        completions: N.
        grid: candidate looks along each axis.
        patch: width of a look over the width of the scene.
        memory: bound on the images held at once, MiB.
        device: where the models run.
        looks: of the policy `fixed`, which stops after them.
        search: one of `SEARCHES`, `screen` for the screen that is shipped for the data, or the
            path of a screen's checkpoint. It is for the estimators that can be searched so; the
            others are exhaustive. The EIG maps of a search that drops candidates are not whole.
        precision: of the classifier: `bf16` is about twice as fast and rounds beliefs.

    Raises:
        ValueError: an unknown policy, search or precision, or anything that `load`, the sensor
            or the checkpoints refuse.
    """
    import difflib

    for name in policies:
        if name not in POLICIES:
            near = difflib.get_close_matches(name, POLICIES, n=1, cutoff=0)
            raise ValueError(
                f"policies: {name!r} is unknown, did you mean {near[0]!r}? "
                f"Known: {', '.join(POLICIES)}"
            )
    size = size or DEFAULT_SIZE.get(data)
    test, library = load(data, size, split), load(data, size, "train")
    sensor = PatchSensor(test.size, patch, grid)
    judge = classifier_for(test, classifier)
    judge.precision = precision
    sampler = completer_for(test, completer, library)
    for model in (judge, sampler):
        if hasattr(model, "to"):
            model.to(device)
    chosen = _search(search, test, judge, patch, device)
    retrieval = Retrieval(library)
    first_n = min(500, len(library))

    def boed(sampler: Completer, estimator: str) -> Policy:
        additive = isinstance(named(estimator), AdditiveEstimator)
        found = chosen if additive else Exhaustive()
        return BOED(
            sampler,
            judge,
            estimator=estimator,
            n=completions,
            first_look=FirstLook(retrieval, first_n),
            search=found,
            per_cost=False,
            memory=memory,
            cache=default_folder(),
        )

    made: dict[str, Policy] = {
        "boed": boed(sampler, "variational"),
        "boed_entropy": boed(sampler, "entropy"),
        "boed_mixture": boed(sampler, "mixture"),
        "boed_retrieval": boed(retrieval, "variational"),
        "boed_retrieval_entropy": boed(retrieval, "entropy"),
        "max_variance": boed(sampler, "variance"),
        "centre_out": CentreOut(),
        "random": Random(),
        "oracle": Oracle(judge, memory),
    }
    if "fixed" in policies:  # it takes a while to find
        made["fixed"] = optimise_fixed_design(
            library, sensor, judge, looks=looks, scenes=200, memory=memory, device=device
        )
    attributes: dict[str, Any] = {
        "patch": sensor.patch,
        "grid": len(sensor.positions),
        "completions": completions,
        "first_completions": first_n,
        "search": _named(search, chosen),
        "precision": "fp32" if precision == "fp32" else f"{precision}, an approximation",
        "question": ", ".join(test.label_names),
        "policies": {name: POLICIES[name] for name in policies},
        "checkpoints": {
            "completer": _described(sampler, completer or "shipped"),
            "classifier": _described(judge, classifier or "shipped"),
        },
        "versions": versions(),
    }
    if isinstance(chosen, Screening):
        attributes["checkpoints"]["screen"] = _described(chosen.screen, search)
    return Study(
        test=test,
        sensor=sensor,
        classifier=judge,
        completer=sampler,
        library=library,
        policies={name: made[name] for name in policies},
        attributes=attributes,
    )


def _search(
    name: str, dataset: Dataset, classifier: DenseNetClassifier, patch: float, device: str
) -> Search:
    """The search of that name, or by the screen of that path."""
    if name in SEARCHES:
        return SEARCHES[name]
    if name != "screen" and not Path(name).exists():
        raise ValueError(
            f"search is {name!r}, expected one of {', '.join(SEARCHES)}, screen, or the path of a "
            "screen's checkpoint"
        )
    screen = screen_for(dataset, classifier, name)
    screen.check(classifier, patch)
    return Screening(screen=screen.to(device), then=Racing())


def _named(name: str, search: Search) -> str:
    """What results say of the search, and whether it is an approximation."""
    if isinstance(search, Screening):
        checkpoint = "shipped" if name == "screen" else Path(name).name
        return (
            f"screen ({checkpoint}), an approximation: a network guesses; the best {search.keep} "
            f"and {search.rounds} x the neighbours of the best {search.around} are judged exactly, "
            "by racing"
        )
    return f"{name}, {SAID[name]}"


def _described(model: object, name: str) -> dict[str, Any]:
    """What a report says of a checkpoint."""
    provenance = getattr(model, "provenance", {})
    kept = {k: provenance[k] for k in ("kind", "steps", "scores") if k in provenance}
    if "data" in provenance:
        kept["data"] = provenance["data"]
    return {"name": Path(name).name, **(kept or {"kind": type(model).__name__})}


def versions() -> dict[str, str]:
    """Versions of what results depend on."""
    found = {"python": platform.python_version()}
    for package in ("boed", "torch", "numpy", "scipy"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
