"""What can be asked of a session at any time, and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import torch
from jaxtyping import Float
from torch import Tensor

from boed.acquisition import Acquisition, Budget
from boed.completion.completer import complete
from boed.data.observation import Observation
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least, attribute
from boed.foundation.events import Event, effective
from boed.foundation.randomness import derive
from boed.policies.policy import Policy
from boed.sensors.reading import reading_shape
from boed.sensors.sensor import Sensor
from boed.session.account import Look, Scores
from boed.session.log import Log
from boed.session.state import State


class Known:
    """What is known in a session: the part of `Session` that reads."""

    _start: Acquisition
    _state: State
    _log: Log
    _seed: int

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

    @property
    def sources(self) -> set[str]:
        """Where readings and failures came from, of those that were taken back, too."""
        return {each.facts["source"] for each in self._log.events if "source" in each.facts}

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
        state = self._state
        known = (
            state.known(look) if isinstance(look, Look | int | Integral) else state.unasked(look)
        )
        return reading_shape(self._start.sensor, self.observation, state.design(known))
