"""What a network learns from: its own looks at scenes, and what other looks would gain."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.completion.completer import Completer, Completions, complete
from boed.data.observation import Observation
from boed.eig.completions.estimate import design_problem
from boed.eig.completions.estimators import Estimator, named
from boed.foundation.randomness import derive
from boed.policies.learned.looks import CandidateLooks
from boed.policies.learned.network import LookNet
from boed.search.candidates.evaluations import Evaluations
from boed.sensors.sensor import Sensor, look

LARGEST = 10.0
"""Gains are taken to be no further from 0 than this, nats: a look that makes the truth impossible
would outweigh all others."""


@dataclass(frozen=True, eq=False, kw_only=True)
class RollOut:
    """T looks at each of B scenes.

    Attributes:
        before: what had been seen before each look, T of them, and after the last one.
        chosen: which candidates were taken, `[T, B]`.
        expected: the network's value of each, `[T, B]`; 0 where a random one was taken.
    """

    before: list[Observation]
    chosen: Int64[Tensor, "T B"]
    expected: Float[Tensor, "T B"]


@torch.no_grad()
def roll_out(
    network: LookNet,
    scenes: Float[Tensor, "B C H W"],
    looks: CandidateLooks,
    *,
    sensor: Sensor,
    steps: int,
    explore: float = 0.0,
    seeds: list[int],
) -> RollOut:
    """Look where the network says, or with probability `explore` anywhere that is new.

    Random numbers come from torch's global generator.

    Args:
        network: says where.
        scenes: to look at.
        looks: the candidates.
        sensor: that offers them.
        steps: looks at each scene, T.
        explore: probability of a random look.
        seeds: of the sensor's noise, one for each scene.
    """
    observation = Observation.nothing_of(scenes)
    before, chosen, expected = [observation], [], []
    for _ in range(steps):
        new = looks.new_share(observation) > 0
        anywhere = (torch.rand(len(scenes)) < explore).nonzero()[:, 0].to(scenes.device)
        index = torch.zeros(len(scenes), dtype=torch.long, device=scenes.device)
        value = torch.zeros(len(scenes), device=scenes.device)
        if len(anywhere) < len(scenes):
            best = network(observation, looks).masked_fill(~new, -torch.inf).max(1)
            index, value = best.indices, best.values.where(new.any(1), 0.0)
        if len(anywhere):
            ticket = torch.rand(len(anywhere), len(looks)).to(scenes.device)
            random = ticket.masked_fill(~new[anywhere], -1).argmax(1)
            index, value = index.index_put((anywhere,), random), value.index_fill(0, anywhere, 0.0)
        observation = look(sensor, observation, scenes, design=looks.designs[index], seeds=seeds)
        before.append(observation)
        chosen.append(index)
        expected.append(value)
    return RollOut(before=before, chosen=torch.stack(chosen), expected=torch.stack(expected))


@dataclass(frozen=True, eq=False, kw_only=True)
class Situations:
    """Observations, and which candidates are judged in each.

    Attributes:
        observation: what has been seen, of P scenes.
        scene: which of the B scenes each is of, `[P]`.
        moment: how many looks had been taken, `[P]`.
        judged: the candidates, `[P, D]`.
    """

    observation: Observation
    scene: Int64[Tensor, " P"]
    moment: Int64[Tensor, " P"]
    judged: Bool[Tensor, "P D"]


def situations(
    rolled: RollOut, looks: CandidateLooks, *, candidates: int, most: int, begin: int = 0
) -> Situations:
    """Some moments of each roll-out, in each the look taken and random others that are new.

    Args:
        rolled: the looks taken.
        looks: the candidates.
        candidates: looks that are judged in each, the one taken among them.
        most: moments of each scene; all where there are no more.
        begin: the first of the moments.
    """
    steps, batch = rolled.chosen.shape
    device = rolled.chosen.device
    together = Observation.joined(rolled.before[:-1])
    moments = begin + torch.rand(batch, steps - begin).argsort(1)[:, :most].to(device)  # [B, J]
    scene = torch.arange(batch, device=device)[:, None].expand_as(moments).flatten()
    rows = moments.flatten() * batch + scene
    observation = together[rows]
    new = looks.new_share(observation) > 0
    ticket = torch.rand(new.shape).to(device).masked_fill(~new, -1)
    ticket = ticket.scatter(1, rolled.chosen.flatten()[rows][:, None], 2.0).masked_fill(~new, -1)
    best = ticket.topk(min(candidates, len(looks)), dim=1)
    judged = torch.zeros_like(new).scatter(1, best.indices, best.values >= 0)
    return Situations(observation=observation, scene=scene, moment=moments.flatten(), judged=judged)


class Judges(Protocol):
    """Whole scenes by which looks are judged: the truth of each, or completions."""

    def __call__(
        self, asked: Situations, scenes: Float[Tensor, "B C H W"], labels: Int64[Tensor, "B *L"]
    ) -> Completions:
        """One or more for each situation."""
        ...


def labelled(asked: Situations, scenes: Tensor, labels: Tensor) -> Completions:
    """The scene itself with its label."""
    return replace(itself(asked, scenes, labels), labels=labels[asked.scene][None])


def itself(asked: Situations, scenes: Tensor, labels: Tensor) -> Completions:
    """The scene itself, of which the classifier says what it is."""
    truth = scenes[asked.scene][None]
    return Completions(truth, torch.ones_like(truth[..., 0, 0, 0]))


@dataclass(frozen=True)
class Completed:
    """A completer's samples.

    Attributes:
        completer: draws them.
        n: completions of each situation.
    """

    completer: Completer
    n: int = 10

    def __call__(self, asked: Situations, scenes: Tensor, labels: Tensor) -> Completions:
        start = int(torch.randint(2**31, ()))
        seeds = [derive(start, row) for row in range(len(asked.scene))]
        return complete(self.completer, asked.observation, self.n, seed=seeds)


@dataclass(frozen=True)
class Target:
    """What a look gains, the mean over the scenes by which it is judged.

    Attributes:
        judges: these scenes.
        estimator: of the gain at each. `variational` is the fall of the log loss,
            sum_v p(v | I) (log g(v | f_c(I)) - log g(v | observation)).
    """

    judges: Judges
    estimator: Estimator = field(default_factory=lambda: named("variational"))

    @torch.no_grad()
    def __call__(
        self,
        asked: Situations,
        scenes: Float[Tensor, "B C H W"],
        labels: Int64[Tensor, "B *L"],
        *,
        sensor: Sensor,
        classifier: Classifier,
    ) -> Float[Tensor, "P D"]:
        """The gain of each judged look in nats, NaN for the others."""
        observation = asked.observation
        with torch.autocast(observation.device.type, enabled=False):
            completions = self.judges(asked, scenes, labels)
            problem = design_problem(observation, completions, sensor, classifier=classifier)
            evaluations = Evaluations(problem, self.estimator)
            evaluations.evaluate(asked.judged.expand_as(evaluations.done))
            return evaluations.eig.clamp(-LARGEST, LARGEST)


TARGETS: dict[str, Target] = {
    "label": Target(labelled),
    "belief": Target(itself),
    "information": Target(itself, named("information")),
}
"""What a look may gain at a true scene, by name: the fall of the log loss of its label (DIME), or
of the classifier's belief on the whole scene; or how far the belief moves."""
