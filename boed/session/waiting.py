"""Which designs of a session with a Pyro model were suggested and have no outcome yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boed.foundation.events import Event

Row = NDArray[Any]


@dataclass(kw_only=True)
class Waiting:
    """What the events so far amount to.

    Attributes:
        current: designs of the last suggestion that have no outcome.
        late: those of suggestions before, that an outcome of a design that nobody suggested has put
            aside, with the number of their suggestion; their outcomes may still come.
        asked: suggestions so far.
        answers: of each outcome, which suggestion its design is of, from 1; 0 if of none.
        single: whether the last suggestion was of one look, not of a group.
        cut: whether designs of the last suggestion were left out, as the budget had no room.
    """

    current: list[Row] = field(default_factory=list)
    late: list[tuple[int, Row]] = field(default_factory=list)
    asked: int = 0
    answers: list[int] = field(default_factory=list)
    single: bool = True
    cut: bool = False

    @classmethod
    def after(cls, events: Sequence[Event]) -> Waiting:
        """That of a session's events, from its beginning."""
        waiting = cls()
        width = tuple(events[0].facts["design"])
        for event in events:
            if event.kind == "suggested":
                rows = np.array(event.arrays["design"])
                waiting.single = rows.shape == width
                waiting.cut = bool(event.facts.get("left_out"))
                waiting.current = list(rows.reshape(-1, *width))
                waiting.asked += 1
            elif event.kind == "outcome":
                waiting._hear(np.asarray(event.arrays["design"]))
        return waiting

    def _hear(self, design: Row) -> None:
        for place, row in enumerate(self.current):
            if np.array_equal(row, design):
                del self.current[place]
                self.answers.append(self.asked)
                return
        for place, (asked, row) in enumerate(self.late):
            if np.array_equal(row, design):
                del self.late[place]
                self.answers.append(asked)
                return
        self.answers.append(0)
        self.late += [(self.asked, row) for row in self.current]
        self.current, self.cut = [], False
