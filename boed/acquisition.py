"""One step of looking at a batch of scenes: what `acquire` and `Session` repeat."""

from __future__ import annotations

import time
from dataclasses import InitVar, dataclass, field

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.data.observation import Observation
from boed.eig.completions.beliefs import log_beliefs
from boed.foundation.arguments import checked
from boed.policies.policy import Decision, Policy, check_is_policy, decide
from boed.sensors.sensor import Sensor, candidates, costs, footprints, reads_new


@checked
@dataclass(frozen=True)
class Budget:
    """What looking at one scene may cost at most; None is no limit.

    Attributes:
        cost: of all looks together, in the sensor's unit. A look that no longer fits is not
            taken, and the scene is finished.
        seconds: of deciding, for the whole batch: no look is begun after that.

    Raises:
        ValueError: a limit that is not above 0.
    """

    cost: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("cost", "seconds"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise ValueError(f"budget: {name} is {limit}, expected above 0")

    def affords(self, cost: Float[Tensor, " b"]) -> Bool[Tensor, " b"]:
        """Which totals are within the limit, but for rounding."""
        limit = float("inf") if self.cost is None else self.cost
        return cost <= limit * (1 + 1e-6)

    def is_late(self, spent: float) -> bool:
        """Whether the time is over, after so many seconds."""
        return self.seconds is not None and spent >= self.seconds


@dataclass(frozen=True, eq=False, kw_only=True)
class Proposal:
    """The look that a policy would take next at each of some scenes, and what speaks against it.

    Attributes:
        decision: of the policy.
        cost: of each look, and the way to it, `[b]`.
        affordable: which looks the budget has room for, `[b]`.
        stopped: which scenes need no further look by the policy's own decision, `[b]`.
        complete: of which scenes no candidate would read anything more, `[b]`.
        seconds: that deciding took.
    """

    decision: Decision
    cost: Float[Tensor, " b"]
    affordable: Bool[Tensor, " b"]
    stopped: Bool[Tensor, " b"]
    complete: Bool[Tensor, " b"]
    seconds: float

    @property
    def going(self) -> Bool[Tensor, " b"]:
        """Which scenes are looked at."""
        return self.affordable & ~self.stopped & ~self.complete


@dataclass(kw_only=True)
class Acquisition:
    """What is known of a batch of B scenes while they are looked at.

    Attributes:
        sensor: what a look returns.
        policy: where to look.
        classifier: the belief that goes with what has been seen.
        start: what has been seen before the first look; nothing, for most.
        budget: of each scene.
        memory: bound on the images held at once, MiB.
        observation: what has been seen so far.
        log_belief: log g(v | observation), `[B, *L, K]`.
        spent: cost of each scene's looks so far, `[B]`.

    Raises:
        ValueError: what is given is no policy or no sensor, or the classifier does not return
            log-probabilities.
    """

    sensor: Sensor
    policy: Policy
    classifier: Classifier
    start: InitVar[Observation]
    budget: Budget = field(default_factory=Budget)
    memory: int = 512
    observation: Observation = field(init=False)
    log_belief: Float[Tensor, "B *L K"] = field(init=False)
    spent: Float[Tensor, " B"] = field(init=False)

    def __post_init__(self, start: Observation) -> None:
        check_is_policy(self.policy)
        candidates(self.sensor, start)  # what is no sensor is told before any work
        self.observation = start
        self.log_belief = self.believe(start)
        self.spent = start.values.new_zeros(len(start))

    def propose(
        self,
        rows: Int64[Tensor, " b"],
        seeds: list[int],
        *,
        sensor: Sensor | None = None,
        reserved: float = 0.0,
        truth: Float[Tensor, "b C H W"] | None = None,
    ) -> Proposal:
        """The next look of the scenes at `rows`.

        Args:
            rows: which scenes.
            seeds: of the decision, one for each.
            sensor: what is decided by, in place of the acquisition's own: with looks that are under
                way, for example.
            reserved: cost of looks that are under way, which the budget has no room for, either.
            truth: whole scenes, which reference policies alone may use.
        """
        sensor, began = sensor or self.sensor, time.monotonic()
        now = self.observation[rows]
        decision = decide(self.policy, now, sensor, seeds=seeds, truth=truth)
        cost = costs(self.sensor, decision.designs, before=now).to(now.values)
        none = torch.zeros(len(rows), dtype=torch.bool, device=now.device)
        return Proposal(
            decision=decision,
            cost=cost,
            affordable=self.budget.affords(self.spent[rows] + reserved + cost),
            stopped=none if decision.stop is None else decision.stop.to(now.device),
            complete=_all_read(sensor, now, decision),
            seconds=time.monotonic() - began,
        )

    def believe(self, observation: Observation) -> Float[Tensor, "b *L K"]:
        """The classifier's log-beliefs."""
        return log_beliefs(observation, self.classifier, self.memory)

    def update(
        self, rows: Int64[Tensor, " b"], after: Observation, *, cost: Float[Tensor, " b"]
    ) -> None:
        """Go on from what is known of the scenes at `rows` after a look that cost so much."""
        belief = self.believe(after)
        self.observation = self.observation.with_rows(rows, after)
        self.log_belief = self.log_belief.index_put((rows,), belief)
        self.spent = self.spent.index_put((rows,), self.spent[rows] + cost)


def _all_read(sensor: Sensor, observation: Observation, decision: Decision) -> Bool[Tensor, " b"]:
    """Of which scenes no candidate would read anything more, the look chosen included."""
    if not observation.seen.any():  # nothing was read yet, so there is something to read
        return torch.zeros(len(observation), dtype=torch.bool, device=observation.device)
    shown, unseen = footprints(sensor, observation, decision.designs) > 0, observation.seen < 1
    done = shown.any(1) & ~(shown & unseen).any(1)
    if done.any():  # seldom: a policy chose a look that it knows
        rows = done.nonzero()[:, 0]
        done[rows] = ~reads_new(sensor, observation[rows], decision.candidates).any(1)
    return done
