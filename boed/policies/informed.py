"""Policies that look where they expect to learn most: BOED, and the references beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.estimate import EIGMap, Estimator, eig_map
from boed.policies.policy import Decision, footprints, pick
from boed.sensors import Sensor
from classifiers.classifier import Classifier
from completion.completer import Completer, Completions, complete
from data.observation import Observation
from data.randomness import Seeds, derive, per_scene


@dataclass
class BOED:
    """Bayesian optimal experimental design: the look of highest EIG (Eq. 17).

    Attributes:
        completer: draws the completions.
        classifier: gives the beliefs.
        estimator: `variational`, `entropy` (Eq. 17 as printed) or `marginal`.
        n: completions for each decision, N.
        first: completer for the first look, when nothing has been seen: in the paper, retrieval
            of random images of the training set. It is asked once and the answer kept, since
            it is the same for every scene. The completer itself if not given.
        first_n: completions for the first look; they cost nothing per scene.
        memory: bound on the candidate images held at once, MiB.
    """

    completer: Completer
    classifier: Classifier
    estimator: Estimator = "variational"
    n: int = 10
    first: Completer | None = None
    first_n: int = 100
    memory: int = 512

    def __post_init__(self) -> None:
        for name in ("n", "first_n"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        self._first_look: tuple[Sensor, EIGMap, Completions] | None = None

    def choose(
        self,
        observation: Observation,
        sensor: Sensor,
        seed: Seeds = 0,
        truth: Float[Tensor, "B C H W"] | None = None,
    ) -> Decision:
        seeds = per_scene(seed, len(observation))
        if not observation.mask.any():
            return self._choose_first(observation, sensor)
        chosen, scores, gains, scenes, weights = [], [], [], [], []
        rows = self._scenes_at_once(observation)
        for start in range(0, len(observation), rows):
            part = slice(start, start + rows)
            completions = complete(self.completer, observation[part], self.n, seeds[part])
            found = eig_map(
                observation[part], completions, sensor, self.classifier, self.estimator, self.memory
            )
            chosen.append(pick(found.eig, seeds[part]))
            scores.append(found.eig)
            gains.append(found.gains)
            scenes.append(completions.scenes)
            weights.append(completions.weights)
        return Decision(
            designs=found.designs[torch.cat(chosen)],
            candidates=found.designs,
            scores=torch.cat(scores),
            gains=torch.cat(gains, dim=1),
            completions=Completions(torch.cat(scenes, dim=1), torch.cat(weights, dim=1)),
        )

    def _choose_first(self, observation: Observation, sensor: Sensor) -> Decision:
        """The first look, from one computation for all scenes and seeds."""
        if self._first_look is None or self._first_look[0] is not sensor:
            blank = observation[:1]
            completions = complete(
                self.first or self.completer, blank, self.first_n, derive("first look")
            )
            found = eig_map(
                blank, completions, sensor, self.classifier, self.estimator, self.memory
            )
            self._first_look = (sensor, found, completions)
        _, found, completions = self._first_look
        batch = len(observation)
        best = pick(found.eig, [derive("first look")]).expand(batch)
        shown = slice(self.n)  # what a report shows; scores come from all first_n
        scenes, weights = completions.scenes[shown], completions.weights[shown]
        return Decision(
            designs=found.designs[best],
            candidates=found.designs,
            scores=found.eig.expand(batch, -1),
            gains=found.gains[shown].expand(-1, batch, -1),
            completions=Completions(
                scenes.expand(-1, batch, -1, -1, -1),
                (weights / weights.sum(0)).expand(-1, batch),
            ),
        )

    def _scenes_at_once(self, observation: Observation) -> int:
        """Scenes whose completions stay within the memory bound, a completer's work included."""
        each = 4 * 64 * self.n * observation.channels * observation.size**2
        return max(self.memory * 2**20 // each, 1)


@dataclass
class MaxVariance:
    """Look where the completions disagree most: largest summed variance of the unseen pixels.

    The idea of active subsampling (van de Camp et al. 2021; Nolan et al. 2024): it wants to know
    the scene, not the answer.
    """

    completer: Completer
    n: int = 10
    first: Completer | None = None
    first_n: int = 100

    def choose(
        self,
        observation: Observation,
        sensor: Sensor,
        seed: Seeds = 0,
        truth: Float[Tensor, "B C H W"] | None = None,
    ) -> Decision:
        seeds = per_scene(seed, len(observation))
        designs = sensor.designs(observation)
        if observation.mask.any():
            completions = complete(self.completer, observation, self.n, seeds)
        else:
            blank = Observation(observation.values[:1], observation.mask[:1])
            drawn = complete(
                self.first or self.completer, blank, self.first_n, derive("first look")
            )
            completions = Completions(
                drawn.scenes.expand(-1, len(observation), -1, -1, -1),
                drawn.weights.expand(-1, len(observation)),
            )
            seeds = [derive("first look")] * len(observation)
        unseen = completions.variance.sum(1) * (1 - observation.mask[:, 0])
        shown = footprints(observation, sensor)[:, 0]
        scores = torch.einsum("bhw,dhw->bd", unseen, shown)
        chosen = pick(scores, seeds)
        return Decision(designs[chosen], designs, scores, None, completions)


@dataclass
class Oracle:
    """BOED that sees the whole scene in place of completions: an upper reference.

    It does not know the label. It takes the look after which the belief comes nearest to what
    the classifier says of the whole scene, in cross-entropy.
    """

    classifier: Classifier
    memory: int = 512

    def choose(
        self,
        observation: Observation,
        sensor: Sensor,
        seed: Seeds = 0,
        truth: Float[Tensor, "B C H W"] | None = None,
    ) -> Decision:
        if truth is None:
            raise ValueError("the oracle policy needs truth, the whole scenes, and was given none")
        weights = torch.ones(1, len(truth), device=truth.device)
        found = eig_map(
            observation,
            Completions(truth[None], weights),
            sensor,
            self.classifier,
            "variational",
            self.memory,
        )
        chosen = pick(found.eig, per_scene(seed, len(observation)))
        return Decision(found.designs[chosen], found.designs, found.eig, found.gains)
