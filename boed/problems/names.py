"""Problems by name and options, or a model of the user's own, as the command line spells them.

location_finding,sources=1,noise=0.2
package.module:model,dimensions=2,lower=0,upper=1,observation=y,target=theta
package.module:model,dimensions=2,space=room
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.design_space import DesignSpace
from boed.foundation.checks import at_least, describe
from boed.foundation.fingerprint import is_users, of_function
from boed.foundation.identity import DIGITS
from boed.foundation.registry import Registry, check_known, import_object
from boed.foundation.spelling import split_options, toml_value
from boed.problems.constant_elasticity import ConstantElasticity
from boed.problems.death_process import DeathProcess
from boed.problems.finite_space import FiniteSpace
from boed.problems.hyperbolic_discounting import HyperbolicDiscounting
from boed.problems.linear_gaussian import LinearGaussian
from boed.problems.location_finding import LocationFinding, LocationFindingUnitSquare
from boed.problems.prey_population import PreyPopulation
from boed.problems.problem import Experiment, space_of
from boed.problems.two_alternative_choice import TwoAlternativeChoice

NAMES: Registry[Callable[..., Any]] = Registry(
    "problem",
    {
        "location_finding": LocationFinding,
        "location_finding_unit_square": LocationFindingUnitSquare,
        "constant_elasticity": ConstantElasticity,
        "hyperbolic_discounting": HyperbolicDiscounting,
        "death_process": DeathProcess,
        "prey_population": PreyPopulation,
        "two_alternative_choice": TwoAlternativeChoice,
        "finite_space": FiniteSpace,
        "linear_gaussian": LinearGaussian.one_dimension,
    },
    extra="or package.module:name of a model of your own",
)
"""The problems of one look at a time, in their textbook setting."""


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnModel:
    """A Pyro program of the user's as a problem.

    Args:
        program: `model(design)`, design `[*batch, K]`, every site of batch shape `*batch`.
        name: what it is called.
        dimensions: K.
        lower, upper: of each coordinate of a design; none where it may be any number.
        space: in place of these, which designs there are and what they cost.
        observation: site of the outcome.
        target: site that the question is about, or several, with `+` between.

    Raises:
        ValueError: no dimension, or bounds that do not enclose anything.
    """

    program: Callable[[Tensor], Any]
    name: str
    dimensions: int = 1
    lower: float | None = None
    upper: float | None = None
    space: DesignSpace | None = None
    observation: str = "y"
    target: tuple[str, ...] = ("theta",)

    def __post_init__(self) -> None:
        at_least(1, dimensions=self.dimensions)
        if (self.lower is None) != (self.upper is None):
            raise ValueError(
                f"problem {self.name}: lower is {self.lower} and upper {self.upper}, expected both "
                "or neither"
            )
        for each in ("lower", "upper"):
            bound = getattr(self, each)
            number = isinstance(bound, int | float) and not isinstance(bound, bool)
            if bound is not None and not (number and math.isfinite(bound)):
                raise ValueError(
                    f"problem {self.name}: {each} is {bound!r}, expected a finite number, the same "
                    "for each coordinate; a space of its own has others"
                )
        if self.lower is not None and self.upper is not None and not self.lower < self.upper:
            raise ValueError(
                f"problem {self.name}: lower is {self.lower}, expected less than upper, "
                f"{self.upper}"
            )
        if space_of(self) is None:
            return
        if self.lower is not None:
            raise ValueError(
                f"problem {self.name}: lower, upper and space are given, expected the bounds as "
                "those of the space"
            )
        for name in ("designs", "bounds", "start"):
            rows = getattr(self.space, name)
            if rows is not None and rows.shape[-1] != self.dimensions:
                raise ValueError(
                    f"problem {self.name}: {name} of its space have {rows.shape[-1]} coordinates "
                    f"and dimensions is {self.dimensions}, expected the same"
                )

    @property
    def bounds(self) -> Float[Tensor, "2 K"] | None:
        """Lowest and highest value of each coordinate; None where any design is valid."""
        if self.space is not None:
            return self.space.bounds
        if self.lower is None or self.upper is None:
            return None
        return torch.tensor([[self.lower], [self.upper]]).expand(2, self.dimensions)

    def model(self, design: Float[Tensor, "*batch K"]) -> Any:
        """The user's program."""
        return self.program(design)


def problem_named(text: str) -> Experiment:
    """The problem that a text asks for.

    Args:
        text: `NAME,option=value,...`; a name of `NAMES`, or the `package.module:name` of a model,
            or of a class or object that has one and says what `Experiment` asks for.

    Raises:
        ValueError: an unknown name or option, a value of another kind, or one that the problem
            refuses.
    """
    name, options = _read(text)
    if ":" in name:
        return _own(name, options)
    kind = NAMES[name.replace("-", "_")]
    known = [each for each in inspect.signature(kind).parameters if each not in _FACTS]
    for key in options:
        check_known(f"problem {name}: option", key, known)
    return _made(kind, name, options)


def problem_facts(problem: Experiment) -> dict[str, Any]:
    """What a problem is, as JSON holds it, to tell it from others: its kind and all settings.

    A model of the user's own is told by a checksum of its source, too.
    """
    facts: dict[str, Any] = {"kind": type(problem).__qualname__, "name": problem.name}
    program = getattr(problem, "program", problem.model)
    facts |= {"model": of_function(program)[:DIGITS]} if is_users(program) else {}
    space = space_of(problem)
    facts |= {} if space is None else {"space": space.facts()}
    if dataclasses.is_dataclass(problem):
        for each in dataclasses.fields(problem):
            value = getattr(problem, each.name)
            value = value.tolist() if isinstance(value, Tensor) else value
            if isinstance(value, bool | int | float | str | list | tuple):
                facts[each.name] = list(value) if isinstance(value, tuple) else value
    return facts


_FACTS = ("name", "observation", "target", "design_dims", "bounds", "looks")
"""Fields of this package's problems that no option changes."""


def _read(text: str) -> tuple[str, dict[str, Any]]:
    """Name and options; values as TOML has them, else text."""
    name, *parts = split_options(text)
    options: dict[str, Any] = {}
    for part in parts:
        key, equals, value = (each.strip() for each in part.partition("="))
        if not equals or not key.isidentifier() or key in options:
            raise ValueError(
                f"problem is {text!r}: {part!r} is no new option=value; expected "
                "NAME,option=value,..."
            )
        options[key] = toml_value(value)
    return name.strip(), options


def _own(name: str, options: dict[str, Any]) -> Experiment:
    thing = import_object(name, argument="problem")
    if isinstance(thing, FunctionType | MethodType):
        known = [each.name for each in dataclasses.fields(OwnModel)][2:]
        for key in options:
            check_known(f"problem {name}: option", key, known)
        if "target" in options:
            options["target"] = tuple(str(options["target"]).split("+"))
        if "space" in options:
            beside = f"{name.partition(':')[0]}:{options['space']}"
            options["space"] = import_object(
                beside, argument=f"problem {name}: space", kind=DesignSpace
            )
        return _made(OwnModel, name, {"program": thing, "name": name, **options})
    problem = _made(thing, name, options) if callable(thing) else thing
    for wanted in ("model", "name", "observation", "target", "bounds"):
        if not hasattr(problem, wanted):
            raise ValueError(
                f"problem {name} is {describe(problem)}, without {wanted}; expected a function "
                "model(design), or an object with model, name, observation, target and bounds"
            )
    made: Experiment = problem
    return made


def _made(kind: Callable[..., Any], name: str, options: dict[str, Any]) -> Any:
    for key, value in options.items():
        hint = inspect.signature(kind).parameters.get(key)
        default = None if hint is None else hint.default
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if isinstance(default, int | float) and not number:
            raise ValueError(f"problem {name}: {key} is {value!r}, expected a number")
        if type(default) is int and not isinstance(value, int):
            raise ValueError(f"problem {name}: {key} is {value!r}, expected a whole number")
    try:
        return kind(**options)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(
            f"problem {name} cannot be made with {options}: {type(error).__name__}: {error}"
        ) from error
