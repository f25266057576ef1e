"""Run a policy on scenes: look, update the belief, look again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.acquisition import Acquisition, Budget
from boed.classifiers.classifier import Classifier
from boed.data.observation import Observation, check_scenes
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least
from boed.foundation.randomness import Seeds, derive, per_scene
from boed.policies import Decision, Policy
from boed.sensors.sensor import Sensor, look


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """One look at each scene that was not finished, and what is known of all scenes after it.

    Attributes:
        scenes: which ones were looked at, `[b]` of B.
        design: the look at each of these, `[b, K]`.
        score: of the chosen look, `[b]`, NaN where the policy has none.
        winners_curse: how much too high that score is on average, `[b]`, NaN where unknown.
        effective: how many equal completions those of the decision are worth, `[b]`, NaN where
            the policy draws none.
        cost: of the look, `[b]`.
        observation: what has been seen of all B scenes.
        log_belief: log g(v | observation), `[B, *L, K]`.
    """

    scenes: Int64[Tensor, " b"]
    design: Float[Tensor, "b K"]
    score: Float[Tensor, " b"]
    winners_curse: Float[Tensor, " b"]
    effective: Float[Tensor, " b"]
    cost: Float[Tensor, " b"]
    observation: Observation
    log_belief: Float[Tensor, "B *L K"]


@checked
@dataclass(frozen=True, eq=False, kw_only=True)
class Trajectory:
    """What happened on a batch of scenes over T looks.

    A scene that stopped early keeps its observation and belief from there on.

    Attributes:
        observations: what was seen after 0, 1, ... T looks.
        log_beliefs: log g(v | observation) after 0, 1, ... T looks, `[B, T + 1, *L, K]`.
        designs: the looks, `[B, T, K]`; those from `looks` on were not taken.
        scores: score of each chosen look, `[B, T]`, NaN for policies that have none.
        winners_curses: how much too high each of these scores is on average, since it is the
            highest of many estimates, `[B, T]`, NaN where unknown.
        effective_sample_sizes: how many equal completions those of each decision are worth,
            `[B, T]`, NaN for policies that draw none.
        costs: of each look, `[B, T]`, 0 where none was taken.
        looks: how many were taken, `[B]`.
        decisions: what the policy looked at for each look, of the scenes not finished before;
            empty with `keep=False`.
    """

    observations: list[Observation]
    log_beliefs: Float[Tensor, "B T+1 *L K"]
    designs: Float[Tensor, "B T K"]
    scores: Float[Tensor, "B T"]
    winners_curses: Float[Tensor, "B T"]
    effective_sample_sizes: Float[Tensor, "B T"]
    costs: Float[Tensor, "B T"]
    looks: Int64[Tensor, " B"]
    decisions: list[Decision] = field(default_factory=list)


@checked
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
    on_step: Callable[[], None] | None = None,
) -> Trajectory:
    """Look up to `steps` times at each scene, where the policy says.

    The loop of Harvey et al. 2021, Sec. 3: decide on a look, look, believe. A scene is finished
    early when the policy's decision says stop, its budget is spent, or everything that the
    candidates can read has been read.

    >>> from boed import PatchSensor, Random
    >>> class Undecided:
    ...     def log_probs(self, observation):
    ...         return torch.full((len(observation), 2), 0.5).log()
    >>> scenes = torch.rand(3, 1, 32, 32)
    >>> path = acquire(scenes, PatchSensor(32), Random(), steps=2, classifier=Undecided())
    >>> path.designs.shape, path.log_beliefs.shape  # looks, and beliefs before and after them
    (torch.Size([3, 2, 2]), torch.Size([3, 3, 2]))

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
        on_step: called after every decision and the looks that follow from it.

    Raises:
        ValueError: no scenes or scenes that are not finite images in [0, 1], `steps` below 1, a
            policy that does not choose one look per scene, a sensor that returns an observation
            of another shape or NaN, or a classifier that does not return log-probabilities.
    """
    if len(scene) == 0:
        raise ValueError(f"scene is {tuple(scene.shape)}, expected at least one scene")
    check_scenes(scene, "scene")
    at_least(1, steps=steps)
    scene, budget, began = scene.float(), budget or Budget(), time.monotonic()
    seeds = per_scene(seed, len(scene))
    noise = [derive(each, "noise") for each in seeds]
    blank = Observation.nothing_of(scene)
    state = Acquisition(
        sensor=sensor,
        policy=policy,
        classifier=classifier,
        start=blank,
        budget=budget,
        memory=memory,
    )
    prior = state.log_belief
    active = torch.arange(len(scene), device=scene.device)  # the scenes that are not finished
    taken: list[Step] = []
    decisions: list[Decision] = []

    for step in range(steps):
        if len(active) == 0 or (step > 0 and budget.is_late(time.monotonic() - began)):
            break
        # decide
        at = [derive(seeds[b], "look", step) for b in active.tolist()]
        proposal = state.propose(active, at, truth=scene[active])
        decision, going = proposal.decision, proposal.going
        active, design, cost = active[going], decision.designs[going], proposal.cost[going]
        if len(active) > 0:
            # look
            own = [noise[b] for b in active.tolist()]
            now = state.observation[active]
            after = look(sensor, now, scene[active], design=design, seeds=own)
            # believe
            state.update(active, after, cost=cost)
        score, curse = decision.chosen_score(), decision.winners_curse
        drawn = decision.completions
        unknown = torch.full_like(cost, torch.nan)
        taken.append(
            Step(
                scenes=active,
                design=design,
                score=unknown if score is None else score[going].to(cost),
                winners_curse=unknown if curse is None else curse[going].to(cost),
                effective=unknown if drawn is None else drawn.effective_sample_size[going].to(cost),
                cost=cost,
                observation=state.observation,
                log_belief=state.log_belief,
            )
        )
        if keep:
            decisions.append(decision)
        if on_step is not None:
            on_step()

    return _trajectory(blank, prior, taken, steps=steps, decisions=decisions)


def _trajectory(
    blank: Observation,
    prior: Float[Tensor, "B *L K"],
    taken: list[Step],
    *,
    steps: int,
    decisions: list[Decision],
) -> Trajectory:
    """The steps taken as one record of all scenes; after the last one everything stays as it is."""
    last = taken[-1]
    each = ("scenes", "design", "score", "winners_curse", "effective", "cost")
    none = {name: getattr(last, name)[:0] for name in each}
    history = taken + [replace(last, **none)] * (steps - len(taken))

    def recorded(name: str, unlooked: float) -> Tensor:
        """An entry of each step, `[B, T, ...]`, with a number for scenes not looked at."""
        columns = []
        for each in history:
            part = getattr(each, name)
            column = part.new_full((len(blank), *part.shape[1:]), unlooked)
            columns.append(column.index_put((each.scenes,), part))
        return torch.stack(columns, dim=1)

    return Trajectory(
        observations=[blank, *(each.observation for each in history)],
        log_beliefs=torch.stack([prior, *(each.log_belief for each in history)], dim=1),
        designs=recorded("design", 0),
        scores=recorded("score", torch.nan),
        winners_curses=recorded("winners_curse", torch.nan),
        effective_sample_sizes=recorded("effective", torch.nan),
        costs=recorded("cost", 0),
        looks=torch.cat([each.scenes for each in history]).bincount(minlength=len(blank)),
        decisions=decisions,
    )
