"""The hot path: the classifier's belief after every candidate look at every completion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.classifiers.classifier import (
    Classifier,
    Nearby,
    NearbyClassifier,
    check_belief,
    check_is_classifier,
)
from boed.data.observation import Observation
from boed.eig.completions.duplicates import Rows, first_duplicate, unique_rows
from boed.foundation.checks import calling
from boed.foundation.randomness import Seeds, derive, per_scene
from boed.sensors.sensor import Sensor, look


def images_within(memory: int, observation: Observation) -> int:
    """How many candidate images fit in `memory` MiB, the classifier's activations included.

    A dense network holds at most about 64 times its input while it runs; 256 images at once were
    measured to be fastest on a CPU.

    Raises:
        ValueError: not even one image fits.
    """
    bytes_each = 4 * 64 * (observation.channels + 1) * observation.shape[0] * observation.shape[1]
    fit = memory * 2**20 // bytes_each
    if fit < 1:
        raise ValueError(f"memory is {memory} MiB; one image alone needs {bytes_each / 2**20:.1f}")
    return min(fit, 256 if observation.device.type == "cpu" else 8192)


@dataclass(frozen=True, eq=False, kw_only=True)
class CandidateBeliefs:
    """The belief after each candidate look at each completion, as if it were the scene.

    The candidate images are never all there at once: they are made and classified in chunks that
    stay within `memory` MiB. The result does not depend on the size of the chunks. Looks that
    show the same are classified once.

    Attributes:
        observation: what has been seen, B scenes.
        completions: N of each.
        designs: the candidates.
        sensor: what a look returns.
        classifier: gives the beliefs.
        memory: bound on the images and activations held at once, MiB.
        seed: of the sensor's noise, where it has some; candidates share it, completions do not.
    """

    observation: Observation
    completions: Float[Tensor, "N B C H W"]
    designs: Float[Tensor, "D K"]
    sensor: Sensor
    classifier: Classifier
    memory: int = 512
    seed: Seeds = 0

    def all(self) -> Float[Tensor, "N B D *L K"]:
        """log g(v | f_c(I^(n))) for all completions n, scenes b and candidate looks c.

        Raises:
            ValueError: `memory` is less than one image needs, or the classifier does not return
                log-probabilities.
        """
        number, batch = self.completions.shape[:2]
        shape = (number, batch, len(self.designs))
        every = torch.ones(shape, dtype=torch.bool, device=self.observation.device)
        return self.at(*every.nonzero(as_tuple=True)).unflatten(0, shape)

    def at(
        self,
        completion: Int64[Tensor, " P"],
        scene: Int64[Tensor, " P"],
        candidate: Int64[Tensor, " P"],
    ) -> Float[Tensor, "P *L K"]:
        """The same for some (completion, scene, candidate), of which only these are computed.

        Raises:
            ValueError: as `all` does.
        """
        rows = (completion, scene, candidate)
        few = len(completion) * 16 < len(self.observation) * len(self.designs)
        if (few and "_duplicate" not in self.__dict__) or self._duplicate is None:
            return self._evaluated(rows)  # of few looks duplicates cost more than they save
        unique, inverse = unique_rows(rows, self._duplicate)
        return self._evaluated(unique)[inverse]

    def _evaluated(self, rows: Rows) -> Float[Tensor, "P *L K"]:
        """Each look of `rows`; what the looks at one scene share is computed once for all."""
        room = images_within(self.memory, self.observation)
        if len(self.observation) <= room:
            return self._in_chunks(rows, 0, self._nearby)
        # what the looks at a scene share would take too much memory for all scenes at once
        parts, groups = [], by_scene(rows, room)
        for group in groups:
            first = int(rows[1][group[0]]) // room * room
            nearby = _around(self.observation[slice(first, first + room)], self.classifier)
            parts.append(self._in_chunks(taken(rows, group), first, nearby))
        return torch.cat(parts)[torch.cat(groups).argsort()]

    def _in_chunks(self, rows: Rows, first: int, nearby: Nearby) -> Float[Tensor, "P *L K"]:
        """Look at the completions and classify; `nearby` knows the scenes from `first` on."""
        results = []
        for n, b, c in chunks(rows, images_within(self.memory, self.observation)):
            before, scene, seeds = self.observation[b], self.completions[n, b], self._seeds(n, b)
            after = look(self.sensor, before, scene, design=self.designs[c], seeds=seeds)
            with calling(self.classifier, "log_probs"):
                belief = nearby(after, b - first)
            results.append(check_belief(belief, after, self.classifier))
        return torch.cat(results)

    def _seeds(self, completion: Int64[Tensor, " P"], scene: Int64[Tensor, " P"]) -> list[int]:
        """Of the noise: one for each completion of each scene, the same for all its looks."""
        if not getattr(self.sensor, "noise", 0) > 0:
            return []
        seeds = per_scene(self.seed, len(self.observation))
        pairs = zip(completion.tolist(), scene.tolist(), strict=True)
        return [derive(seeds[b], "imagined", n) for n, b in pairs]

    @cached_property
    def _nearby(self) -> Nearby:
        return _around(self.observation, self.classifier)

    @cached_property
    def _duplicate(self) -> Int64[Tensor, "B D"] | None:
        return first_duplicate(self.observation, self.designs, self.sensor)


def taken(rows: Rows, index: Int64[Tensor, " p"]) -> Rows:
    """Some of the rows."""
    completion, scene, candidate = rows
    return completion[index], scene[index], candidate[index]


def chunks(rows: Rows, size: int) -> Iterator[Rows]:
    """The rows, `size` at a time."""
    return zip(*(index.split(size) for index in rows), strict=True)


def by_scene(rows: Rows, number: int) -> list[Int64[Tensor, " p"]]:
    """Which rows belong to the first `number` scenes, the next ones, and so on; none is empty."""
    order = rows[1].argsort(stable=True)
    _, sizes = (rows[1][order] // number).unique_consecutive(return_counts=True)
    return list(order.split(sizes.tolist()))


def log_beliefs(
    observation: Observation, classifier: Classifier, memory: int = 512
) -> Float[Tensor, "B *L K"]:
    """The classifier's belief about each observation, in chunks that stay within `memory`.

    Raises:
        ValueError: as `CandidateBeliefs.all` does.
    """
    check_is_classifier(classifier)
    size = images_within(memory, observation)
    parts = []
    for start in range(0, len(observation), size):
        some = observation[slice(start, start + size)]
        with calling(classifier, "log_probs"):
            belief = classifier.log_probs(some)
        parts.append(check_belief(belief, some, classifier))
    return torch.cat(parts)


def whole_beliefs(
    scenes: Float[Tensor, "N B C H W"], classifier: Classifier, memory: int = 512
) -> Float[Tensor, "N B *L K"]:
    """The classifier's log-belief about each completion as a whole scene; see `log_beliefs`."""
    whole = Observation.everything(scenes.flatten(0, 1))
    return log_beliefs(whole, classifier, memory).unflatten(0, scenes.shape[:2])


def _around(observation: Observation, classifier: Classifier) -> Nearby:
    """Beliefs about what continues the observation, with shared work where the classifier can."""
    if isinstance(classifier, NearbyClassifier):
        with calling(classifier, "around"):
            return classifier.around(observation)
    return lambda after, _: classifier.log_probs(after)
