"""A session with an instrument: it suggests looks and takes readings, in any order."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from boed.acquisition import Acquisition, Budget
from boed.classifiers.classifier import Classifier
from boed.data.observation import Observation
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least, attribute, describe
from boed.foundation.events import UNDO
from boed.foundation.randomness import per_scene
from boed.policies.policy import Policy
from boed.sensors.reading import floating, pixels_of
from boed.sensors.sensor import Sensor
from boed.session.account import Look
from boed.session.ahead import Ahead
from boed.session.beginning import begin, scene_shape
from boed.session.known import Known
from boed.session.log import Log, Logged
from boed.session.proposing import propose, suggestion
from boed.session.state import State

P = ParamSpec("P")
R = TypeVar("R")


def _alone(
    method: Callable[Concatenate[Session, P], R],
) -> Callable[Concatenate[Session, P], R]:
    """One thread at a time."""

    @functools.wraps(method)
    def alone(self: Session, *args: P.args, **options: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **options)

    return alone


@checked
class Session(Known, Logged):
    """Where an instrument looks next, given what it has read so far.

    The loop of `acquire` around a scene that nobody holds: `suggest` says where to look, `ingest`
    takes the reading, and the belief is that of all readings so far. Readings may come in any
    order, of looks that nobody suggested, too, and looks may fail. Several looks may be pending:
    the next one is then chosen for what it adds to them. Given a folder, what was suggested and
    read is on the disk before a method returns; the same call finds it again after whatever
    happened in between, and goes on as if nothing had. Threads may share it: while one waits for a
    suggestion, others take readings, and what they changed is decided anew.

    >>> import torch
    >>> from boed import PatchSensor, Random
    >>> class Undecided:
    ...     def log_probs(self, observation):
    ...         return torch.full((len(observation), 2), 0.5).log()
    >>> session = Session(PatchSensor(32), Random(), Undecided())
    >>> look, = session.suggest()
    >>> session.reading_shape(look)
    (1, 8, 8)
    >>> session.ingest(look, torch.rand(1, 8, 8))
    >>> session.belief()
    tensor([0.5000, 0.5000])

    Args:
        sensor: model of the instrument.
        policy: where to look.
        classifier: the belief.
        path: folder of the session's log; kept in memory alone if not given.
        shape: channels, height and width of the scene; one channel of the sensor's own height and
            width if not given.
        budget: of cost, and of seconds of deciding.
        seed: of the policy's decisions.
        memory: bound on the images held at once, MiB.
        prefetch: decide in a thread of its own as soon as something has happened, before `suggest`
            asks; the looks are the same.

    Attributes:
        reason: why the last `suggest` had less to suggest than it was asked for, else None.
        lock: held while anything changes; hold it to read several things that belong together.

    Raises:
        ValueError: parts that do not keep to their protocols, a shape that is missing or wrong, or
            a folder that is in use, damaged, of something else or of another session.
        OSError: the folder cannot be written.
    """

    @torch.no_grad()
    def __init__(
        self,
        sensor: Sensor,
        policy: Policy,
        classifier: Classifier,
        *,
        path: Path | str | None = None,
        shape: tuple[int, int, int] | None = None,
        budget: Budget | None = None,
        seed: int = 0,
        memory: int = 512,
        prefetch: bool = False,
    ) -> None:
        if attribute(policy, "needs_truth", False):
            raise ValueError(
                f"policy is {describe(policy)}, which chooses by the whole scene; a session never "
                "knows that: expected a policy that needs none"
            )
        self.lock = threading.RLock()
        self._seed = per_scene(seed, 1)[0]
        channels, *sides = scene_shape(sensor, shape)
        self._start = Acquisition(
            sensor=sensor,
            policy=policy,
            classifier=classifier,
            start=Observation.nothing(1, channels, (sides[0], sides[1])),
            budget=budget or Budget(),
            memory=memory,
        )
        self.reason: str | None = None
        self._ahead = Ahead(lambda state: propose(state, self._seed)) if prefetch else None
        self._log = Log(path)
        try:
            begin(self._log, self._start, seed)
            self._state = State.after(self._start, self._log.events)
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let another process have the log."""
        if self._ahead is not None:
            self._ahead.close()
        super().close()

    @checked
    @torch.no_grad()
    def suggest(self, n: int = 1) -> list[Look]:
        """The next looks; none if there is nothing left to do, see `reason`.

        Args:
            n: how many, chosen jointly: each for what it adds to those before it and to all that
                are pending.

        Raises:
            ValueError: `n` below 1, or the session was stopped.
            OSError: the log cannot be written.
        """
        at_least(1, n=n)
        if self._ahead is not None:
            self._ahead.asked(len(self.pending))
        looks: list[Look] = []
        while len(looks) < n:
            with self.lock:
                self._check_goes_on()
                state, known = self._state.copy(), len(self._log.events)
            if self._ahead is None:
                proposal, reason = propose(state, self._seed)
            else:
                proposal, reason = self._ahead.decision(known, state)
            with self.lock:
                if len(self._log.events) > known:  # something happened meanwhile
                    continue
                self.reason = reason
                if proposal is None or reason is not None:
                    break
                self._do("suggestion", *suggestion(proposal, len(state.looks)))
                looks.append(self._state.looks[-1])
        return looks

    @checked
    @_alone
    def choose(
        self, design: Sequence[float] | Tensor, *, instead: Look | int | None = None
    ) -> Look:
        """A look of your own choice, pending from now on as if it had been suggested.

        Args:
            design: in the sensor's own terms.
            instead: a pending look that it takes the place of, which may be suggested again.

        Raises:
            ValueError: a design that the sensor cannot take, an unknown look, one that is not
                pending, or the session was stopped.
            OSError: the log cannot be written.
        """
        self._check_goes_on()
        look = self._state.unasked(design)
        facts: dict[str, Any] = {"id": look.id, "design": look.design, "cost": look.cost}
        if instead is not None:
            facts["instead"] = self._state.known_pending(instead).id
        self._do("choice", facts)
        return self._state.looks[-1]

    @checked
    @_alone
    @torch.no_grad()
    def ingest(
        self,
        look: Look | int | Sequence[float] | Tensor,
        reading: ArrayLike | None,
        *,
        cost: float | None = None,
        source: str | None = None,
    ) -> None:
        """Take the reading of a look.

        Args:
            look: a suggested one or its id; or the design of a look that nobody suggested.
            reading: of `reading_shape`: pixels in [0, 1], or readings in the sensor's unit; None
                for a look that failed, which is not suggested again.
            cost: what it did cost, if not what the sensor says: of the look, and of the way to it
                from the last one ingested.
            source: where the reading came from, for the log.

        Raises:
            ValueError: an unknown look, one that is not pending, a design that the sensor cannot
                take, a reading of another shape, not finite or not of floating-point numbers, a
                cost below 0 or not finite, or the session was stopped. Nothing is changed then.
            OSError: the log cannot be written. Nothing is changed then.
        """
        self._check_goes_on()
        if cost is not None:
            at_least(0, cost=cost)
            if not bool((self._state.now.spent + cost).isfinite().all()):
                raise ValueError(f"cost is {cost:g}, too high to be added to {self.spent:g} spent")
        state = self._state
        if isinstance(look, Look | int | Integral):
            known = state.known_pending(look)
        else:
            known = state.unasked(look)
        facts: dict[str, Any] = {
            "look": known.id,
            "cost": state.cost(known) if cost is None else cost,
        }
        if not known.suggested:
            facts["design"] = known.design
        if source is not None:
            facts["source"] = source
        if reading is None:
            self._do("failed", facts)
            return
        after = state.recorded(known, reading)
        belief = state.now.believe(after)[0].cpu().numpy()
        numbers = {"reading": floating(reading).cpu().numpy(), "log_belief": belief}
        shown = pixels_of(state.now.sensor, state.now.observation, state.design(known))
        if shown is not None:  # so that others need no sensor to know what was seen
            numbers["shown"] = np.packbits(shown.cpu().numpy())
        self._do("reading", facts, numbers, after=after)

    @checked
    @_alone
    def veto(self, look: Look | int) -> None:
        """Withdraw a pending look, which is not suggested again.

        Raises:
            ValueError: an unknown look, one that is not pending, or the session was stopped.
            OSError: the log cannot be written.
        """
        self._check_goes_on()
        self._do("veto", {"look": self._state.known_pending(look).id})

    @checked
    @_alone
    def label(self, label: int | list[int]) -> None:
        """Record the truth about the question, now that it is known; it changes no belief.

        Args:
            label: number of the answer, or 0 or 1 for each finding.

        Raises:
            ValueError: it is none of the belief's answers.
            OSError: the log cannot be written.
        """
        self._state.check_label(label)
        self._do("label", {"label": label})

    @checked
    @_alone
    def stop(self, reason: str = "stopped by hand") -> None:
        """Suggest no more and take no more readings; `undo` goes on.

        Raises:
            ValueError: it was stopped before.
            OSError: the log cannot be written.
        """
        self._check_goes_on()
        self._do("stop", {"reason": reason})

    @_alone
    def undo(self) -> str:
        """Take the last thing back: a suggestion, choice, reading, failure, veto, label or stop.

        Returns:
            What was taken back.

        Raises:
            ValueError: nothing has happened.
            OSError: the log cannot be written.
        """
        happened = self.history
        if not happened:
            raise ValueError("undo: nothing has happened in this session yet")
        self._log.append(UNDO, {})
        self._state = State.after(self._start, self._log.events)
        self.reason = None
        self._prepare()
        return happened[-1].kind

    @checked
    def report(self, path: Path | str, *, answers: Sequence[str] = ()) -> None:
        """Write a page that shows what was seen, decided and believed, as `boed report` does.

        Args:
            path: HTML file to write; it loads nothing from elsewhere.
            answers: names of the answers, or of the findings; they are numbered if not given.

        Raises:
            ValueError: another number of names.
            OSError: it cannot be written.
        """
        from boed.session.report import write_session_report

        write_session_report(list(self._log.events), path, answers=answers)

    def _do(
        self,
        kind: str,
        facts: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]] | None = None,
        *,
        after: Observation | None = None,
    ) -> None:
        """Log an event, then let it happen; `after` is what is known after a reading."""
        self._state.apply(self._log.append(kind, facts, arrays), after=after)
        self._prepare()

    def _prepare(self) -> None:
        """Begin with the next decision, if it is made ahead."""
        if self._ahead is not None:
            self._ahead.prepare(len(self._log.events), self._state.copy())

    def _check_goes_on(self) -> None:
        if self.stopped is not None:
            raise ValueError(f"the session was stopped ({self.stopped}); undo takes that back")
