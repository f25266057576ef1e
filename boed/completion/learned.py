"""What all trained completers share: checks, compositing, checkpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boed.data.dataset import Dataset
from boed.data.incomplete import Incomplete
from boed.data.observation import Observation, check_scenes
from boed.foundation.checks import at_least, check_fits
from boed.foundation.files import read_model, save_model
from boed.foundation.randomness import Seeds
from boed.training.config import TrainingConfig

Architectures = Mapping[str, Callable[[int, int], tuple[Any, TrainingConfig]]]
"""By name, from the size and channels of images to a configuration and how to train it."""


class LearnedCompleter(nn.Module, ABC):
    """A completer with weights.

    A subclass names itself and its frozen dataclass `Config`, and has a `loss` to minimise and a
    way to `draw` scenes; `sample`, `save` and `load` follow.

    Attributes:
        name: what `boed train completer` and checkpoints call it.
        config: architecture, image size, channels, and the training set's mean and deviation.
        provenance: the checkpoint's header; empty before training.
        deterministic: whether all completions of an observation are equal.
        stored: precision of the weights in a file; half of it halves what is shipped.
        taught_by: the kind of completer that this one starts and learns from; most need none.
        merit: the one of its `figures` that says how good it is, lower is better.
        architectures: what there is beside the preset.
        learns_from: `scenes` by `loss`, `observations` of them alone by `partial_loss`, or both.
    """

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    deterministic: bool = False
    stored: ClassVar[torch.dtype] = torch.float32
    taught_by: ClassVar[str | None] = None
    merit: ClassVar[str] = "val_loss"
    architectures: ClassVar[Architectures] = {}
    learns_from: ClassVar[tuple[str, ...]] = ("scenes",)

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.provenance: dict[str, Any] = {}

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    @classmethod
    def of(cls, config: Any) -> Self:
        """The untrained model of a configuration."""
        return cls(config)

    @classmethod
    @abstractmethod
    def preset(cls, size: int, channels: int) -> tuple[Any, TrainingConfig]:
        """A configuration for an image size that trains on two CPU cores, and how.

        Raises:
            ValueError: there is none for that size.
        """

    def learn_from(self, teacher: LearnedCompleter) -> None:
        """Keep the trained completer of the kind `taught_by` for `loss` to ask."""
        raise NotImplementedError(f"{type(self).__name__} has no teacher")

    def check_source(self, source: str) -> None:
        """Called before a training from `scenes` or `observations`, one of `learns_from`.

        Raises:
            ValueError: the configuration asks for the other.
        """

    def take_turn(self, step: int) -> None:
        """Called before each step of a training, for networks that take turns."""

    def after_update(self) -> None:
        """Called after each update of a training that was made, and before the average takes it in.

        It may change the weights, for example to keep them within bounds.
        """

    @abstractmethod
    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """What training minimises, a scalar; noise comes from torch's global generator.

        Args:
            scene: the truth.
            observation: what is seen of it.
            progress: how far the training has come, 0 to 1, for what is annealed.
        """

    def partial_loss(
        self, measured: Observation, observation: Observation, progress: float = 1.0
    ) -> Tensor:
        """The like of `loss` of scenes of which no more is known than what was measured.

        Only measured pixels count, and nothing else of a scene is looked at.

        Args:
            measured: all that is known of each scene.
            observation: the part of it that the completer is shown.
            progress: as for `loss`.
        """
        raise NotImplementedError(f"{type(self).__name__} learns from whole scenes alone")

    @abstractmethod
    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """`n` scenes in [0, 1] as the model makes them, seen pixels not put back in."""

    @torch.no_grad()
    def sample(
        self, observation: Observation, n: int, seed: Seeds = 0
    ) -> Float[Tensor, "n B C H W"]:
        """`n` completions of each observation, the seen pixels composited in.

        Raises:
            ValueError: n is less than 1, or the observation has another size or number of
                channels than the model, or pixels that are NaN or not in [0, 1].
        """
        at_least(1, n=n)
        self.check(observation)
        return observation.composite(self.draw(observation, n, seed))

    @torch.no_grad()
    def figures(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> dict[str, float]:
        """Figures of merit on scenes held out, for the training's history.

        The loss with noise of a fixed seed, unless a subclass has something better.
        """
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return {"val_loss": float(self.loss(scene, observation))}

    @torch.no_grad()
    def partial_figures(self, measured: Observation, observation: Observation) -> dict[str, float]:
        """The like of `figures` of scenes held out of which no more is known than `measured`."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return {"val_loss": float(self.partial_loss(measured, observation))}

    def standardised(self, image: Tensor) -> Tensor:
        """Pixels less the training set's mean, over its standard deviation."""
        return (image - self.config.mean) / self.config.std

    def check(self, observation: Observation) -> None:
        """Refuse what the model was not made for.

        Raises:
            ValueError: as `sample` says.
        """
        check_fits(f"completer {self.name}", self.config, observation, name="observation")
        check_scenes(observation.values, "observation")

    def save(self, path: Path | str, provenance: dict[str, Any]) -> None:
        """Write the weights, as `stored`, with configuration and provenance as safetensors."""
        header = {"kind": self.name, "config": vars(self.config), **provenance}
        save_model(path, self, header, stored=self.stored)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a checkpoint that `save` wrote.

        Raises:
            ValueError: the file is missing, damaged, or holds something else.
        """
        return read_model(path, cls.built, cls.name)

    @classmethod
    def built(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> Self:
        """The model that a checkpoint's header describes, before its weights are loaded."""
        model = cls.of(cls.Config(**header["config"]))
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def with_unknown(
    planes: Float[Tensor, "B C+1 H W"], known: Float[Tensor, "B 1 H W"]
) -> Float[Tensor, "B C+1 H W"]:
    """Image and mask as a network reads them, where something is known: elsewhere 0, and -1.

    Args:
        planes: image, and behind it the mask: 1 where a pixel is shown, 0 where it is to be made.
        known: 1 where the image holds anything, 0 elsewhere.
    """
    return torch.cat([planes[:, :-1] * known, planes[:, -1:] - (1 - known)], dim=1)


def statistics(train: Dataset | Incomplete) -> dict[str, float]:
    """Mean and standard deviation of a training set's pixels, as configurations hold them.

    Of an incomplete one they are those of the pixels that were seen.
    """
    pixels = (train.pixels() if isinstance(train, Incomplete) else train.scenes()).double()
    return {"mean": round(float(pixels.mean()), 6), "std": round(float(pixels.std()), 6)}
