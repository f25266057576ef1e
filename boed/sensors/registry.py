"""Sensors by name, with their options, for the scenes of a data set; or a user's own by its path.

A sensor is asked for as `NAME`, `NAME,option=value,...` or a mapping with the key `name`; a name
with a colon, `package.module:Class`, is imported. Options are the arguments of the class. Those
that the scenes decide (`shape`, `size`, `channels`, `names` of features) are filled in.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from boed.data.dataset import Dataset
from boed.data.readers.tables import TABLES, feature_names
from boed.foundation.checks import calling
from boed.foundation.npz import read_array
from boed.foundation.options import Kind, Number, Switch, Text, Whole, refusal
from boed.foundation.registry import Registry, check_known, import_object, nearest
from boed.foundation.spelling import split_options, toml_value
from boed.sensors.deepinv_physics import DeepinvSensor
from boed.sensors.features import Features
from boed.sensors.foveated import Foveated
from boed.sensors.kspace import KSpaceLines
from boed.sensors.linear import LinearSensor
from boed.sensors.lines import Lines
from boed.sensors.patch import PatchSensor
from boed.sensors.pixels import PixelBlocks
from boed.sensors.projections import Projections
from boed.sensors.sensor import Sensor, check_is_sensor

SENSORS: Registry[Callable[..., Sensor]] = Registry(
    "sensor",
    {
        "patch": PatchSensor,
        "pixels": PixelBlocks,
        "lines": Lines,
        "kspace": KSpaceLines,
        "projections": Projections,
        "foveated": Foveated,
        "features": Features,
        "linear": LinearSensor,
        "deepinv": DeepinvSensor,
    },
    extra="or package.module:Class for your own",
)
"""The sensors of this package."""

ARRAYS = ("designs", "operator", "angles", "costs", "looks", "grid", "region", "start")
"""Options that are arrays where they are lists, or the path of an `.npy` file."""


OF_THE_SCENES = ("shape", "size", "height", "width", "channels")
"""Arguments of this package's sensors that the scenes decide."""

_KINDS: dict[Any, tuple[Kind, str]] = {
    bool: (Switch(), "true or false"),
    int: (Whole(-sys.maxsize), "a whole number"),
    float: (Number(), "a number"),
    str: (Text(), "text"),
}
"""Kinds of options by the annotation of the class's argument, and in words."""

_WRITTEN = (bool, int, float, str, list, dict)
"""Types of what was typed, or stands in a file of settings."""


def sensor_options(given: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and options of what was asked for.

    >>> sensor_options("kspace,centre=4")
    ('kspace', {'centre': 4})
    >>> sensor_options({"name": "patch", "grid": 9})
    ('patch', {'grid': 9})

    Raises:
        ValueError: options that cannot be read.
    """
    if isinstance(given, Mapping):
        options = dict(given)
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise ValueError(f"sensor is {dict(given)}, expected a table with a name")
        return name, options
    name, *parts = split_options(given)
    options = {}
    for part in parts:
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals or not key.isidentifier():
            raise ValueError(f"sensor: {part!r} is no option=value; expected NAME,option=value,...")
        if key in options:
            raise ValueError(f"sensor: option {key} stands there twice in {given!r}, expected once")
        options[key] = toml_value(value.strip())
    return name.strip(), options


def check_sensor_name(given: str | Mapping[str, Any]) -> None:
    """Refuse what no data set could make a sensor of.

    Raises:
        ValueError: options that cannot be read, or an unknown name.
    """
    name, _ = sensor_options(given)
    if ":" not in name:
        check_known("sensor", name, SENSORS, extra=SENSORS.extra)


def sensor_named(given: str | Mapping[str, Any], dataset: Dataset) -> Sensor:
    """The sensor that was asked for, for the scenes of a data set.

    Args:
        given: name and options; see the module.
        dataset: its scenes.

    Raises:
        ValueError: an unknown name or option, one that is missing or refused by the class, or a
            class of the user's that cannot be imported.
    """
    name, options = sensor_options(given)
    own = ":" in name
    kind = import_object(name, argument="sensor") if own else SENSORS[name]
    if name == "features" and not is_table(dataset):
        raise ValueError(
            f"sensor is 'features', which is for tables; {dataset.name} has images, for patch, "
            "pixels, lines, kspace, projections or foveated"
        )
    parameters = _parameters(kind)
    decided = () if own else OF_THE_SCENES
    offered = [  # a width with a default is that of a look, not of the scenes
        key
        for key, p in parameters.items()
        if key not in decided or (p.default is not p.empty and key != "channels")
    ]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key, value in options.items():
        if key not in offered and not takes_any:
            raise ValueError(
                f"sensor {name} has no option {key!r}: {nearest(key, offered)}Its options: "
                f"{', '.join(offered) or 'none'}"
            )
        if key in parameters:
            _check_option(f"sensor {name}: {key}", key, value, parameters[key].annotation)
    filled = {**_facts(dataset, parameters), **options}
    if name == "deepinv" and isinstance(filled.get("physics"), str):
        height, width = dataset.images.shape[-2:]
        make = import_object(filled["physics"], argument="physics")
        with calling(make):
            filled["physics"] = make((height, width))
    missing = [
        key
        for key, p in parameters.items()
        if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        if key not in filled
    ]
    if missing:
        raise ValueError(
            f"sensor {name} needs {', '.join(missing)}: give it as "
            f"{name},{','.join(f'{key}=...' for key in missing)}"
        )
    try:
        sensor = kind(**{key: _array(key, value) for key, value in filled.items()})
    except ValueError as error:  # its own words
        raise ValueError(f"sensor {name}: {error}") from error
    except Exception as error:
        raise ValueError(
            f"sensor {name} cannot be made with {options}: {type(error).__name__}: {error}"
        ) from error
    check_is_sensor(sensor)
    return sensor


def default_sensor(dataset: Dataset) -> str:
    """What looks at a data set where nothing else is said: features of a table, else patches."""
    return "features" if is_table(dataset) else "patch"


def is_table(dataset: Dataset) -> bool:
    """Whether the scenes are rows of a table, `[1, 1, F]`."""
    return tuple(dataset.images.shape[1:3]) == (1, 1)


def _parameters(kind: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(kind, eval_str=True).parameters
    except (TypeError, ValueError):  # a class in C, whose arguments cannot be read
        return {}
    except Exception:  # annotations that mean something to a type checker alone
        return inspect.signature(kind).parameters


def _check_option(name: str, key: str, value: Any, annotation: Any) -> None:
    """Refuse what the class's argument, by its annotation, does not take."""
    members = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    known = [_KINDS[each] for each in members if each in _KINDS]
    arrays = key in ARRAYS and len(known) < len(members)
    unsaid = annotation in (inspect.Parameter.empty, Any) or isinstance(annotation, str)
    if not isinstance(value, _WRITTEN) or (arrays and _is_array(value)):
        return
    if not known and (not arrays or (unsaid and not isinstance(value, str | list))):
        return
    for kind, _ in known:
        try:
            kind.check(name, value)
        except ValueError:
            continue
        return
    expected = " or ".join(words for _, words in known)
    if arrays:
        lists = "a list of numbers such as [0, 0], or the path of an .npy file"
        expected = f"{expected}, {lists}" if known else lists
    raise refusal(name, value, expected)


def _is_array(value: Any) -> bool:
    """Whether that is the path of an array, or lists of numbers that could be one."""
    if isinstance(value, str):
        return value.endswith(".npy")
    if not isinstance(value, list):
        return False
    try:
        array = np.asarray(value)
    except ValueError:  # of lists that differ in length
        return False
    return array.size > 0 and array.dtype.kind in "biuf" and bool(np.isfinite(array).all())


def _facts(dataset: Dataset, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """What the scenes decide of the arguments that are asked for."""
    channels, height, width = dataset.images.shape[1:]
    facts: dict[str, Any] = {
        "shape": (height, width),
        "height": height,
        "width": width,
        "channels": channels,
        "names": feature_names(dataset.name) if dataset.name in TABLES else width,
    }
    if height == width:
        facts["size"] = width
    elif "size" in parameters:
        raise ValueError(
            f"sensor: {dataset.name} has scenes of {height} x {width} pixels, and this sensor is "
            "for square ones (it takes a size)"
        )
    wanted = [k for k, p in parameters.items() if p.default is p.empty or k == "channels"]
    return {key: facts[key] for key in wanted if key in facts}


def _array(key: str, value: Any) -> Any:
    if key not in ARRAYS or not isinstance(value, str | list):
        return value
    if isinstance(value, list):
        return torch.tensor(value)
    try:
        array: Tensor = torch.from_numpy(read_array(value))
    except (ValueError, TypeError) as error:
        raise ValueError(f"sensor: {key} {error}") from error
    return array.float() if array.is_floating_point() else array
