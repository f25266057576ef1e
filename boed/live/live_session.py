"""A session that answers messages, whichever way they come."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from boed.foundation.arguments import checked
from boed.foundation.checks import attribute
from boed.live.messages import Answering
from boed.live.readings import decoded, from_file
from boed.live.simulated import Simulated
from boed.policies import FirstLook
from boed.session import Look, Session


class LiveSession(Answering):
    """A session beside what is needed to talk about it.

    Messages are objects with an `action` and its arguments; `answer` is what all ways in go
    through. Threads may share it.

    Args:
        session: the session.
        answers: names of the answers, or of the findings.
        several: whether they are findings, of which several may hold.
        about: what the session is about, in a few words.
        instrument: a simulated one, in a demonstration.
        log: folder of the session's log, for what is kept beside it; None if in memory alone.
        say: is called with news for whoever started the session.

    Attributes:
        limit: bytes of a message or file, at most.
        changes: counts what has changed, so that others can see that something did.
        deciding: how many suggestions are being made.
        trouble: what keeps another way in from working, such as a folder that cannot be written.
    """

    actions: ClassVar = (
        "next", "suggest", "choose", "ingest", "take", "fail", "veto", "label", "undo", "stop",
        "state", "belief",
    )  # fmt: skip

    def __init__(
        self,
        session: Session,
        *,
        answers: Sequence[str],
        several: bool = False,
        about: str = "",
        instrument: Simulated | None = None,
        log: Path | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.session, self.about, self.instrument = session, about, instrument
        self.log, self._say = log, say or (lambda news: None)
        self.trouble: str | None = None
        self.answers, self.several = [str(each) for each in answers], several
        self.limit = 2**20 + 32 * session.observation.values.numel()
        self.changes = self.deciding = 0
        self._one_by_one = threading.Lock()

    def close(self) -> None:
        """Let another process have the log."""
        self.session.close()

    @checked
    def next(self) -> dict[str, Any]:
        """The looks that are pending; one that is suggested if none is."""
        with self._one_by_one:
            if not self.session.pending:
                self._suggest(1)
            pending = self.session.pending
            return {**self._shown(pending), "reason": None if pending else self.session.reason}

    @checked
    def suggest(self, n: int = 1) -> dict[str, Any]:
        """The next looks, chosen for what they add to those that are pending."""
        return {**self._shown(self._suggest(n)), "reason": self.session.reason}

    @checked
    def choose(self, design: list[float], instead: int | None = None) -> dict[str, Any]:
        """A look of one's own choice, in place of a pending one or beside it."""
        with self._changing():
            return self._shown([self.session.choose(design, instead=instead)])

    @checked
    def ingest(
        self,
        look: int | list[float],
        reading: list[Any] | str,
        *,
        shape: list[int] | None = None,
        cost: float | None = None,
    ) -> dict[str, Any]:
        """Take a reading: nested lists, or base64 of float32 with its shape."""
        return self._ingest(look, decoded(reading, shape), cost=cost)

    def ingest_file(
        self, look: int, path: Path | None, *, source: str | None = None
    ) -> dict[str, Any]:
        """Take the reading that a file holds; none says that the look failed.

        Args:
            look: its id.
            path: the file.
            source: what the log says of where the reading came from.

        Raises:
            ValueError: a look that is not pending, or a file that is too large, holds no reading
                or one of another shape.
            OSError: the log cannot be written.
        """
        if path is None:
            return self._ingest(look, None, source=source)
        size = path.stat().st_size
        if size > self.limit:
            raise ValueError(f"{path.name} has {size:,} bytes, expected at most {self.limit:,}")
        reading = from_file(path, self.session.reading_shape(look))
        return self._ingest(look, reading, source=source)

    def ingest_bytes(self, look: int, content: bytes) -> dict[str, Any]:
        """Take the reading that is the content of a file; see `ingest_file`."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "reading")
            file.write_bytes(content)
            try:
                return self.ingest_file(look, file)
            except ValueError as error:
                raise ValueError(str(error).replace(str(file), "reading")) from error

    @checked
    def take(self, look: int) -> dict[str, Any]:
        """Take a pending look with the simulated instrument."""
        if self.instrument is None:
            raise ValueError("take is for demonstrations; this session's instrument is a real one")
        self.session.reading_shape(look)  # which refuses one that is unknown
        return self._ingest(look, self.instrument.read(self.session.looks[look].design))

    @checked
    def fail(self, look: int | list[float], cost: float | None = None) -> dict[str, Any]:
        """Say that a look failed."""
        return self._ingest(look, None, cost=cost)

    @checked
    def veto(self, look: int) -> dict[str, Any]:
        """Withdraw a pending look, which is not suggested again."""
        with self._changing():
            self.session.veto(look)
        return {"look": look}

    @checked
    def label(self, label: int | list[int]) -> dict[str, Any]:
        """Record the truth."""
        with self._changing():
            self.session.label(label)
        return {"label": label}

    @checked
    def undo(self) -> dict[str, Any]:
        """Take the last thing back."""
        with self._changing():
            return {"undone": self.session.undo(), "left": len(self.session.history)}

    @checked
    def stop(self, reason: str = "stopped by hand") -> dict[str, Any]:
        """Take no more looks."""
        with self._changing():
            self.session.stop(reason)
        return {"stopped": reason}

    @checked
    def belief(self) -> dict[str, Any]:
        """The probability of each answer, or of each finding that it is there."""
        with self.session.lock:
            belief = self._named(self.session.belief()).tolist()
            readings = len(self.session.beliefs()) - 1
        return {"belief": dict(zip(self.answers, belief, strict=True)), "readings": readings}

    @checked
    def state(self) -> dict[str, Any]:
        """All that is known, but for pictures; `beliefs` are after 0, 1, ... readings."""
        session = self.session
        with session.lock:
            return {
                "about": self.about,
                "answers": self.answers,
                "several": self.several,
                "shape": list(session.observation.values.shape[1:]),
                **self._shown(session.looks),
                "beliefs": self._named(session.beliefs()).tolist(),
                "spent": session.spent,
                "budget": session.budget.cost,
                "reason": session.reason,
                "stopped": session.stopped,
                "deciding": self.deciding > 0,
                "deciding_what": self.deciding_what if self.deciding else None,
                "trouble": self.trouble,
                "events": len(session.history),
                "changes": self.changes,
            }

    def shown(self, look: Look) -> dict[str, Any]:
        """A look, with the shape of its reading."""
        shape = self.session.reading_shape(look)
        return {
            "id": look.id, "design": list(look.design), "eig": look.eig,
            "standard_error": look.standard_error, "winners_curse": look.winners_curse,
            "cost": look.cost, "status": look.status, "suggested": look.suggested,
            "shape": list(shape),
        }  # fmt: skip

    def _shown(self, looks: Sequence[Look]) -> dict[str, Any]:
        return {"looks": [self.shown(each) for each in looks]}

    @property
    def deciding_what(self) -> str:
        """Which look the next decision is about, and from how much where that takes long."""
        if self.session.observation.seen.any():
            return "the next look"
        number = self._first_completions()
        return "the first look" + (f", from {number} completions" if number else "")

    def _first_completions(self) -> int | None:
        """How many completions decide the first look, for a policy that draws more for it."""
        first = attribute(self.session.policy, "first_look", None)
        return first.n if isinstance(first, FirstLook) else None

    def tell_trouble(self, trouble: str | None) -> None:
        """Say what keeps another way in from working, or that nothing does any more."""
        if trouble != self.trouble:
            with self._changing():
                self.trouble = trouble
            self._say(trouble or "it works again")

    def _suggest(self, n: int) -> list[Look]:
        with self._changing():
            self.deciding += 1
            if self._first_completions() and not self.session.observation.seen.any():
                self._say(f"deciding {self.deciding_what}")
        try:
            return self.session.suggest(n)
        finally:
            with self._changing():
                self.deciding -= 1

    def _ingest(self, look: int | list[float], reading: Any, **more: Any) -> dict[str, Any]:
        with self._changing():
            self.session.ingest(look, reading, **more)
            return {**self.belief(), "spent": self.session.spent}

    def _named(self, belief: Float[Tensor, "*T K"]) -> Float[Tensor, "*T n"]:
        """A number for each of the names."""
        return belief[..., 1] if self.several else belief

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self.session.lock:
            try:
                yield
            finally:
                self.changes += 1
