"""Whom the run's first policy is compared with: its baselines, and the primary outcome."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from boed.classifiers.evaluation.primary import Primary
from boed.policies.names import INFORMED, LEARNED
from boed.report.results import INSTRUMENT, structured

if TYPE_CHECKING:
    import xarray as xr

NO_EIG = ("variance", "Variance")
"""Utilities of `BOED` that are no information about the question."""


def primary_of(results: xr.Dataset) -> tuple[Primary, bool]:
    """The primary outcome, and whether it was stated before the run."""
    steps = results.sizes["step"]
    stated = results.attrs.get("primary")
    try:
        return Primary.read(str(stated), steps=steps), True
    except ValueError:  # a run from before there was one
        answers, several = results.sizes["answer"], "finding" in results.sizes
        usual = Primary.usual(answers=answers, multi_label=several, steps=steps)
        if results["policy"].values.tolist() == [INSTRUMENT]:  # what counts is how they ended
            return replace(usual, looks=steps), False
        return usual, False


def rivals(results: xr.Dataset) -> list[str]:
    """The policies that neither maximise information nor know the scene, but the first one.

    And the baseline, whatever it does, if it is not the first one.
    """
    described = structured(results.attrs.get("policy_settings", "{}"))
    names = [str(name) for name in results["policy"].values]
    settings = described if isinstance(described, dict) else {}
    baseline = structured(results.attrs.get("baseline"))
    return [
        name for name in names[1:] if name == baseline or not _informed(name, settings.get(name))
    ]


def learned(results: xr.Dataset) -> list[str]:
    """The policies whose score is a gain in nats that a network expects."""
    described = structured(results.attrs.get("policy_settings", "{}"))
    settings = described if isinstance(described, dict) else {}
    return [name for name, each in settings.items() if _first_kind(each) == "Value"]


def _first_kind(described: Any) -> Any:
    """The kind of a policy, or of the one that it wraps to stop it."""
    inner = described.get("policy") if isinstance(described, dict) else None
    if inner is not None:
        return _first_kind(inner)
    return described.get("kind") if isinstance(described, dict) else None


def _informed(name: str, described: Any) -> bool:
    if described is None:
        return name in ("oracle", *LEARNED) or INFORMED.get(name, ("", "variance"))[1] not in NO_EIG
    kinds = list(_parts(described))
    return any(
        part.get("kind") in ("Oracle", "TwoStep", "Value", "Greedy", "Nonmyopic")
        or (part.get("kind") == "BOED" and _utility(part) not in NO_EIG)
        for part in kinds
    )


def _utility(part: dict[str, Any]) -> Any:
    estimator = part.get("estimator")
    return estimator.get("kind") if isinstance(estimator, dict) else estimator


def _parts(described: Any) -> Iterator[dict[str, Any]]:
    """A policy's description and those of the policies that it wraps."""
    if isinstance(described, dict):
        yield described
        for each in described.values():
            yield from _parts(each)
    elif isinstance(described, list):
        for each in described:
            yield from _parts(each)
