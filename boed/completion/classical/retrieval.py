"""Completion by retrieval: the data set's images that match the observation best.

Harvey et al. 2019 (Near-Optimal Glimpse Sequences) complete images this way; Harvey et al. 2021
keep it for the first look, when nothing has been seen and the samples are the data set's images.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from boed.completion.classical.index import PrincipalIndex
from boed.completion.completer import Completions
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least, calling, check_fits, more_than
from boed.foundation.randomness import Seeds, derive, per_scene

Transform = Callable[[Float[Tensor, "B C H W"]], Float[Tensor, "B R"]]


def readings_of(
    transform: Transform | None, scenes: Float[Tensor, "B C H W"]
) -> Float[Tensor, "B R"]:
    """All that an indirect sensor would read of scenes; their pixels where there is no transform.

    Raises:
        ValueError: what a transform of the user's own raised.
    """
    if transform is None:
        return scenes.flatten(1)
    with calling(transform):
        return transform(scenes)


"""Scenes to the readings that an indirect sensor takes of them."""


@checked
class Retrieval:
    """The n images of a data set nearest to the observation, weighted by their likelihood.

    The likelihood of an image is Gaussian in its root mean square difference d from the seen
    pixels, or from the readings taken, exp(-d^2 / 2 bandwidth^2). With nothing seen, n images are
    drawn at random without replacement, of equal weight.

    Args:
        library: images to retrieve from; its labels come along.
        bandwidth: standard deviation of d, in pixel values of [0, 1], or units of the readings.
        transform: for an indirect sensor, scenes to all its readings, such as its `forward`;
            applied to the library once.
        labelled: whether the completions carry the library's labels as answers; not if the library
            answers another question than the classifier.
        candidates: only so many images, the best by a `PrincipalIndex` of the library, are
            compared with what was seen: for libraries of ten thousands, whose pixels are then
            not held as floats. All are if not given.

    Raises:
        ValueError: a bandwidth that is not positive, or candidates with a transform.
    """

    deterministic = True  # `complete` is, once something has been seen

    def __init__(
        self,
        library: Dataset,
        bandwidth: float = 0.1,
        transform: Transform | None = None,
        *,
        labelled: bool = True,
        candidates: int | None = None,
    ) -> None:
        more_than(0, bandwidth=bandwidth)
        if candidates is not None and transform is not None:
            raise ValueError("candidates are found by pixels: give them or a transform, not both")
        order = torch.randperm(len(library), generator=torch.Generator().manual_seed(0))
        self.library = library.subset(order)  # sorted by class, equal matches would be of one
        self.bandwidth = bandwidth
        self.labelled = labelled
        self.transform = transform
        self.index = None if candidates is None else PrincipalIndex(self.library, 32, candidates)

    def distances(self, observation: Observation) -> Float[Tensor, "B M"]:
        """Mean squared difference from each of the M images in what was seen, 0 if nothing was.

        Raises:
            ValueError: the observation has readings but there is no transform, or the transform
                gives others.
        """
        library = self._library_on(observation)
        values, taken = measured(observation, library.shape[1], self.transform)
        squared = taken @ (library**2).T - 2 * (values * taken) @ library.T
        squared = squared + (values**2 * taken).sum(1, keepdim=True)
        return squared.clamp(min=0) / taken.sum(1, keepdim=True).clamp(min=1)

    def _library_on(self, observation: Observation) -> Float[Tensor, "M R"]:
        """The library's pixels, or its readings."""
        device = observation.device
        if device not in self._flat:
            pieces = torch.arange(len(self.library)).split(512)
            scenes = (self.library.scenes(rows).to(device) for rows in pieces)
            readings = [readings_of(self.transform, each) for each in scenes]
            self._flat[device] = torch.cat(readings)
        return self._flat[device]

    @cached_property
    def _flat(self) -> dict[torch.device, Float[Tensor, "M R"]]:
        """What was read of the library, by device."""
        return {}

    def complete(self, observation: Observation, n: int, seed: Seeds = 0) -> Completions:
        """The n best matches with weights, and labels if asked for, the seen pixels composited in.

        Raises:
            ValueError: n is less than 1 or more than the library has, the images are of another
                size, the observation has NaN pixels, or it is by another sensor.
        """
        self._check(observation, n)
        seeds = per_scene(seed, len(observation))
        distance, library_rows = self._compared(observation, seeds)
        noise = self._shuffle(distance.shape, seeds)
        unseen = observation.seen.sum(1) == 0
        ranking = torch.where(unseen[:, None], noise.to(distance.device), distance)
        best = ranking.topk(n, dim=1, largest=False).indices  # [B, n]
        scores = -distance.gather(1, best) / (2 * self.bandwidth**2)
        weights = F.softmax(scores, dim=1).T
        rows = library_rows.gather(1, best.to(library_rows.device)).T
        scenes = self.library.scenes(rows).to(observation.device)
        labels = self.library.labels[rows].to(observation.device) if self.labelled else None
        return Completions(observation.composite(scenes), weights, labels)

    def sample(
        self, observation: Observation, n: int, seed: Seeds = 0
    ) -> Float[Tensor, "n B C H W"]:
        """n images of equal weight as by `draw`, the seen pixels composited in.

        Raises:
            ValueError: as `complete` does.
        """
        return observation.composite(self.draw(observation, n, seed))

    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """n images of the library, drawn independently by likelihood.

        With nothing seen they are drawn without replacement.

        Raises:
            ValueError: as `complete` does.
        """
        self._check(observation, n)
        seeds = per_scene(seed, len(observation))
        distance, library_rows = self._compared(observation, seeds)
        probabilities = F.softmax(-distance / (2 * self.bandwidth**2), dim=1).cpu()
        unseen = observation.seen.sum(1) == 0
        drawn = [
            torch.multinomial(
                each,
                n,
                replacement=not empty,
                generator=torch.Generator().manual_seed(derive(own, "retrieval")),
            )
            for each, empty, own in zip(probabilities, unseen.tolist(), seeds, strict=True)
        ]
        rows: Int64[Tensor, "n B"] = library_rows.gather(1, torch.stack(drawn)).T
        return self.library.scenes(rows).to(observation.device)

    def _compared(
        self, observation: Observation, seeds: list[int]
    ) -> tuple[Float[Tensor, "B K"], Int64[Tensor, "B K"]]:
        """Images that are compared with each observation: their distances, and their rows."""
        if self.index is None:
            everything = torch.arange(len(self.library)).expand(len(observation), -1)
            return self.distances(observation), everything
        values, taken = measured(observation, self.library.images[0].numel(), None)
        rows = self.index.nearest(values, taken)
        for scene in torch.nonzero(taken.sum(1) == 0)[:, 0].tolist():
            generator = torch.Generator().manual_seed(derive(seeds[scene], "candidates"))
            rows[scene] = torch.randperm(len(self.library), generator=generator)[: rows.shape[1]]
        squared = [
            ((self.library.scenes(each).to(value.device).flatten(1) - value) ** 2 * seen).sum(1)
            for each, value, seen in zip(rows, values, taken, strict=True)
        ]
        return torch.stack(squared) / taken.sum(1, keepdim=True).clamp(min=1), rows

    def _check(self, observation: Observation, n: int) -> None:
        library = self.library
        at_least(1, n=n)
        if self.index is not None and n > self.index.candidates:
            raise ValueError(f"n is {n}, but only {self.index.candidates} candidates are compared")
        if n > len(library):
            raise ValueError(f"n is {n}, but {library.name} has only {len(library)} images")
        check_fits(f"retrieval from {library.name}", library, observation, name="observation")
        if not torch.isfinite(observation.values).all():
            raise ValueError("observation has NaN or infinite pixels; expected values in [0, 1]")

    @staticmethod
    def _shuffle(shape: torch.Size, seeds: list[int]) -> Float[Tensor, "B M"]:
        rows = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(derive(seed, "retrieval"))
            rows.append(torch.rand(shape[1], generator=generator))
        return torch.stack(rows)


def measured(
    observation: Observation, number: int, transform: Transform | None
) -> tuple[Float[Tensor, "B R"], Float[Tensor, "B R"]]:
    """What was measured, and 1 where it was: readings, or pixels where there is no transform.

    Args:
        observation: by a sensor whose readings `transform` gives, or nothing.
        number: of all readings, or pixels, R.
        transform: scenes to readings.

    Raises:
        ValueError: the observation is of another kind, or has another number of readings.
    """
    if observation.readings is not None and observation.taken is not None:
        if transform is None:
            raise ValueError(
                "observation has readings of an indirect sensor; a transform from scenes to "
                "readings, such as the sensor's forward, is needed to compare with them"
            )
        if observation.readings.shape[1] != number:
            raise ValueError(
                f"observation has {observation.readings.shape[1]} readings; "
                f"the transform gives {number}"
            )
        return observation.readings, observation.taken
    if transform is None:
        taken = observation.mask.expand_as(observation.values).flatten(1)
        return observation.values.flatten(1), taken
    if observation.mask.any():
        raise ValueError(
            "observation has pixels that were seen but no readings; with a transform, expected "
            "readings of an indirect sensor, or nothing"
        )
    nothing = observation.values.new_zeros(len(observation), number)
    return nothing, nothing
