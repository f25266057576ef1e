"""A session with an instrument: it suggests looks and takes readings, in any order."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from boed.acquisition import Acquisition, Budget, Proposal
from boed.classifiers.classifier import Classifier
from boed.completion.completer import complete
from boed.data.observation import Observation
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least, attribute
from boed.foundation.identity import identity
from boed.foundation.randomness import derive, per_scene
from boed.policies.policy import Decision, Policy
from boed.sensors.reading import reading_shape, record
from boed.sensors.sensor import Sensor, candidate_masks, costs
from boed.session.ahead import Ahead
from boed.session.log import Event, Log
from boed.session.pending import Pending
from boed.session.state import UNDO, Look, Scores, State, effective

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
class Session:
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
        self.lock = threading.RLock()
        self._seed = per_scene(seed, 1)[0]
        channels, *sides = _shape(sensor, shape)
        self._start = Acquisition(
            sensor=sensor,
            policy=policy,
            classifier=classifier,
            start=Observation.nothing(1, channels, (sides[0], sides[1])),
            budget=budget or Budget(),
            memory=memory,
        )
        self.reason: str | None = None
        self._ahead = Ahead(self._propose) if prefetch else None
        self._log = Log(path)
        try:
            self._begin(seed)
            self._state = State.after(self._start, self._log.events)
            self._prepare()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have the log."""
        if self._ahead is not None:
            self._ahead.close()
        self._log.close()

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
                proposal, reason = self._propose(state)
            else:
                proposal, reason = self._ahead.decision(known, state)
            with self.lock:
                if len(self._log.events) > known:  # something happened meanwhile
                    continue
                self.reason = reason
                if proposal is None or reason is not None:
                    break
                looks.append(self._suggested(proposal))
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
        look = self._unasked(design)
        facts: dict[str, Any] = {"id": look.id, "design": look.design, "cost": look.cost}
        if instead is not None:
            facts["instead"] = self._pending(instead).id
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
    ) -> None:
        """Take the reading of a look.

        Args:
            look: a suggested one or its id; or the design of a look that nobody suggested.
            reading: of `reading_shape`: pixels in [0, 1], or readings in the sensor's unit; None
                for a look that failed, which is not suggested again.
            cost: what it did cost, if not what the sensor says.

        Raises:
            ValueError: an unknown look, one that is not pending, a design that the sensor cannot
                take, a reading of another shape, not finite or not of floating-point numbers, or
                the session was stopped. Nothing is changed then.
            OSError: the log cannot be written. Nothing is changed then.
        """
        self._check_goes_on()
        if cost is not None:
            at_least(0, cost=cost)
        known = self._pending(look) if isinstance(look, Look | int) else self._unasked(look)
        facts: dict[str, Any] = {"look": known.id, "cost": known.cost if cost is None else cost}
        if not known.suggested:
            facts["design"] = known.design
        if reading is None:
            self._do("failed", facts)
            return
        now = self._state.now
        after = record(
            now.sensor, now.observation, design=self._state.design(known), reading=reading
        )
        belief = now.believe(after)[0].cpu().numpy()
        numbers = {"reading": np.asarray(reading, dtype=np.float32), "log_belief": belief}
        self._do("reading", facts, numbers)

    @checked
    @_alone
    def veto(self, look: Look | int) -> None:
        """Withdraw a pending look, which is not suggested again.

        Raises:
            ValueError: an unknown look, one that is not pending, or the session was stopped.
            OSError: the log cannot be written.
        """
        self._check_goes_on()
        self._do("veto", {"look": self._pending(look).id})

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
        *findings, answers = self._start.log_belief.shape[1:]
        given = [label] if isinstance(label, int) else label
        number = findings[0] if findings else 1
        known = range(answers)
        if len(given) != number or not all(
            isinstance(each, int) and each in known for each in given
        ):
            each = f" for each of {number} findings" if findings else ""
            raise ValueError(f"label is {label}, expected 0 to {answers - 1}{each}")
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

    @property
    def observation(self) -> Observation:
        """What has been seen, of one scene."""
        return self._state.now.observation

    @property
    def looks(self) -> list[Look]:
        """All looks, in order of their id."""
        return list(self._state.looks)

    @property
    def pending(self) -> list[Look]:
        """Looks that were suggested or chosen and of which nothing was heard yet."""
        return self._state.pending

    @property
    def spent(self) -> float:
        """Cost of all looks that were taken or failed."""
        return float(self._state.now.spent[0])

    @property
    def sensor(self) -> Sensor:
        """Model of the instrument."""
        return self._start.sensor

    @property
    def policy(self) -> Policy:
        """Where to look."""
        return self._start.policy

    @property
    def budget(self) -> Budget:
        """What the looks may cost at most."""
        return self._start.budget

    @property
    def stopped(self) -> str | None:
        """Why no more looks are taken, if so."""
        return self._state.stopped

    @property
    def history(self) -> list[Event]:
        """All that happened and was not taken back, in order."""
        return effective(self._log.events)

    def belief(self) -> Float[Tensor, "*L K"]:
        """The probability of each answer, `[K]`, or of each finding, `[L, 2]`."""
        return self._state.now.log_belief[0].exp()

    def beliefs(self) -> Float[Tensor, "T+1 *L K"]:
        """The belief after 0, 1, ... T readings."""
        return torch.stack(self._state.beliefs).exp()

    def map(self) -> Scores | None:
        """Candidates `[D, K]` and the score of each `[D]` when the last look was suggested.

        EIG in nats for policies that estimate it, together with all looks that were pending; NaN
        where a search did not evaluate. None if there was no suggestion, or it had no scores.
        """
        return self._state.scores

    @checked
    @torch.no_grad()
    def completions(self, n: int = 10) -> Float[Tensor, "n C H W"]:
        """What the whole scene may be, given what has been seen: samples of the policy's completer.

        Raises:
            ValueError: `n` below 1, or the policy has no completer.
        """
        at_least(1, n=n)
        policy = self._start.policy
        completer = attribute(policy, "completer", None)
        if completer is None:
            raise ValueError(
                f"completions: {type(policy).__name__} has no completer; expected a policy that "
                "draws completions, such as BOED"
            )
        seed = derive(self._seed, "completions", self._state.number)
        return complete(completer, self.observation, n, seed=seed).scenes[:, 0]

    @checked
    def reading_shape(self, look: Look | int | Sequence[float] | Tensor) -> tuple[int, ...]:
        """Shape of the reading of a look: `[C, h, w]`, `[C, n]` or `[n]`.

        See `boed.sensors.reading.reading_shape`.

        Raises:
            ValueError: an unknown look, or a design that the sensor cannot take.
        """
        known = self._known(look) if isinstance(look, Look | int) else self._unasked(look)
        return reading_shape(self._start.sensor, self.observation, self._state.design(known))

    def _begin(self, seed: int) -> None:
        """Write what session this is, or make sure that the log is of this one."""
        start = self._start
        facts = {
            "shape": list(start.observation.values.shape[1:]),
            "seed": seed,
            "budget": {"cost": start.budget.cost, "seconds": start.budget.seconds},
            "sensor": identity(start.sensor),
            "policy": identity(start.policy),
            "classifier": identity(start.classifier),
        }
        if not self._log.events:
            self._log.append("begin", facts)
            return
        first = self._log.events[0]
        before = first.facts if first.kind == "begin" else {}
        for name, ours in facts.items():
            if before.get(name) != ours:
                raise ValueError(
                    f"log {self._log.folder} is of a session whose {name} is {before.get(name)}, "
                    f"this one's is {ours}; expected the same, or another folder as path"
                )

    def _propose(self, state: State) -> tuple[Proposal | None, str | None]:
        """The next look, and what speaks against it."""
        now = state.now
        if state.number > 0 and now.budget.is_late(state.seconds):
            return None, f"the budget of {now.budget.seconds:g} seconds of deciding is spent"
        pending, without = state.designs("pending"), state.designs("failed", "vetoed")
        sensor = now.sensor
        if len(pending) or len(without):
            sensor = Pending(sensor, pending, without)
            if not len(sensor.designs(now.observation)):
                return None, "every candidate was read, is pending, failed or was vetoed"
        proposal = now.propose(
            torch.tensor([0]),
            [derive(self._seed, "look", state.number)],
            sensor=sensor,
            reserved=sum(each.cost for each in state.pending),
        )
        if proposal.complete[0]:
            return proposal, "everything that the candidates can read has been read"
        if proposal.stopped[0]:
            return proposal, "the policy says that no further look is needed"
        if not proposal.affordable[0]:
            return proposal, f"the budget of {now.budget.cost:g} has no room for the next look"
        return proposal, None

    def _suggested(self, proposal: Proposal) -> Look:
        """The proposed look, now pending."""
        decision = proposal.decision
        eig, error = _eig(decision)
        facts = {
            "id": len(self._state.looks),
            "design": decision.designs[0].tolist(),
            "eig": eig,
            "standard_error": error,
            "cost": float(proposal.cost[0]),
            "seconds": proposal.seconds,
        }
        arrays = {}
        if decision.scores is not None:
            arrays = {
                "candidates": decision.candidates.cpu().numpy(),
                "scores": decision.scores[0].float().cpu().numpy(),
            }
        self._do("suggestion", facts, arrays)
        return self._state.looks[-1]

    def _do(
        self, kind: str, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None
    ) -> None:
        """Log an event, then let it happen."""
        self._state.apply(self._log.append(kind, facts, arrays))
        self._prepare()

    def _prepare(self) -> None:
        """Begin with the next decision, if it is made ahead."""
        if self._ahead is not None:
            self._ahead.prepare(len(self._log.events), self._state.copy())

    def _check_goes_on(self) -> None:
        if self.stopped is not None:
            raise ValueError(f"the session was stopped ({self.stopped}); undo takes that back")

    def _known(self, look: Look | int) -> Look:
        number = look.id if isinstance(look, Look) else look
        looks = self._state.looks
        if not 0 <= number < len(looks):
            ids = f"0 to {len(looks) - 1}" if looks else "none so far"
            raise ValueError(f"look is {number}, expected the id of one of this session: {ids}")
        return looks[number]

    def _pending(self, look: Look | int) -> Look:
        known = self._known(look)
        if known.status != "pending":
            ids = ", ".join(str(each.id) for each in self.pending) or "none is"
            raise ValueError(f"look {known.id} was {known.status}, expected a pending one: {ids}")
        return known

    def _unasked(self, design: Sequence[float] | Tensor) -> Look:
        """A look that nobody suggested, after making sure that the sensor can take it."""
        now = self._state.now
        try:
            row = torch.as_tensor(design, dtype=torch.get_default_dtype())[None]
            candidate_masks(now.sensor, now.observation, row)
            cost = float(costs(now.sensor, row)[0])
        except (TypeError, ValueError, IndexError, OverflowError, RuntimeError) as error:
            raise ValueError(
                f"look is {design!r}, which is no design of {type(now.sensor).__name__}: {error}"
            ) from error
        number = len(self._state.looks)
        return Look(id=number, design=tuple(row[0].tolist()), cost=cost, suggested=False)


def _eig(decision: Decision) -> tuple[float | None, float | None]:
    """EIG of the chosen look and its standard error, where the policy has them; nats."""
    score = decision.chosen_score()
    if score is None or not score.isfinite().all():
        return None, None
    if decision.gains is None or decision.completions is None or decision.chosen[0] < 0:
        return float(score[0]), None
    gains = decision.gains[:, 0, decision.chosen[0]].double()
    weights = decision.completions.weights[: len(gains), 0].double()
    effective_number = float(weights.sum().square() / weights.square().sum())
    if len(gains) != len(weights) or effective_number <= 1 or not gains.isfinite().all():
        return float(score[0]), None
    weights = weights / weights.sum()
    variance = (weights * (gains - (weights * gains).sum()).square()).sum()
    return float(score[0]), float((variance / (effective_number - 1)).sqrt())


def _shape(sensor: Sensor, shape: tuple[int, int, int] | None) -> tuple[int, int, int]:
    """Channels, height and width of the scene."""
    if shape is None:
        sides = attribute(sensor, "shape", None)
        if not isinstance(sides, tuple):
            raise ValueError(
                f"shape is not given and {type(sensor).__name__} has no shape (height, width); "
                "expected shape=(channels, height, width)"
            )
        return (1, *sides)
    if len(shape) != 3 or not all(isinstance(each, int) and each > 0 for each in shape):
        raise ValueError(f"shape is {shape}, expected (channels, height, width), all above 0")
    return shape
