"""What networks that value looks are taught: gains of looks, and of all looks that follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.policies.learned.looks import CandidateLooks
from boed.policies.learned.network import LookNet
from boed.policies.learned.situations import (
    TARGETS,
    Situations,
    Target,
    roll_out,
    situations,
)
from boed.sensors.sensor import Sensor, candidate_costs, look
from boed.training.config import NonmyopicTrainingConfig, ValueTrainingConfig


@dataclass(frozen=True, eq=False, kw_only=True)
class Gains:
    """The squared error of what each judged look gains, at the network's own looks.

    As DIME does: Gadgil et al. 2024, Algorithm 1.

    Attributes:
        looks: the candidates.
        sensor: that offers them.
        classifier: whose gains they are.
        target: what a look gains.
        training: how many looks, and which are judged.
        along: the loss of what else learns of the same observations, such as `Joint.loss`.
    """

    looks: CandidateLooks
    sensor: Sensor
    classifier: Classifier
    target: Target
    training: ValueTrainingConfig
    along: Callable[..., Tensor] | None = None

    def __call__(
        self,
        network: LookNet,
        scenes: Float[Tensor, "B C H W"],
        labels: Int64[Tensor, "B *L"],
        step: int,
    ) -> Float[Tensor, ""]:
        """The loss in squared nats, to which that of `along` is added."""
        training = self.training
        seeds = torch.randint(2**31, (len(scenes),)).tolist()
        rolled = roll_out(
            network,
            scenes,
            self.looks,
            sensor=self.sensor,
            steps=training.looks,
            explore=training.exploration(step),
            seeds=seeds,
        )
        begin = 0 if network.first is None else min(1, training.looks - 1)
        asked = situations(
            rolled,
            self.looks,
            candidates=training.candidates,
            most=training.moments,
            begin=begin,
        )
        gains = self.gains_at(asked, scenes, labels)
        wanted = self.wanted(network, asked, gains, scenes=scenes, seeds=seeds)
        expected = network(asked.observation, self.looks)
        loss = (expected - wanted)[asked.judged].square().mean()
        if self.along is not None:
            loss = loss + self.along(asked, rolled, scenes=scenes, labels=labels)
        return loss

    def gains_at(self, asked: Situations, scenes: Tensor, labels: Tensor) -> Float[Tensor, "P D"]:
        """What each judged look gains, in nats."""
        return self.target(asked, scenes, labels, sensor=self.sensor, classifier=self.classifier)

    def wanted(
        self,
        network: LookNet,
        asked: Situations,
        gains: Float[Tensor, "P D"],
        *,
        scenes: Float[Tensor, "B C H W"],
        seeds: list[int],
    ) -> Float[Tensor, "P D"]:
        """What the network is to say of each judged look: its gain."""
        return gains


PASSES = 1024
"""Looks that are judged at once where nothing has been seen."""


@torch.no_grad()
def first_gains(lesson: Gains, scenes: Dataset) -> tuple[float, ...]:
    """What each look gains where nothing has been seen, the mean over scenes, in nats `[D]`.

    The first look is the same for all scenes: its gains need not be learned. Whatever the lesson's
    target, they are the fall of the log loss of the true labels, which the mean leaves no noise in.

    Args:
        lesson: says what looks there are, and whose beliefs count.
        scenes: that the classifier has not learned from, on which other looks would seem the best.
    """
    lesson = replace(lesson, target=TARGETS["label"])
    looks, total = lesson.looks, torch.zeros(len(lesson.looks), dtype=torch.float64)
    for rows in torch.arange(len(scenes)).split(max(PASSES // len(looks), 1)):
        some = scenes.scenes(rows).to(looks.designs.device)
        asked = Situations(
            observation=Observation.nothing_of(some),
            scene=torch.arange(len(some), device=some.device),
            moment=torch.zeros(len(some), dtype=torch.long, device=some.device),
            judged=torch.ones(len(some), len(looks), dtype=torch.bool, device=some.device),
        )
        gains = lesson.gains_at(asked, some, scenes.labels[rows].to(some.device))
        total += gains.double().sum(0).cpu()
    return tuple((total / len(scenes)).tolist())


@dataclass(frozen=True, eq=False, kw_only=True)
class Returns(Gains):
    """The same for gains of a look and of the best looks after it, less their price.

    The target is Bellman's: a look's gain, and the network's own highest value at what is known
    after the look, or nothing after the last one. Gains add up to the fall of the log loss over
    all T looks. The look is taken at the true scene, for every judged candidate: what a look leads
    to is learned although the policy would not take it (Q-learning: Watkins & Dayan 1992; for
    features: Janisch et al. 2019). How many looks are left the network reads off what was seen.
    """

    training: NonmyopicTrainingConfig

    @torch.no_grad()
    def wanted(
        self,
        network: LookNet,
        asked: Situations,
        gains: Float[Tensor, "P D"],
        *,
        scenes: Float[Tensor, "B C H W"],
        seeds: list[int],
    ) -> Float[Tensor, "P D"]:
        """Gain, less price, and what the best look after it is expected to bring."""
        looks = self.looks
        cost = candidate_costs(self.sensor, asked.observation, looks.designs)
        wanted = gains - self.training.price * cost.to(gains)
        left = (asked.moment < self.training.looks - 1)[:, None]
        row, index = (asked.judged & left).nonzero(as_tuple=True)
        if len(row) == 0:
            return wanted
        scene = asked.scene[row]
        after = look(
            self.sensor,
            asked.observation[row],
            scenes[scene],
            design=looks.designs[index],
            seeds=[seeds[each] for each in scene.tolist()],
        )
        new = looks.new_share(after) > 0
        best = network(after, looks).float().masked_fill(~new, -torch.inf).amax(1)
        future = best.where(new.any(1), 0.0)
        return wanted.index_put((row, index), wanted[row, index] + future)
