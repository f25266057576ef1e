"""What is known in a session, as a matter of what happened in it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral

import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor

from boed.acquisition import Acquisition
from boed.data.observation import Observation
from boed.foundation.events import Event
from boed.sensors.reading import record
from boed.sensors.sensor import candidate_masks, candidates, costs
from boed.sensors.travel import moved
from boed.session.account import Account, Look, Status


@dataclass(kw_only=True)
class State(Account):
    """What is known in a session.

    Attributes:
        now: what has been seen of the one scene, what is believed of it, and what it did cost.
        none: no design, in the sensor's own numbers, `[0, K]`.
    """

    now: Acquisition
    none: Float[Tensor, "0 K"]

    @classmethod
    def after(cls, start: Acquisition, events: Sequence[Event]) -> State:
        """What is known after some events; `start` stays as it is."""
        none = candidates(start.sensor, start.observation)[:0]
        state = cls(now=copy.copy(start), none=none, beliefs=[start.log_belief[0]])
        state.go_on(events)
        return state

    def apply(self, event: Event, *, after: Observation | None = None) -> None:
        """Go on by one event that is no undo.

        Args:
            event: what happened.
            after: what is known after a reading, where that has been worked out already.

        Raises:
            ValueError: it cannot have happened after what happened before.
        """
        super().apply(event)
        if self.looks and len(self.looks[-1].design) != self.none.shape[1]:
            raise ValueError(f"expected a design of {self.none.shape[1]} numbers")
        if event.kind not in ("reading", "failed"):
            return
        now, look = self.now, self.looks[event.facts["look"]]
        now.spent = now.spent + look.cost
        if event.kind == "failed":
            now.observation = moved(now.sensor, now.observation, self.design(look)[None])
            return
        reading = event.arrays["reading"]
        now.observation = self.recorded(look, reading) if after is None else after
        self.beliefs[-1] = self.beliefs[-1].to(now.log_belief)
        now.log_belief = self.beliefs[-1][None]

    def copy(self) -> State:
        """The same, which stays as it is while this one goes on."""
        return replace(
            self,
            now=copy.copy(self.now),
            looks=list(self.looks),
            taken=list(self.taken),
            beliefs=list(self.beliefs),
        )

    def recorded(self, look: Look, reading: ArrayLike) -> Observation:
        """What would be known after the reading of a look; see `boed.sensors.reading.record`."""
        now = self.now
        return record(now.sensor, now.observation, design=self.design(look), reading=reading)

    @property
    def standing(self) -> Observation:
        """What is known, with the sensor where the last of the pending looks will leave it."""
        now, pending = self.now, self.pending
        if not pending:
            return now.observation
        return moved(now.sensor, now.observation, self.design(pending[-1])[None])

    def cost(self, look: Look) -> float:
        """What a look costs, and the way to it from the last one of which something was heard."""
        now = self.now
        return float(costs(now.sensor, self.design(look)[None], before=now.observation)[0])

    def known(self, look: Look | int) -> Look:
        """A look of this session, as it is now.

        Raises:
            ValueError: there is none of that id, or that one has another design: it is a look of
                another session, or one that was undone.
        """
        number = look.id if isinstance(look, Look) else int(look)
        if not 0 <= number < len(self.looks):
            ids = f"0 to {len(self.looks) - 1}" if self.looks else "none so far"
            raise ValueError(f"look is {number}, expected the id of one of this session: {ids}")
        known = self.looks[number]
        if isinstance(look, Look) and look.design != known.design:
            raise ValueError(
                f"look is {number} at {list(look.design)}, expected one of this session, whose "
                f"look {number} is at {list(known.design)}"
            )
        return known

    def known_pending(self, look: Look | int) -> Look:
        """The same of a look that is pending.

        Raises:
            ValueError: there is none of that id, or it is not pending.
        """
        known = self.known(look)
        if known.status != "pending":
            ids = ", ".join(str(each.id) for each in self.pending) or "none is"
            raise ValueError(f"look {known.id} was {known.status}, expected a pending one: {ids}")
        return known

    def unasked(self, design: Sequence[float] | Tensor) -> Look:
        """A look that nobody suggested, after making sure that the sensor can take it.

        Raises:
            ValueError: it cannot.
        """
        now = self.now
        try:
            row = self._as_designs(design)
            candidate_masks(now.sensor, now.observation, row)
            cost = float(costs(now.sensor, row, before=self.standing)[0])
        except (TypeError, ValueError, IndexError, OverflowError, RuntimeError) as error:
            raise ValueError(
                f"look is {design!r}, which is no design of {type(now.sensor).__name__}: {error}"
            ) from error
        number = len(self.looks)
        return Look(id=number, design=tuple(row[0].tolist()), cost=cost, suggested=False)

    def _as_designs(self, design: Sequence[float] | Tensor) -> Float[Tensor, "1 K"]:
        """One design as the sensor's own are: whole numbers where those are."""
        row = torch.as_tensor(design, dtype=torch.get_default_dtype())[None]
        if not self.none.is_floating_point() and not torch.equal(row, row.round()):
            raise ValueError("expected whole numbers")
        return row.to(self.none)

    def check_label(self, label: int | list[int]) -> None:
        """Refuse what is none of the belief's answers.

        Raises:
            ValueError: naming those that there are.
        """
        *findings, answers = self.now.log_belief.shape[1:]
        given = label if isinstance(label, list) else [label]
        number, known = findings[0] if findings else 1, range(answers)
        fits = isinstance(label, list) == bool(findings) and len(given) == number
        if not fits or not all(isinstance(each, Integral) and each in known for each in given):
            each = f" for each of {number} findings, as a list" if findings else ""
            raise ValueError(f"label is {label}, expected 0 to {answers - 1}{each}")

    def design(self, look: Look) -> Float[Tensor, " K"]:
        """The look's design as the sensor has it."""
        return torch.tensor(look.design).to(self.none)

    def designs(self, *statuses: Status) -> Float[Tensor, "n K"]:
        """Designs of the looks of some statuses."""
        rows = [self.design(each)[None] for each in self.looks if each.status in statuses]
        return torch.cat([self.none, *rows])
