"""Run a policy on scenes: look, update the belief, look again."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.beliefs import log_beliefs
from boed.policies import Decision, Policy
from boed.sensors import Sensor
from classifiers.classifier import Classifier
from data.observation import Observation, check_scenes
from data.randomness import Seeds, derive, per_scene


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What happened on a batch of scenes over T looks.

    Attributes:
        observations: what was seen after 0, 1, ... T looks.
        log_beliefs: log g(v | observation) after 0, 1, ... T looks, `[B, T + 1, *L, K]`.
        designs: the looks, `[B, T, K]`.
        decisions: what the policy looked at for each look; empty unless kept.
        scores: score of each chosen look, `[B, T]`, NaN for policies that have none.
    """

    observations: list[Observation]
    log_beliefs: Float[Tensor, "B T+1 *L K"]
    designs: Float[Tensor, "B T K"]
    scores: Float[Tensor, "B T"]
    decisions: list[Decision] = field(default_factory=list)


@torch.no_grad()
def acquire(
    scene: Float[Tensor, "B C H W"],
    sensor: Sensor,
    policy: Policy,
    steps: int,
    classifier: Classifier,
    seed: Seeds = 0,
    memory: int = 512,
    keep: bool = True,
) -> Trajectory:
    """Look `steps` times at each scene, where the policy says.

    Args:
        scene: whole scenes, values in [0, 1]; the policy only sees what the sensor returns.
        sensor: what a look returns.
        policy: where to look.
        steps: number of looks, T.
        classifier: the belief that is recorded after every look.
        seed: one seed, or one per scene; a scene's result depends on its own alone.
        memory: bound on the images held at once, MiB.
        keep: keep each `Decision`, with its completions and EIG map.

    Raises:
        ValueError: no scenes or scenes that are not finite images in [0, 1], `steps` below 1, a
            policy that does not choose one look per scene, a sensor that returns an observation
            of another shape, or a classifier that does not return log-probabilities.
    """
    if len(scene) == 0:
        raise ValueError(f"scene is {tuple(scene.shape)}, expected at least one scene")
    check_scenes(scene, "scene")
    if steps < 1:
        raise ValueError(f"steps is {steps}, expected at least 1")
    scene = scene.float()
    seeds = per_scene(seed, len(scene))
    batch, channels, size, _ = scene.shape
    observation = Observation.nothing(batch, channels, size, scene.device)
    observations = [observation]
    beliefs = [log_beliefs(observation, classifier, memory)]
    decisions, designs, scores = [], [], []
    for step in range(steps):
        looks = [derive(each, "look", step) for each in seeds]
        decision = policy.choose(observation, sensor, looks, truth=scene)
        if decision.designs.ndim != 2 or len(decision.designs) != batch:
            raise ValueError(
                f"{type(policy).__name__}.choose returned designs "
                f"{tuple(decision.designs.shape)}, expected one row for each of {batch} scenes"
            )
        observation = sensor.observe(observation, scene, decision.designs)
        if observation.values.shape != scene.shape:
            raise ValueError(
                f"{type(sensor).__name__}.observe returned values "
                f"{tuple(observation.values.shape)}, expected {tuple(scene.shape)}"
            )
        observations.append(observation)
        beliefs.append(log_beliefs(observation, classifier, memory))
        designs.append(decision.designs)
        score = decision.chosen_score()
        unknown = torch.full((batch,), torch.nan, device=scene.device)
        scores.append(unknown if score is None else score)
        if keep:
            decisions.append(decision)
    return Trajectory(
        observations,
        torch.stack(beliefs, dim=1),
        torch.stack(designs, dim=1),
        torch.stack(scores, dim=1),
        decisions,
    )
