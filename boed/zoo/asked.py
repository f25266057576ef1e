"""What a run was asked for: names, paths and objects, refused before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from boed.classifiers.classifier import Classifier, check_is_classifier
from boed.classifiers.evaluation.primary import Primary
from boed.completion.completer import Completer, check_is_completer
from boed.completion.log_probability import LikelihoodCompleter, meaning
from boed.data.dataset import Dataset
from boed.data.labels import SPLITS
from boed.foundation.arguments import check_kind
from boed.foundation.checks import check_protocol, describe
from boed.foundation.options import COUNT, FRACTION, Device, Names, OneOf, Shares, refusal
from boed.foundation.precision import PRECISIONS
from boed.foundation.registry import check_known, looks_like_path
from boed.policies import Policy
from boed.policies.names import POLICIES, named_policy
from boed.policies.policy import check_is_policy
from boed.search import Search
from boed.sensors import Sensor
from boed.sensors.registry import check_sensor_name
from boed.sensors.sensor import check_is_sensor
from boed.zoo.effects import check_of_the_data
from boed.zoo.names import check_names, shipped_of, weights


@dataclass(frozen=True, eq=False, kw_only=True)
class Asked:
    """The arguments of `boed.setup`, which says what each of them is.

    Raises:
        ValueError: one is unknown, of another kind, or does not go with another.
    """

    data: str | Path | Dataset
    sensor: str | Mapping[str, Any] | Sensor | None
    classifier: str | Path | Classifier | None
    completer: str | Path | Completer | None
    reweight: str | Path | LikelihoodCompleter | None
    policies: Sequence[str] | Mapping[str, Policy]
    baseline: str | None
    primary: str | None
    library: str | Path | Dataset | None
    val: Dataset | None
    size: int | None
    split: str | None
    steps: int
    completions: int
    search: str | Search
    precision: str
    prevalence: str | float | Mapping[str, float] | None
    until: float | None
    memory: int
    device: str

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_parts()
        self._check_data()
        OneOf(PRECISIONS).check("precision", self.precision)
        if self.prevalence is not None:
            Shares().check("prevalence", self.prevalence)
        if self.until is not None:
            FRACTION.check("until", self.until)
        Device().check("device", self.device)
        if isinstance(self.sensor, str | Mapping):
            check_sensor_name(self.sensor)
        if self.primary is not None:
            Primary.read(self.primary, steps=self.steps)
        if self.baseline is not None:
            check_known("baseline", self.baseline, self.names)
        check_names(
            classifier=self.classifier,
            completers=[self.completer],
            reweight=self.reweight,
            search=self.search,
        )

    @cached_property
    def names(self) -> list[str]:
        """The policies' names, each once.

        Raises:
            ValueError: an unknown name, one given twice, or an object that is no policy.
        """
        policies = self.policies
        if isinstance(policies, Mapping):
            for name, policy in policies.items():
                check_is_policy(policy, f"policies: {name!r}")
        elif not isinstance(policies, Sequence) or any(not isinstance(p, str) for p in policies):
            raise refusal("policies", policies, "names of policies, or objects by name")
        Names().check("policies", list(policies))
        if isinstance(policies, Mapping):
            return list(policies)
        for asked in policies:
            name, where = named_policy(asked)
            if where is not None and (name != where or looks_like_path(where)):
                weights("policies", where, "policies", known=list(POLICIES))
            elif where is not None and where not in shipped_of("policies"):
                extra = "or package.module:Class for your own"
                check_known("policies", name, POLICIES, extra=extra)
        names = [named_policy(asked)[0] for asked in policies]
        Names().check("policies", names)
        return names

    @property
    def scenes_split(self) -> str:
        """The split that is looked at."""
        return self.split or (self.data.split if isinstance(self.data, Dataset) else "test")

    @property
    def options(self) -> dict[str, Any]:
        """All of it, as a file of settings holds it; None where nothing was asked for."""
        return {
            "data": _in_words(self.data),
            "sensor": _in_words(self.sensor),
            "classifier": _in_words(self.classifier),
            "completer": _in_words(self.completer),
            "reweight": _in_words(self.reweight),
            "policies": list(self.policies),
            "baseline": self.baseline,
            "primary": self.primary,
            "library": _in_words(self.library),
            "size": self.size,
            "split": self.scenes_split,
            "steps": self.steps,
            "completions": self.completions,
            "search": _in_words(self.search),
            "precision": self.precision,
            "prevalence": _in_words(self.prevalence),
            "until": self.until,
            "memory": self.memory,
            "device": self.device,
        }

    @property
    def given(self) -> list[str]:
        """Arguments other than the default that might have no effect."""
        given = {
            "completer": self.completer is not None,
            "reweight": self.reweight is not None,
            "library": self.library is not None,
            "val": self.val is not None,
            "completions": self.completions != 10,
            "search": self.search != "racing",
            "precision": self.precision == "auto",
        }
        return [name for name, is_given in given.items() if is_given]

    def _check_numbers(self) -> None:
        for name in ("steps", "completions", "memory"):
            COUNT.check(name, getattr(self, name))
        if self.size is not None:
            COUNT.check("size", self.size)

    def _check_parts(self) -> None:
        """Refuse what is neither a name, a path nor an object of its kind."""
        search = self.search
        if not isinstance(search, str) and (isinstance(search, type) or not callable(search)):
            raise ValueError(
                f"search is {describe(search)}, expected a name or an object of boed.search"
            )
        checks = {
            "sensor": (check_is_sensor, str | Mapping),
            "classifier": (check_is_classifier, str | Path),
            "completer": (check_is_completer, str | Path),
            "reweight": (_check_reweights, str | Path),
        }
        for name, (check, named) in checks.items():
            part = getattr(self, name)
            if part is not None and not isinstance(part, named):
                check(part)

    def _check_data(self) -> None:
        check_kind("data", self.data, str | Path | Dataset)
        check_kind("library", self.library, str | Path | Dataset | None)
        check_kind("val", self.val, Dataset | None)
        check_kind("baseline", self.baseline, str | None)
        check_kind("primary", self.primary, str | None)
        if self.split is not None:
            OneOf(SPLITS).check("split", self.split)
        if isinstance(self.data, Dataset):
            check_of_the_data(self.data, size=self.size, split=self.split)


def _check_reweights(reweight: object) -> None:
    check_protocol("reweight", reweight, LikelihoodCompleter)
    meaning(reweight)


def _in_words(part: object) -> Any:
    """How a file of settings says what was asked for."""
    if part is None or isinstance(part, str | int | float):
        return part
    if isinstance(part, Path):
        return str(part)
    if isinstance(part, Mapping):
        return dict(part)
    if isinstance(part, Dataset):
        return part.name
    return f"a {type(part).__qualname__} object"
