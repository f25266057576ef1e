"""Completions without training that are always the same, by name; harmonic and ridge fill.

Anchors: what a trained completer that aims at squared error has to beat.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from boed.completion.classical.blending import HarmonicExtension
from boed.data.dataset import Dataset
from boed.data.observation import Observation, check_scenes
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least, check_fits, more_than
from boed.foundation.randomness import Seeds, per_scene
from boed.foundation.registry import Registry


class Filling(ABC):
    """One completion of each observation of pixels, n times.

    Args:
        library: scenes of the size and channels to complete; where nothing is seen, their mean is
            what comes out.
    """

    deterministic = True

    def __init__(self, library: Dataset) -> None:
        self.size, self.channels, self.shape = library.size, library.channels, library.shape
        sums = [library.scenes(rows).sum(0) for rows in torch.arange(len(library)).split(512)]
        self.mean: Float[Tensor, "C H W"] = torch.stack(sums).sum(0) / len(library)

    @abstractmethod
    def fill(
        self, seen: Float[Tensor, "b C H W"], hidden: Bool[Tensor, "H W"]
    ) -> Float[Tensor, "b C Q"]:
        """The Q hidden pixels in raster order, of scenes of which the others are seen, some are."""

    def sample(
        self, observation: Observation, n: int, seed: Seeds = 0
    ) -> Float[Tensor, "n B C H W"]:
        """n equal completions of each observation, the seen pixels composited in.

        Raises:
            ValueError: n is less than 1, or the observation has another size or number of
                channels than the library, pixels that are NaN or not in [0, 1], or readings.
        """
        return observation.composite(self.draw(observation, n, seed))

    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """n equal scenes for each observation.

        Raises:
            ValueError: as `sample` does.
        """
        at_least(1, n=n)
        check_fits(type(self).__name__, self, observation, name="observation")
        check_scenes(observation.values, "observation")
        if observation.readings is not None:
            raise ValueError(
                f"observation has readings of an indirect sensor; {type(self).__name__} fills in "
                "pixels, expected pixels that were seen"
            )
        per_scene(seed, len(observation))
        values = observation.values.cpu()
        masks, group = torch.unique(observation.mask.cpu()[:, 0] == 0, dim=0, return_inverse=True)
        scenes = values.clone()
        for index, hidden in enumerate(masks):
            rows = torch.nonzero(group == index)[:, 0]
            if hidden.all():
                scenes[rows] = self.mean.to(scenes)
            elif hidden.any():
                every = values[rows]
                every[:, :, hidden] = self.fill(every, hidden).clamp(0, 1).to(every)
                scenes[rows] = every
        return scenes.to(observation.device).repeat(n, 1, 1, 1, 1)


@checked
class HarmonicFill(Filling):
    """Hidden pixels that solve Laplace's equation: each is the mean of its neighbours.

    Seen pixels are the boundary values; at the border of the image there are fewer neighbours.
    Each channel by itself. No hidden pixel is brighter or darker than all that are seen.
    """

    def fill(
        self, seen: Float[Tensor, "b C H W"], hidden: Bool[Tensor, "H W"]
    ) -> Float[Tensor, "b C Q"]:
        return HarmonicExtension(hidden)(seen)


@checked
class RidgeFill(Filling):
    """Hidden pixels by ridge regression on the seen ones around them.

    One linear model for each mask, of all channels together, that reads the seen pixels of a frame
    around what is hidden.
    Args:
        library: scenes to fit to.
        images: fitted to so many of them, drawn at random.
        frame: width of the frame in pixels.
        penalty: weight of the squared coefficients beside the squared errors, both summed.

    Raises:
        ValueError: images or frame below 1, or a penalty that is not positive.
    """

    def __init__(
        self, library: Dataset, *, images: int = 2_000, frame: int = 4, penalty: float = 1.0
    ) -> None:
        at_least(1, images=images, frame=frame)
        more_than(0, penalty=penalty)
        super().__init__(library)
        self.frame, self.penalty = frame, penalty
        order = torch.randperm(len(library), generator=torch.Generator().manual_seed(0))
        self.scenes = library.scenes(order[:images])

    def fill(
        self, seen: Float[Tensor, "b C H W"], hidden: Bool[Tensor, "H W"]
    ) -> Float[Tensor, "b C Q"]:
        from sklearn.linear_model import Ridge

        near = F.max_pool2d(hidden[None].float(), 2 * self.frame + 1, 1, self.frame)[0] > 0
        frame = near & ~hidden  # never empty: some pixels are seen, some beside them are not
        read, asked = (self.scenes[:, :, each].flatten(1).numpy() for each in (frame, hidden))
        model = Ridge(self.penalty).fit(read.astype(np.float64), asked.astype(np.float64))
        filled = model.predict(seen[:, :, frame].flatten(1).double().numpy())
        return torch.from_numpy(filled).reshape(len(seen), seen.shape[1], -1)


FILLINGS: Registry[type[Filling]] = Registry(
    "filling",
    lazy={
        "harmonic": f"{__name__}:HarmonicFill",
        "ridge": f"{__name__}:RidgeFill",
        "tv": "boed.completion.classical.tv:TotalVariationFill",
        "low-rank": "boed.completion.classical.low_rank:LowRankFill",
        "patch-match": "boed.completion.classical.patch_match:PatchMatchFill",
    },
)
"""By the names that `--completer` takes; imported when asked for."""
