"""What completers learn from: whole scenes that are hidden anew each time, or observations alone.

Of the latter a sensor has recorded a part of each scene, which never changes. As in ambient
diffusion (Daras et al. 2023) a further part of it is hidden at random in each step, the completer
is shown the rest, and its loss counts the pixels that were recorded. Nothing else of a scene is in
an `Incomplete`, so that none of it can reach the loss, the figures on val or the samples drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from boed.completion.learned import LearnedCompleter
from boed.completion.registry import LEARNED
from boed.data.dataset import Dataset
from boed.data.incomplete import Incomplete
from boed.data.looking import Looking, looks_between, most_looks
from boed.data.masks import check_masks, named, squares
from boed.data.observation import Observation


class Source(Protocol):
    """Train and val images as one kind of training sees them.

    Attributes:
        name: `scenes` or `observations`.
        said: of the masks, for the record.
        decided: keys of the recipe that were left out of it.
    """

    @property
    def name(self) -> str: ...

    @property
    def said(self) -> str: ...

    @property
    def decided(self) -> dict[str, Any]: ...

    def loss(self, model: LearnedCompleter, rows: Tensor, progress: float) -> Tensor:
        """Of some training images; random numbers are of torch's global generator."""
        ...

    def watched(self, model: LearnedCompleter) -> tuple[Observation, dict[str, float]]:
        """What is shown of the val images, and the model's figures of merit on them."""
        ...


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """Whole scenes, hidden by masks or seen by random looks."""

    train: Dataset
    val: Dataset
    masks: str | Looking
    name: str = "scenes"

    @property
    def said(self) -> str:
        return self.masks if isinstance(self.masks, str) else repr(self.masks)

    @property
    def decided(self) -> dict[str, Any]:
        return {
            "masks": self.masks if isinstance(self.masks, str) else None,
            "learns_from": None,  # what is usual
        }

    def loss(self, model: LearnedCompleter, rows: Tensor, progress: float) -> Tensor:
        """See `Source`."""
        scenes = self.train.scenes(rows).to(model.device)
        return model.loss(scenes, seen(scenes, self.masks), progress)

    def watched(self, model: LearnedCompleter) -> tuple[Observation, dict[str, float]]:
        """See `Source`."""
        scenes, observation = val_situations(self.val, self.masks, model.device)
        return observation, model.figures(scenes, observation)


@dataclass(frozen=True, kw_only=True)
class Observations:
    """No more than what was seen of each scene."""

    train: Incomplete
    val: Incomplete
    name: str = "observations"

    @property
    def said(self) -> str:
        return self.train.hidden_by or "those of the images"

    @property
    def decided(self) -> dict[str, Any]:
        return {"masks": self.train.hidden_by, "learns_from": "observations"}

    def loss(self, model: LearnedCompleter, rows: Tensor, progress: float) -> Tensor:
        """See `Source`."""
        measured = self.train.observation(rows).to(model.device)
        return model.partial_loss(measured, part_of(measured), progress)

    def watched(self, model: LearnedCompleter) -> tuple[Observation, dict[str, float]]:
        """See `Source`."""
        measured, shown = val_parts(self.val, model.device)
        return shown, model.partial_figures(measured, shown)


def source_of(
    train: Dataset | Incomplete,
    val: Dataset | Incomplete,
    *,
    masks: str | None,
    looking: Looking | None,
) -> Source:
    """Train and val images as a completer is trained on them.

    Args:
        train, val: both of scenes, or both of observations.
        masks, looking: as `train_completer` takes them.

    Raises:
        ValueError: one of them is whole and the other not, masks that scenes of this size cannot
            have, or masks or looks where images have masks of their own.
    """
    if isinstance(train, Incomplete) and isinstance(val, Incomplete):
        for given, value in (("masks", masks), ("looking", looking)):
            if value is not None:
                raise ValueError(
                    f"{given} is {value!r}, but train is an Incomplete, {train.name}, whose masks "
                    f"are its own: leave `{given}` out"
                )
        return Observations(train=train, val=val)
    if isinstance(train, Incomplete) or isinstance(val, Incomplete):
        kinds = f"{type(train).__name__} and val is {type(val).__name__}"
        raise ValueError(f"train is {kinds}, expected two of Dataset, or two of Incomplete")
    if looking is None:
        masks = masks or "squares"
        check_masks(masks, train.size)
        return Scenes(train=train, val=val, masks=masks)
    return Scenes(train=train, val=val, masks=looking)


def seen(
    scenes: Tensor, masks: str | Looking, generator: torch.Generator | None = None
) -> Observation:
    """What a completer is shown of whole scenes in training.

    Args:
        scenes: `[B, C, H, W]`.
        masks: as `boed.data.masks.named` takes them, or random looks of a sensor.
        generator: of the random numbers; torch's global one if not given.
    """
    if not isinstance(masks, str):
        return masks(scenes, looks_between(most_looks(masks), len(scenes), generator), generator)
    mask = named(masks)(len(scenes), scenes.shape[-1], generator=generator)
    return Observation.of(scenes, mask.to(scenes.device))


def part_of(measured: Observation, generator: torch.Generator | None = None) -> Observation:
    """What a completer is shown of what was measured, from nothing to all of it.

    It is what lies within up to five random squares, as completers of whole scenes are shown, or,
    for one scene in two, what lies outside of them.

    Args:
        measured: pixels and where they were measured.
        generator: of the random numbers; torch's global one if not given.
    """
    outside = torch.rand(len(measured), 1, 1, 1, generator=generator) < 0.5
    mask = squares(len(measured), measured.size, generator=generator)
    shown = torch.where(outside, 1 - mask, mask).to(measured.device) * measured.mask
    return Observation.of(measured.values, shown)


def val_situations(
    val: Dataset, masks: str | Looking, device: torch.device | str = "cpu"
) -> tuple[Tensor, Observation]:
    """The 256 val scenes that completers are watched on, and what is seen of them."""
    scenes = val.scenes(even_rows(len(val))).to(device)
    return scenes, seen(scenes, masks, torch.Generator().manual_seed(0))


def val_parts(
    val: Incomplete, device: torch.device | str = "cpu"
) -> tuple[Observation, Observation]:
    """The like of observations: what was measured of the val scenes, and what is shown of that."""
    measured = val.observation(even_rows(len(val))).to(device)
    return measured, part_of(measured, torch.Generator().manual_seed(0))


def even_rows(available: int, number: int = 256) -> Tensor:
    """Rows evenly spread over a split, whose images may be sorted by class."""
    return torch.linspace(0, available - 1, min(number, available)).long()


def check_learns_from(name: str, source: str) -> None:
    """Refuse a completer that cannot learn from what it is to be given.

    Raises:
        ValueError: naming those that can.
    """
    if source not in LEARNED[name].learns_from:
        able = [each for each in LEARNED if source in LEARNED[each].learns_from]
        own = " and ".join(LEARNED[name].learns_from)
        raise ValueError(
            f"learns_from is {source!r}, but {name} learns from {own} alone; those that can: "
            f"{', '.join(able)}"
        )


def check_start(init: LearnedCompleter) -> None:
    """Refuse weights that know whole scenes as the start of a training from observations alone.

    Raises:
        ValueError: saying what to give instead.
    """
    recipe = init.provenance.get("recipe") or {}
    if recipe.get("learns_from") != "observations":
        raise ValueError(
            f"init is {init.name} trained on whole scenes, which would so reach a training from "
            "observations alone; give one that was trained from observations, or none"
        )
