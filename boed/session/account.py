"""What happened in a session, look by look: all that its log says without sensor and models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from boed.foundation.events import Event, effective
from boed.foundation.options import Number

Status = Literal["pending", "taken", "failed", "vetoed", "replaced"]


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look of a session.

    Attributes:
        id: its number, from 0.
        design: in the sensor's own terms.
        eig: expected information gain in nats, of this look and all that were pending together;
            None where the policy estimates none.
        standard_error: Monte-Carlo standard error of `eig` in nats.
        winners_curse: how much too high `eig` is on average, since it is the highest of many
            estimates; nats, None where unknown.
        cost: in the sensor's unit; the way to it included, where there is one to pay.
        status: what became of it.
        suggested: by the policy; the others were chosen, or taken unasked.
    """

    id: int
    design: tuple[float, ...]
    eig: float | None = None
    standard_error: float | None = None
    winners_curse: float | None = None
    cost: float
    status: Status = "pending"
    suggested: bool = True


Scores = tuple[Float[Tensor, "D K"], Float[Tensor, " D"]]
"""Candidates, and the score of each."""


@dataclass(kw_only=True)
class Account:
    """What the events so far amount to.

    Attributes:
        looks: all of them, in order of their id.
        taken: ids of those of which there is a reading, in its order.
        beliefs: log-belief after 0, 1, ... readings, `[*L, K]` each.
        scores: of the last suggestion, where it had any.
        seconds: of deciding.
        label: the truth, once it is known.
        stopped: why no more looks are taken, if so.
    """

    looks: list[Look] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    beliefs: list[Float[Tensor, "*L K"]] = field(default_factory=list)
    scores: Scores | None = None
    seconds: float = 0.0
    label: int | list[int] | None = None
    stopped: str | None = None

    def apply(self, event: Event) -> None:
        """Go on by one event that is no undo.

        Raises:
            ValueError: it cannot have happened after what happened before.
        """
        facts = event.facts
        if self.stopped is not None and event.kind != "label":
            raise ValueError(f"the session was stopped before ({self.stopped})")
        if event.kind == "suggestion":
            told = {name: facts[name] for name in ("eig", "standard_error")}
            told["winners_curse"] = facts.get("winners_curse")  # logs of before do not say it
            self._add(facts, suggested=True, **told)
            self.seconds += _cost("seconds", facts["seconds"])
            if "scores" in event.arrays:
                offered, scores = (event.arrays[name] for name in ("candidates", "scores"))
                self.scores = (torch.from_numpy(offered), torch.from_numpy(scores))
        elif event.kind == "choice":
            if "instead" in facts:
                self._become("replaced", facts["instead"])
            self._add(facts, suggested=False)
        elif event.kind == "reading":
            self._hear("taken", facts)
            self.taken.append(facts["look"])
            self.beliefs.append(torch.from_numpy(event.arrays["log_belief"]))
        elif event.kind == "failed":
            self._hear("failed", facts)
        elif event.kind == "veto":
            self._become("vetoed", facts["look"])
        elif event.kind == "label":
            self.label = facts["label"]
        elif event.kind == "stop":
            self.stopped = facts["reason"]
        else:
            raise ValueError("there is no such event")

    def go_on(self, events: Sequence[Event]) -> None:
        """Go on by all of a log's events, without its beginning and what was taken back.

        Raises:
            ValueError: an event that cannot have happened, as it lacks a fact, is about a look
                that there is not, or comes when it could not: somebody has changed the log.
        """
        for event in effective(events):
            try:
                self.apply(event)
            except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
                raise ValueError(
                    f"log is damaged: its event {event.kind!r} {event.facts} cannot have happened "
                    f"({type(error).__name__}: {error})"
                ) from error

    @property
    def pending(self) -> list[Look]:
        """Looks that were suggested or chosen and of which nothing was heard yet."""
        return [each for each in self.looks if each.status == "pending"]

    @property
    def number(self) -> int:
        """How many looks there were, withdrawn ones left out: a decision's seed depends on it."""
        return sum(each.status not in ("vetoed", "replaced") for each in self.looks)

    def _add(self, facts: dict[str, Any], *, suggested: bool, **told: Any) -> None:
        """A look that is pending from now on."""
        number, design = facts["id"], _design(facts["design"])
        if type(number) is not int or number != len(self.looks):
            raise ValueError(f"id is {number!r}, expected the next one, {len(self.looks)}")
        cost = _cost("cost", facts["cost"])
        self.looks.append(Look(id=number, design=design, cost=cost, suggested=suggested, **told))

    def _hear(self, status: Status, facts: dict[str, Any]) -> None:
        """What became of a look, which may be one that nobody suggested."""
        if facts["look"] == len(self.looks):
            self._add({**facts, "id": facts["look"]}, suggested=False)
        self._become(status, facts["look"], cost=_cost("cost", facts["cost"]))

    def _become(self, status: Status, number: int, **changed: Any) -> None:
        """Change a pending look."""
        if type(number) is not int or not 0 <= number < len(self.looks):
            raise ValueError(f"look is {number!r}, expected the id of one: {len(self.looks)} there")
        look = self.looks[number]
        if look.status != "pending":
            raise ValueError(f"look {number} was {look.status} before, expected a pending one")
        self.looks[number] = replace(look, status=status, **changed)


def _design(value: Any) -> tuple[float, ...]:
    for each in value:
        Number().check("design", each)
    return tuple(value)


def _cost(name: str, value: Any) -> float:
    Number(minimum=0).check(name, value)
    return float(value)


def account_of(events: Sequence[Event], where: str) -> Account:
    """What a log says, whose first event is its beginning.

    Args:
        events: of the log.
        where: what the log is called.

    Raises:
        ValueError: the first event is none.
    """
    account = begun(events, where)
    account.go_on(events)
    return account


def begun(events: Sequence[Event], where: str) -> Account:
    """What a log says of its beginning alone; see `account_of`."""
    if events and events[0].facts.get("session") == "model":
        raise ValueError(
            f"{where} is of a session with a Pyro model, expected that of a session about a scene; "
            "`boed report` of it alone tells of it"
        )
    if not events or events[0].kind != "begin" or "log_belief" not in events[0].arrays:
        raise ValueError(f"{where} has no beginning with a belief, expected the log of a session")
    return Account(beliefs=[torch.from_numpy(events[0].arrays["log_belief"])])
