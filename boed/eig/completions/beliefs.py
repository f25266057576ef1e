"""The hot path: the classifier's belief after every candidate look at every completion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.classifiers.classifier import Classifier, Nearby, NearbyClassifier
from boed.data.observation import Observation
from boed.eig.completions.duplicates import Which, first_alike, merged
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


def candidate_log_beliefs(
    observation: Observation,
    completions: Float[Tensor, "N B C H W"],
    designs: Float[Tensor, "D K"],
    *,
    sensor: Sensor,
    classifier: Classifier,
    memory: int = 512,
    seed: Seeds = 0,
) -> Float[Tensor, "N B D *L K"]:
    """log g(v | f_c(I^(n))) for all completions n, scenes b and candidate looks c.

    See `LooksAhead` for the arguments.
    """
    ahead = LooksAhead(
        observation=observation,
        completions=completions,
        designs=designs,
        sensor=sensor,
        classifier=classifier,
        memory=memory,
        seed=seed,
    )
    return ahead.every()


@dataclass(frozen=True, eq=False, kw_only=True)
class LooksAhead:
    """The belief after each candidate look at each completion, as if it were the scene.

    The candidate images are never all there at once: they are made and judged in pieces that
    stay within `memory` MiB. The result does not depend on the size of the pieces. Looks that
    show the same are judged once.

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

    def every(self) -> Float[Tensor, "N B D *L K"]:
        """log g(v | f_c(I^(n))) for all completions n, scenes b and candidate looks c.

        Raises:
            ValueError: `memory` is less than one image needs, or the classifier does not return
                log-probabilities.
        """
        number, batch = self.completions.shape[:2]
        shape = (number, batch, len(self.designs))
        every = torch.ones(shape, dtype=torch.bool, device=self.observation.device)
        return self.some(*every.nonzero(as_tuple=True)).unflatten(0, shape)

    def some(
        self,
        completion: Int64[Tensor, " P"],
        scene: Int64[Tensor, " P"],
        candidate: Int64[Tensor, " P"],
    ) -> Float[Tensor, "P *L K"]:
        """The same for some (completion, scene, candidate), of which only these are computed.

        Raises:
            ValueError: as `every` does.
        """
        which = (completion, scene, candidate)
        again = None
        if self._alike is not None:
            which, again = merged(which, self._alike)
        room = images_within(self.memory, self.observation)
        if len(self.observation) <= room:
            found = self._judged(which, 0, self._nearby)
        else:  # what the looks at a scene share would take too much memory for all scenes
            order = which[1].argsort(stable=True)
            which = (which[0][order], which[1][order], which[2][order])
            parts = []
            for start in range(0, len(self.observation), room):
                some = (which[1] >= start) & (which[1] < start + room)
                if some.any():
                    base = self.observation[slice(start, start + room)]
                    rows = (which[0][some], which[1][some], which[2][some])
                    parts.append(self._judged(rows, start, _around(base, self.classifier)))
            found = torch.cat(parts)[order.argsort()]
        return found if again is None else found[again]

    def _judged(self, which: Which, first: int, nearby: Nearby) -> Float[Tensor, "P *L K"]:
        """In pieces; `nearby` knows the scenes from `first` on."""
        seeds, results = per_scene(self.seed, len(self.observation)), []
        piece = images_within(self.memory, self.observation)
        for n, b, c in zip(*(index.split(piece) for index in which), strict=True):
            drawn = _noise_seeds(seeds, n, b) if getattr(self.sensor, "noise", 0) > 0 else seeds
            before, scene = self.observation[b], self.completions[n, b]
            after = look(self.sensor, before, scene, design=self.designs[c], seeds=drawn)
            results.append(_checked(nearby(after, b - first), after, self.classifier))
        return torch.cat(results)

    @cached_property
    def _nearby(self) -> Nearby:
        return _around(self.observation, self.classifier)

    @cached_property
    def _alike(self) -> Int64[Tensor, "B D"] | None:
        return first_alike(self.observation, self.designs, self.sensor)


def _noise_seeds(seeds: list[int], completion: Tensor, scene: Tensor) -> list[int]:
    """A seed for each completion of each scene, the same for all its looks."""
    pairs = zip(completion.tolist(), scene.tolist(), strict=True)
    return [derive(seeds[b], "imagined", n) for n, b in pairs]


def log_beliefs(
    observation: Observation, classifier: Classifier, memory: int = 512
) -> Float[Tensor, "B *L K"]:
    """The classifier's belief about each observation, in pieces that stay within `memory`.

    Raises:
        ValueError: as `LooksAhead.every` does.
    """
    piece = images_within(memory, observation)
    parts = []
    for start in range(0, len(observation), piece):
        some = observation[slice(start, start + piece)]
        parts.append(_checked(classifier.log_probs(some), some, classifier))
    return torch.cat(parts)


def _around(observation: Observation, classifier: Classifier) -> Nearby:
    """Beliefs about what continues the observation, with shared work where the classifier can."""
    if isinstance(classifier, NearbyClassifier):
        return classifier.around(observation)
    return lambda after, _: classifier.log_probs(after)


def _checked(
    belief: Tensor, observation: Observation, classifier: Classifier
) -> Float[Tensor, "B *L K"]:
    """The classifier's belief, after making sure that it is one."""
    name = f"{type(classifier).__name__}.log_probs"
    if belief.ndim not in (2, 3) or len(belief) != len(observation):
        raise ValueError(
            f"{name} returned {tuple(belief.shape)} for {len(observation)} observations, "
            f"expected ({len(observation)}, K) or ({len(observation)}, L, 2)"
        )
    if torch.isnan(belief).any():
        raise ValueError(f"{name} returned NaN")
    total = belief.exp().sum(-1)
    if not ((total - 1).abs() < 0.01).all():
        worst = float(total.flatten()[(total - 1).abs().argmax()])
        raise ValueError(
            f"{name} returned numbers whose exponentials sum to {worst:.3g}, not 1; "
            "expected log-probabilities (log_softmax of logits)"
        )
    return belief
