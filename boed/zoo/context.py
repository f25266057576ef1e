"""From names, paths and objects to the scenes that models are chosen for: `context_for(...)`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from boed.data.dataset import Dataset
from boed.data.load import load
from boed.data.observation import Observation
from boed.sensors import Sensor
from boed.sensors.registry import default_sensor, sensor_named
from boed.sensors.sensor import candidates
from boed.zoo.defaults import DEFAULT_SIZE
from boed.zoo.fitted import Context


def context_for(
    data: str | Path | Dataset,
    *,
    sensor: str | Mapping[str, Any] | Sensor | None = None,
    library: str | Path | Dataset | None = None,
    val: Dataset | None = None,
    size: int | None = None,
    split: str = "test",
    steps: int = 3,
) -> Context:
    """What models are chosen for: scenes, the library and the val scenes that go with them.

    Args:
        data, sensor, library, val, size, split, steps: see `boed.setup`.

    Raises:
        ValueError: something cannot be read or does not fit.
    """
    scenes = data if isinstance(data, Dataset) else _load(data, size, split)
    where = data if library is None else library
    shelf = _library(where, scenes, asked=library is not None)
    val = val if val is not None or isinstance(where, Dataset) else _split(where, scenes, "val")
    looks = sensor if sensor is not None else default_sensor(scenes)
    looker = sensor_named(looks, scenes) if isinstance(looks, str | Mapping) else looks
    candidates(looker, Observation.nothing(1, scenes.channels, scenes.shape))
    source = next((str(each) for each in (where, data) if isinstance(each, str | Path)), None)
    return Context(scenes, looker, library=shelf, val=val, steps=steps, source=source)


def _load(data: str | Path, size: int | None, split: str) -> Dataset:
    return load(data, size or DEFAULT_SIZE.get(str(data)), split)


def _library(where: str | Path | Dataset, scenes: Dataset, *, asked: bool) -> Dataset | None:
    """The train split of the same width; None where the scenes' own source has none.

    Raises:
        ValueError: it is of another size, or one that was asked for cannot be read, or is the
            very scenes that are looked at.
    """
    if isinstance(where, Dataset):
        if asked and _same_scenes(where, scenes):
            raise ValueError(
                f"library is the {where.split} split of {where.name}, the same scenes as data, "
                "expected train or val scenes, from which those can be completed"
            )
        return None if where is scenes else _same_size(where, scenes)
    if asked and str(where) != scenes.name:
        try:
            read = load(where, scenes.size, "train")
        except ValueError as error:
            raise ValueError(f"library: {error}") from error
        return _same_size(read, scenes)
    return _split(where, scenes, "train")


def _split(where: str | Path, scenes: Dataset, split: str) -> Dataset | None:
    """Another split of the same width; None where there is none."""
    try:
        found = load(where, scenes.size, split)
    except ValueError:
        return None
    return _same_size(found, scenes)


def _same_scenes(library: Dataset, scenes: Dataset) -> bool:
    alike = library.images.dtype == scenes.images.dtype
    return library is scenes or (alike and torch.equal(library.images, scenes.images))


def _same_size(library: Dataset, scenes: Dataset) -> Dataset:
    if library.images.shape[1:] != scenes.images.shape[1:]:
        raise ValueError(
            f"library: {library.name} ({library.split}) has scenes "
            f"{tuple(library.images.shape[1:])}, expected {tuple(scenes.images.shape[1:])}, as "
            f"{scenes.name} ({scenes.split}) has: give `library` a set of the same size, or `size`"
        )
    return library
