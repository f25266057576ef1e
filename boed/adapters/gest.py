"""A session as a generator of the gest-api standard, for Xopt, bluesky-adaptive and others.

https://github.com/campa-consortium/gest-api, version 0.2: `suggest` returns points, `ingest` takes
what came of them. bluesky-adaptive 1.0 asks its optimizers for the same, and for
`register_failures` and `should_stop`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gest_api.generator import Generator
from gest_api.vocs import VOCS, ContinuousVariable, DiscreteVariable, ExploreObjective
from numpy.typing import NDArray

from boed.foundation.arguments import check_kind, checked
from boed.foundation.checks import at_least
from boed.sensors.reading import record
from boed.sensors.sensor import candidates
from boed.session import Look, Session

ID = "_id"
"""Key of a look's id in a point."""

ERROR = "xopt_error"
"""Key by which Xopt says that an evaluation failed."""

Point = Mapping[str, Any]


class SessionGenerator(Generator):
    """Suggests the looks of a session, and takes their readings.

    A point has the look's id under `_id` and a value for each variable of the VOCS: the numbers of
    the design, in the order of the variables. Its result has the reading under the one output of
    the VOCS; or, of several, one number for each entry of the reading, row by row. A result whose
    outputs are None or missing, or that Xopt marks as an error, is a look that failed. A result
    without `_id` is a look that nobody suggested.

    The session stays one: a copy of the generator is the generator itself. Threads may share it: no
    look is given to two of them.

    >>> import torch
    >>> from gest_api.vocs import VOCS
    >>> from boed import PatchSensor, Random, Session
    >>> class Undecided:
    ...     def log_probs(self, observation):
    ...         return torch.full((len(observation), 2), 0.5).log()
    >>> session = Session(PatchSensor(32), Random(), Undecided())
    >>> vocs = VOCS(variables={"row": [0, 31], "column": [0, 31]}, observables=["picture"])
    >>> generator = SessionGenerator(vocs, session)
    >>> (point,) = generator.suggest(1)
    >>> sorted(point)
    ['_id', 'column', 'row']
    >>> generator.ingest([{**point, "picture": torch.rand(1, 8, 8).numpy()}])
    >>> len(session.beliefs()) - 1
    1

    Args:
        vocs: names of the design's numbers and of the outputs.
        session: whose looks they are.

    Raises:
        ValueError: another number of variables than a design has, variables whose domain leaves
            candidates out, no output, constraints, or objectives other than EXPLORE.
    """

    returns_id = True

    @checked
    def __init__(self, vocs: VOCS, session: Session) -> None:
        self.vocs, self.session = vocs, session
        self._given: set[int] = set()
        self._giving = threading.Lock()  # not the session's, whose readings wait for no decision
        super().__init__(vocs)

    def __deepcopy__(self, memo: dict[int, Any]) -> SessionGenerator:
        """Itself, as there is one instrument and one log."""
        return self

    @checked
    def suggest(self, num_points: int | None = None) -> list[dict[str, Any]]:
        """The next looks, those first that are pending and were not given to anyone yet.

        Args:
            num_points: how many; one, or none if nothing is left to do, if not given.

        Raises:
            ValueError: that many are not left, and why; or the session was stopped.
            OSError: the log cannot be written.
        """
        number = 1 if num_points is None else num_points
        at_least(1, num_points=number)
        with self._giving:
            looks = self._waiting(number)[:number]
            if num_points is not None and len(looks) < num_points:
                raise ValueError(
                    f"num_points is {num_points}, expected at most {len(looks)}: "
                    f"{self.session.reason}"
                )
            self._given.update(each.id for each in looks)
        constants = {name: each.value for name, each in self.vocs.constants.items()}
        names = self.vocs.variable_names
        return [
            {ID: each.id, **dict(zip(names, each.design, strict=True)), **constants}
            for each in looks
        ]

    @checked
    def ingest(self, results: Sequence[Point]) -> None:
        """Take what came of looks, all or none of them.

        Raises:
            ValueError: a result without design or output, of an unknown look, of one that is not
                pending or twice there, of another design than the look's, or a reading that the
                session refuses; or the session was stopped. Nothing is changed then.
            OSError: the log cannot be written.
        """
        with self.session.lock:
            taken = [self._result(each) for each in results]
            _check_once("results", [look for look, _ in taken])
            for look, reading in taken:
                self.session.ingest(look, reading)

    @checked
    def register_failures(self, suggestions: Sequence[Point]) -> None:
        """Looks that failed, all or none of them, which are not suggested again.

        Raises:
            ValueError: an unknown look, one that is not pending, or one that is twice there.
                Nothing is changed then.
        """
        with self.session.lock:
            for each in suggestions:
                check_kind("suggestion", each, Mapping)
            failed = [self._pending(each.get(ID)).id for each in suggestions]
            _check_once("suggestions", failed)
            for look in failed:
                self.session.ingest(look, None)

    def should_stop(self) -> tuple[bool, str | None]:
        """Whether nothing is left to do, and why."""
        if self.session.stopped is not None:
            return True, self.session.stopped
        with self._giving:
            if self.session.pending or self._waiting(1):
                return False, None
        return True, self.session.reason

    def finalize(self) -> None:
        """Let another process have the session's log."""
        self.session.close()

    def _waiting(self, number: int) -> list[Look]:
        """At least so many looks that were not given to anyone yet, if there are."""
        waiting = [each for each in self.session.pending if each.id not in self._given]
        if len(waiting) < number:
            waiting += self.session.suggest(number - len(waiting))
        return waiting

    def _validate_vocs(self, vocs: VOCS) -> None:
        """See the class."""
        designs = candidates(self.session.sensor, self.session.observation).cpu().numpy()
        sensor, names = type(self.session.sensor).__name__, vocs.variable_names
        if len(names) != designs.shape[1]:
            raise ValueError(
                f"vocs has {len(names)} variables ({', '.join(names)}), expected "
                f"{designs.shape[1]}: one for each number of a design of {sensor}"
            )
        for name, values in zip(names, designs.T, strict=True):
            _check_domain(name, vocs.variables[name], values)
        if vocs.constraints:
            raise ValueError(
                f"vocs has constraints ({', '.join(vocs.constraint_names)}), expected none: veto "
                "looks in the session instead"
            )
        for name, objective in vocs.objectives.items():
            if not isinstance(objective, ExploreObjective):
                raise ValueError(
                    f"vocs: objective {name} is {type(objective).__name__}, expected EXPLORE or an "
                    "observable: looks are chosen for what they tell"
                )
        if not vocs.output_names:
            raise ValueError("vocs has no output, expected an observable for the reading")

    def _result(self, result: Point) -> tuple[int | list[float], NDArray[np.float32] | None]:
        """A look and its reading, checked."""
        check_kind("result", result, Mapping)
        names = self.vocs.variable_names
        given = {name: result[name] for name in names if name in result}
        for name, value in given.items():
            check_kind(f"result: {name}", value, float)
        design = [float(value) for value in given.values()]
        look: int | list[float]
        if _is_missing(result.get(ID)):
            if len(design) != len(names):
                absent = next(name for name in names if name not in result)
                raise ValueError(f"result has neither {ID} nor {absent}, expected {ID} or a design")
            look = design
        else:
            known = self._pending(result[ID])
            if design and not np.allclose(design, known.design[: len(design)], atol=1e-6):
                raise ValueError(
                    f"result of look {known.id} is at {design}, expected {list(known.design)}; "
                    f"leave {ID} out for a look that nobody suggested"
                )
            look, design = known.id, list(known.design)
        return look, self._reading(result, look, design)

    def _reading(
        self, result: Point, look: int | list[float], design: list[float]
    ) -> NDArray[np.float32] | None:
        """The reading of a result, which the session will take; None of a look that failed."""
        shape = self.session.reading_shape(look)
        outputs = [result.get(name) for name in self.vocs.output_names]
        if _is_true(result.get(ERROR)) or all(each is None for each in outputs):
            return None
        given = outputs[0] if len(outputs) == 1 else outputs
        names = ", ".join(self.vocs.output_names)
        try:
            reading = np.asarray(given, dtype=np.float32)
            if reading.ndim <= 1 and reading.size == math.prod(shape):
                reading = reading.reshape(shape)
            sensor, seen = self.session.sensor, self.session.observation
            record(sensor, seen, design=torch.tensor(design), reading=reading)
        except (TypeError, ValueError) as error:
            raise ValueError(f"result: {names} of look {look}: {error}") from error
        return reading

    def _pending(self, given: Any) -> Look:
        """The pending look of an id, which tables may have made a float."""
        known: dict[Any, Look] = {each.id: each for each in self.session.looks}
        look = known.get(given) if isinstance(given, int | float | np.number) else None
        if look is None:
            ids = ", ".join(str(each.id) for each in self.session.pending) or "none is"
            raise ValueError(f"{ID} is {given!r}, expected that of a pending look: {ids}")
        if look.status != "pending":
            raise ValueError(f"{ID} is {look.id}, a look that was {look.status}")
        return look


def _check_once(name: str, looks: Sequence[int | list[float]]) -> None:
    for look in looks:
        if (number := looks.count(look)) > 1:
            raise ValueError(f"{name} have look {look} {number} times, expected once")


def _check_domain(name: str, variable: Any, values: NDArray[Any]) -> None:
    """Refuse a variable that cannot be what some candidates are."""
    if isinstance(variable, DiscreteVariable):
        inside = np.isin(
            values, [each for each in variable.values if isinstance(each, int | float)]
        )
        what = f"values {sorted(variable.values, key=str)}"
    elif type(variable) is ContinuousVariable:
        low, high = variable.domain
        inside, what = (values >= low) & (values <= high), f"domain [{low:g}, {high:g}]"
    else:
        raise ValueError(
            f"vocs: variable {name} is {type(variable).__name__}, expected ContinuousVariable or "
            "DiscreteVariable"
        )
    if not inside.all():
        raise ValueError(
            f"vocs: variable {name} has the {what}, which leaves out {values[~inside][0]:g}; "
            f"expected all candidates, {values.min():g} to {values.max():g}"
        )


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_true(value: Any) -> bool:
    return isinstance(value, bool | np.bool_) and bool(value)
