"""Completion by retrieval: the data set's images that match the observation best.

Harvey et al. 2019 (Near-Optimal Glimpse Sequences) complete images this way; Harvey et al. 2021
keep it for the first look, when nothing has been seen and the samples are the data set's images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from completion.completer import Completions
from data.dataset import Dataset
from data.observation import Observation
from data.randomness import Seeds, derive, per_scene


class Retrieval:
    """The n images of a data set nearest to the observation, weighted by their likelihood.

    The likelihood of an image is Gaussian in its root mean square difference d from the seen
    pixels, exp(-d^2 / 2 bandwidth^2). With nothing seen, n images are drawn at random without
    replacement, of equal weight.

    Args:
        library: images to retrieve from; its labels come along.
        bandwidth: standard deviation of d, in pixel values of [0, 1].
    """

    deterministic = True  # `complete` is, once something has been seen

    def __init__(self, library: Dataset, bandwidth: float = 0.1) -> None:
        if not bandwidth > 0:
            raise ValueError(f"bandwidth must be positive, got {bandwidth}")
        order = torch.randperm(len(library), generator=torch.Generator().manual_seed(0))
        self.library = library.subset(order)  # sorted by class, equal matches would be of one
        self.bandwidth = bandwidth
        self._flat: Tensor | None = None

    def distances(self, observation: Observation) -> Float[Tensor, "B M"]:
        """Mean squared difference on the seen pixels from each of the M images, 0 if none seen."""
        if self._flat is None or self._flat.device != observation.device:
            self._flat = self.library.scenes().flatten(1).to(observation.device)
        values = observation.values.flatten(1)
        mask = observation.mask.expand_as(observation.values).flatten(1)
        squared = mask @ (self._flat**2).T - 2 * (values * mask) @ self._flat.T
        squared = squared + (values**2 * mask).sum(1, keepdim=True)
        return squared.clamp(min=0) / mask.sum(1, keepdim=True).clamp(min=1)

    def complete(self, observation: Observation, n: int, seed: Seeds = 0) -> Completions:
        """The n best matches with weights and labels, the seen pixels composited in.

        Raises:
            ValueError: n is less than 1 or more than the library has, the images are of another
                size, or the observation has NaN pixels.
        """
        self._check(observation, n)
        distance = self.distances(observation)
        noise = self._shuffle(distance.shape, per_scene(seed, len(observation)))
        unseen = observation.mask.flatten(1).sum(1) == 0
        ranking = torch.where(unseen[:, None], noise.to(distance.device), distance)
        rows = ranking.topk(n, dim=1, largest=False).indices  # [B, n]
        scores = -distance.gather(1, rows) / (2 * self.bandwidth**2)
        weights = F.softmax(scores, dim=1).T
        rows = rows.T.cpu()
        scenes = self.library.scenes(rows).to(observation.device)
        labels = self.library.labels[rows].to(observation.device)
        return Completions(observation.composite(scenes), weights, labels)

    def sample(
        self, observation: Observation, n: int, seed: Seeds = 0
    ) -> Float[Tensor, "n B C H W"]:
        """n images of equal weight, drawn independently by likelihood from the whole library.

        With nothing seen they are drawn without replacement.

        Raises:
            ValueError: as `complete` does.
        """
        self._check(observation, n)
        scores = -self.distances(observation) / (2 * self.bandwidth**2)
        unseen = observation.mask.flatten(1).sum(1) == 0
        drawn = [
            torch.multinomial(
                probabilities,
                n,
                replacement=not empty,
                generator=torch.Generator().manual_seed(derive(each, "retrieval")),
            )
            for probabilities, empty, each in zip(
                F.softmax(scores, dim=1).cpu(),
                unseen.tolist(),
                per_scene(seed, len(observation)),
                strict=True,
            )
        ]
        rows: Int64[Tensor, "n B"] = torch.stack(drawn, dim=1)
        return observation.composite(self.library.scenes(rows).to(observation.device))

    def _check(self, observation: Observation, n: int) -> None:
        library = self.library
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        if n > len(library):
            raise ValueError(f"n is {n}, but {library.name} has only {len(library)} images")
        if (observation.channels, observation.size) != (library.channels, library.size):
            raise ValueError(
                f"observation has {observation.channels} channels of {observation.size} pixels; "
                f"{library.name} has {library.channels} of {library.size}"
            )
        if not torch.isfinite(observation.values).all():
            raise ValueError("observation has NaN or infinite pixels; expected values in [0, 1]")

    @staticmethod
    def _shuffle(shape: torch.Size, seeds: list[int]) -> Float[Tensor, "B M"]:
        rows = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(derive(seed, "retrieval"))
            rows.append(torch.rand(shape[1], generator=generator))
        return torch.stack(rows)
