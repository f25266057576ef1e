"""Run a policy on scenes: look, update the belief, look again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.data.observation import Observation, check_scenes
from boed.eig.completions.beliefs import log_beliefs
from boed.foundation.randomness import Seeds, derive, per_scene
from boed.policies import Decision, Policy
from boed.sensors.sensor import Sensor, costs, look


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


@dataclass(frozen=True, eq=False, kw_only=True)
class Trajectory:
    """What happened on a batch of scenes over T looks.

    A scene that stopped early keeps its observation and belief from there on.

    Attributes:
        observations: what was seen after 0, 1, ... T looks.
        log_beliefs: log g(v | observation) after 0, 1, ... T looks, `[B, T + 1, *L, K]`.
        designs: the looks, `[B, T, K]`; those from `looks` on were not taken.
        scores: score of each chosen look, `[B, T]`, NaN for policies that have none.
        costs: of each look, `[B, T]`, 0 where none was taken.
        looks: how many were taken, `[B]`.
        decisions: what the policy looked at for each look, of the scenes not finished before;
            empty unless kept.
    """

    observations: list[Observation]
    log_beliefs: Float[Tensor, "B T+1 *L K"]
    designs: Float[Tensor, "B T K"]
    scores: Float[Tensor, "B T"]
    costs: Float[Tensor, "B T"]
    looks: Int64[Tensor, " B"]
    decisions: list[Decision] = field(default_factory=list)


@torch.no_grad()
def acquire(
    scene: Float[Tensor, "B C H W"],
    sensor: Sensor,
    policy: Policy,
    *,
    steps: int,
    classifier: Classifier,
    seed: Seeds = 0,
    memory: int = 512,
    keep: bool = True,
    budget: Budget | None = None,
) -> Trajectory:
    """Look up to `steps` times at each scene, where the policy says.

    A scene is finished early when the policy's decision says stop, or its budget is spent.

    Args:
        scene: whole scenes, values in [0, 1]; the policy only sees what the sensor returns.
        sensor: what a look returns.
        policy: where to look.
        steps: number of looks at most, T.
        classifier: the belief that is recorded after every look.
        seed: one seed, or one per scene; a scene's result depends on its own alone.
        memory: bound on the images held at once, MiB.
        keep: keep each `Decision`, with its completions and EIG map.
        budget: of cost and time.

    Raises:
        ValueError: no scenes or scenes that are not finite images in [0, 1], `steps` below 1, a
            policy that does not choose one look per scene, a sensor that returns an observation
            of another shape or NaN, or a classifier that does not return log-probabilities.
    """
    if len(scene) == 0:
        raise ValueError(f"scene is {tuple(scene.shape)}, expected at least one scene")
    check_scenes(scene, "scene")
    if steps < 1:
        raise ValueError(f"steps is {steps}, expected at least 1")
    run = _Run(scene.float(), sensor, policy, classifier, seed, memory, budget or Budget())
    for step in range(steps):
        run.step(step)
    return Trajectory(
        observations=run.observations,
        log_beliefs=torch.stack(run.beliefs, dim=1),
        designs=torch.stack(run.designs, dim=1),
        scores=torch.stack(run.scores, dim=1),
        costs=torch.stack(run.costs, dim=1),
        looks=run.looks,
        decisions=run.decisions if keep else [],
    )


class _Run:
    """The state of an acquisition, and what is recorded of it at every step."""

    def __init__(
        self,
        scene: Float[Tensor, "B C H W"],
        sensor: Sensor,
        policy: Policy,
        classifier: Classifier,
        seed: Seeds,
        memory: int,
        budget: Budget,
    ) -> None:
        self.scene, self.sensor, self.policy = scene, sensor, policy
        self.classifier, self.memory, self.budget = classifier, memory, budget
        self.seeds = per_scene(seed, len(scene))
        self.noise = [derive(each, "noise") for each in self.seeds]
        self.began = time.monotonic()
        blank = Observation.nothing_of(scene)
        self.rest = torch.arange(len(scene), device=scene.device)  # scenes not finished
        self.looks = torch.zeros_like(self.rest)
        self.observations = [blank]
        self.beliefs = [log_beliefs(blank, classifier, memory)]
        self.designs: list[Tensor] = []
        self.scores: list[Tensor] = []
        self.costs: list[Tensor] = []
        self.decisions: list[Decision] = []

    def step(self, number: int) -> None:
        """One look at every scene that is not finished; the others stay as they are."""
        batch = len(self.scene)
        score, cost = self.scene.new_full((batch,), torch.nan), self.scene.new_zeros(batch)
        observation, belief = self.observations[-1], self.beliefs[-1]
        decision = self._decision(number)
        if decision is None:
            design = torch.zeros_like(self.designs[-1])
        else:
            prices = costs(self.sensor, decision.designs).to(cost)
            chosen = self._going_on(decision, prices)
            self.rest, row = self.rest[chosen], self.rest[chosen]
            taken = decision.designs[chosen]
            design = taken.new_zeros(batch, taken.shape[1]).index_put((row,), taken)
            cost = cost.index_put((row,), prices[chosen])
            if (known := decision.chosen_score()) is not None:
                score = score.index_put((row,), known[chosen].to(score))
            if len(row):
                noise = [self.noise[b] for b in row.tolist()]
                after = look(
                    self.sensor, observation[row], self.scene[row], design=taken, seeds=noise
                )
                observation = observation.with_rows(row, after)
                found = log_beliefs(after, self.classifier, self.memory)
                belief = belief.index_put((row,), found)
                self.looks[row] += 1
        self.observations.append(observation)
        self.beliefs.append(belief)
        self.designs.append(design)
        self.scores.append(score)
        self.costs.append(cost)

    def _decision(self, number: int) -> Decision | None:
        """Where the policy looks next; None when no scene is left, or no time."""
        limit, rest = self.budget.seconds, self.rest
        late = limit is not None and number > 0 and time.monotonic() - self.began >= limit
        if len(rest) == 0 or late:
            self.rest = rest[:0]
            return None
        seeds = [derive(self.seeds[b], "look", number) for b in rest.tolist()]
        observation = self.observations[-1][rest]
        decision = self.policy.choose(observation, self.sensor, seeds, truth=self.scene[rest])
        if decision.designs.ndim != 2 or len(decision.designs) != len(rest):
            raise ValueError(
                f"{type(self.policy).__name__}.choose returned designs "
                f"{tuple(decision.designs.shape)}, expected one row for each of {len(rest)} scenes"
            )
        stop = decision.stop
        if stop is not None and (stop.dtype != torch.bool or stop.shape != rest.shape):
            raise ValueError(
                f"{type(self.policy).__name__}.choose returned stop {stop.dtype} "
                f"{tuple(stop.shape)}, expected bool ({len(rest)},)"
            )
        self.decisions.append(decision)
        return decision

    def _going_on(self, decision: Decision, prices: Float[Tensor, " b"]) -> Bool[Tensor, " b"]:
        """Which of the scenes that are left are looked at: not told to stop, and affordable."""
        going = torch.ones_like(self.rest, dtype=torch.bool)
        if decision.stop is not None:
            going &= ~decision.stop.to(going.device)
        if self.budget.cost is not None:
            spent = sum(self.costs, torch.zeros_like(self.scene[:, 0, 0, 0]))[self.rest]
            going &= spent + prices <= self.budget.cost * (1 + 1e-6)
        return going
