"""What is known in a session, as a matter of what happened in it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from boed.acquisition import Acquisition
from boed.sensors.reading import record
from boed.sensors.sensor import candidates
from boed.session.log import Event

Status = Literal["pending", "taken", "failed", "vetoed", "replaced"]

UNDO = "undo"
"""The event that takes the last one back."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look of a session.

    Attributes:
        id: its number, from 0.
        design: in the sensor's own terms.
        eig: expected information gain in nats, of this look and all that were pending together;
            None where the policy estimates none.
        standard_error: Monte-Carlo standard error of `eig` in nats.
        cost: in the sensor's unit.
        status: what became of it.
        suggested: by the policy; the others were chosen, or taken unasked.
    """

    id: int
    design: tuple[float, ...]
    eig: float | None = None
    standard_error: float | None = None
    cost: float
    status: Status = "pending"
    suggested: bool = True


Scores = tuple[Float[Tensor, "D K"], Float[Tensor, " D"]]
"""Candidates, and the score of each."""


@dataclass(kw_only=True)
class State:
    """What the events so far amount to.

    Attributes:
        now: what has been seen of the one scene, what is believed of it, and what it did cost.
        none: no design, in the sensor's own numbers, `[0, K]`.
        looks: all of them, in order of their id.
        beliefs: log-belief after 0, 1, ... readings, `[*L, K]` each.
        scores: of the last suggestion, where it had any.
        seconds: of deciding.
        label: the truth, once it is known.
        stopped: why no more looks are taken, if so.
    """

    now: Acquisition
    none: Float[Tensor, "0 K"]
    looks: list[Look] = field(default_factory=list)
    beliefs: list[Float[Tensor, "*L K"]] = field(default_factory=list)
    scores: Scores | None = None
    seconds: float = 0.0
    label: int | list[int] | None = None
    stopped: str | None = None

    @classmethod
    def after(cls, start: Acquisition, events: Sequence[Event]) -> State:
        """What is known after some events; `start` stays as it is."""
        none = candidates(start.sensor, start.observation)[:0]
        state = cls(now=copy.copy(start), none=none, beliefs=[start.log_belief[0]])
        for event in effective(events):
            state.apply(event)
        return state

    def apply(self, event: Event) -> None:
        """Go on by one event that is no undo."""
        facts = event.facts
        if event.kind == "suggestion":
            told = {name: facts[name] for name in ("id", "eig", "standard_error", "cost")}
            self.looks.append(Look(design=tuple(facts["design"]), **told))
            self.seconds += facts["seconds"]
            if "scores" in event.arrays:
                offered, scores = (event.arrays[name] for name in ("candidates", "scores"))
                self.scores = (torch.from_numpy(offered), torch.from_numpy(scores))
        elif event.kind == "choice":
            if "instead" in facts:
                self._become("replaced", {"look": facts["instead"]})
            chosen = {"id": facts["id"], "cost": facts["cost"], "suggested": False}
            self.looks.append(Look(design=tuple(facts["design"]), **chosen))
        elif event.kind == "reading":
            look = self._become("taken", facts)
            now, reading = self.now, event.arrays["reading"]
            now.observation = record(
                now.sensor, now.observation, design=self.design(look), reading=reading
            )
            belief = torch.from_numpy(event.arrays["log_belief"]).to(now.log_belief)
            now.log_belief = belief[None]
            self.beliefs.append(belief)
        elif event.kind == "failed":
            self._become("failed", facts)
        elif event.kind == "veto":
            self._become("vetoed", facts)
        elif event.kind == "label":
            self.label = facts["label"]
        elif event.kind == "stop":
            self.stopped = facts["reason"]

    def copy(self) -> State:
        """The same, which stays as it is while this one goes on."""
        return replace(
            self, now=copy.copy(self.now), looks=list(self.looks), beliefs=list(self.beliefs)
        )

    def _become(self, status: Status, facts: dict[str, Any]) -> Look:
        """The look that the event is about, which may be one that nobody suggested."""
        number = facts["look"]
        if number == len(self.looks):
            design = tuple(facts["design"])
            self.looks.append(Look(id=number, design=design, cost=0.0, suggested=False))
        look = replace(self.looks[number], status=status)
        if "cost" in facts:
            look = replace(look, cost=facts["cost"])
            self.now.spent = self.now.spent + look.cost
        self.looks[number] = look
        return look

    def design(self, look: Look) -> Float[Tensor, " K"]:
        """The look's design as the sensor has it."""
        return torch.tensor(look.design).to(self.none)

    def designs(self, *statuses: Status) -> Float[Tensor, "n K"]:
        """Designs of the looks of some statuses."""
        rows = [self.design(each)[None] for each in self.looks if each.status in statuses]
        return torch.cat([self.none, *rows])

    @property
    def pending(self) -> list[Look]:
        """Looks that were suggested or chosen and of which nothing was heard yet."""
        return [each for each in self.looks if each.status == "pending"]

    @property
    def number(self) -> int:
        """How many looks there were, withdrawn ones left out: a decision's seed depends on it."""
        return sum(each.status not in ("vetoed", "replaced") for each in self.looks)


def effective(events: Sequence[Event]) -> list[Event]:
    """All that happened and was not taken back, without the beginning."""
    happened: list[Event] = []
    for event in events[1:]:
        if event.kind == UNDO:
            happened.pop()
        else:
            happened.append(event)
    return happened
