"""What would be seen and believed after each candidate look, as far as completions tell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig.completions.beliefs import CandidateBeliefs, log_beliefs, whole_beliefs
from boed.foundation.randomness import Seeds
from boed.sensors.direct import DirectSensor
from boed.sensors.sensor import Sensor, footprints, look, reads_new


@dataclass(frozen=True, eq=False, kw_only=True)
class DesignProblem:
    """Which candidate to look at: what estimators start from; what they ask for is computed once.

    Attributes:
        observation: what has been seen, B scenes.
        completions: N samples of p(scene | observation) each.
        sensor: what a look returns.
        classifier: gives the beliefs.
        designs: the candidates, `[D, K]`.
        memory: bound on the candidate images and activations held at once, MiB.
        seed: of the sensor's noise, where it has some.
    """

    observation: Observation
    completions: Completions
    sensor: Sensor
    classifier: Classifier
    designs: Float[Tensor, "D K"]
    memory: int = 512
    seed: Seeds = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Completions N, scenes B, candidates D."""
        return (*self.completions.weights.shape, len(self.designs))  # type: ignore[return-value]

    @cached_property
    def fresh(self) -> Bool[Tensor, "B D"]:
        """Which candidates would read anything new of each scene; all of them where none would.

        The EIG of the others is 0, and no estimate of it below 0 makes one of them the best.
        """
        new = reads_new(self.sensor, self.observation, self.designs)
        return new | ~new.any(1, keepdim=True)

    @cached_property
    def prior(self) -> Float[Tensor, "B *L K"]:
        """log g(v | observation), the current belief."""
        return log_beliefs(self.observation, self.classifier, self.memory)

    @cached_property
    def whole_scene(self) -> Float[Tensor, "N B *L K"]:
        """log p(v | whole completion): the true label where known, else the classifier's belief.

        Raises:
            ValueError: labels that are none of the classifier's answers.
        """
        if self.completions.labels is not None:
            labels = self.completions.labels.to(self.observation.device)
            answers = self.prior.shape[-1]
            low, high = int(labels.min()), int(labels.max())
            if labels.shape[1:] != self.prior.shape[:-1] or low < 0 or high >= answers:
                raise ValueError(
                    f"completions carry labels {tuple(labels.shape)} from {low} to {high}; the "
                    f"classifier gives {tuple(self.prior.shape[1:])} answers, another question: "
                    "label the library for it, or leave labels out (Retrieval: labelled=False)"
                )
            return F.one_hot(labels, self.prior.shape[-1]).float().log()
        return self.classified_whole

    @cached_property
    def classified_whole(self) -> Float[Tensor, "N B *L K"]:
        """log g(v | whole completion), also where its label is known."""
        return whole_beliefs(self.completions.scenes, self.classifier, self.memory)

    @cached_property
    def posterior(self) -> Float[Tensor, "N B D *L K"]:
        """log g(v | f_c(I^(n))) after every candidate look at every completion."""
        return self.beliefs.all()

    @cached_property
    def beliefs(self) -> CandidateBeliefs:
        """Classifies looks at completions."""
        return CandidateBeliefs(
            observation=self.observation,
            completions=self.completions.scenes,
            designs=self.designs,
            sensor=self.sensor,
            classifier=self.classifier,
            memory=self.memory,
            seed=self.seed,
        )

    def posterior_of(self, classifier: Classifier) -> Float[Tensor, "N B D *L K"]:
        """The same as `posterior`, as another classifier believes."""
        return replace(self.beliefs, classifier=classifier).all()

    def posterior_at(
        self,
        completion: Int64[Tensor, " P"],
        scene: Int64[Tensor, " P"],
        candidate: Int64[Tensor, " P"],
    ) -> Float[Tensor, "P *L K"]:
        """`posterior[completion, scene, candidate]`, of which only these are computed."""
        return self.beliefs.at(completion, scene, candidate)

    @cached_property
    def footprints(self) -> Float[Tensor, "D R"]:
        """Which readings (or pixels) each candidate takes, whatever has been seen."""
        return footprints(self.sensor, self.observation, self.designs)

    @cached_property
    def readings(self) -> Float[Tensor, "N B C R"]:
        """What the candidates together would read of each completion.

        R counts readings, or pixels, of C channels; of no meaning where no candidate looks. A
        sensor's noise is the same in all completions, so that it cancels in their differences.
        """
        if isinstance(self.sensor, DirectSensor):
            return self.completions.scenes.flatten(3)
        scenes = self.completions.scenes.flatten(0, 1)
        blank = Observation.nothing(
            len(scenes), self.observation.channels, self.observation.shape, device=scenes.device
        )
        seen, same = blank, [0] * len(scenes)
        for design in self.designs:
            seen = look(
                self.sensor, seen, scenes, design=design.expand(len(scenes), -1), seeds=same
            )
        values = seen.values.flatten(2) if seen.readings is None else seen.readings[:, None]
        return values.unflatten(0, self.completions.scenes.shape[:2])

    @property
    def unread(self) -> Float[Tensor, "B R"]:
        """1 for the readings (or pixels) that have not been taken yet."""
        taken = self.observation.seen
        if taken.shape[1] == self.footprints.shape[1]:
            return 1 - taken
        return taken.new_ones(len(taken), self.footprints.shape[1])  # no reading yet
