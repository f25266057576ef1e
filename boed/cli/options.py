"""Options of the commands: what each one's value may be, by its name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer

from boed.foundation import options as kinds
from boed.foundation.options import COUNT, FRACTION, LARGEST_SEED, SEED, Kind, Text, Whole

MOST_SEEDS = 10_000
"""Repetitions of a run."""

FIGURE = kinds.OutFile(endings=(".png", ".pdf", ".svg"))
CHECKPOINT = kinds.OutFile(endings=(".safetensors",))
RUN_FOLDER = kinds.RunFolder()

KINDS: dict[str, Kind] = {
    "settings": Text(),
    "data": Text(),
    "library": Text(),
    "size": COUNT,
    "split": kinds.OneOf("boed.data.labels:SPLITS"),
    "scenes": Whole(0),
    "scene": Whole(-1),
    "primary": Text(),
    "image": kinds.Existing(),
    "invert": kinds.Switch(),
    "sensor": kinds.SensorTable(),
    "patch": FRACTION,
    "grid": COUNT,
    "policies": kinds.Names(),
    "shifts": kinds.Names(),
    "policy": Text(),
    "baseline": Text(),
    "completer": Text(),
    "reweight": Text(),
    "completers": Text(),
    "classifier": Text(),
    "judge": Text(),
    "model": Text(),
    "name": Text(),
    "change": Text(),
    "vae": Text(),
    "init": Text(),
    "inception": kinds.Existing(),
    "lpips": kinds.Existing(),
    "steps": COUNT,
    "completions": COUNT,
    "deep": COUNT,
    "seed": SEED,
    "seeds": kinds.Seeds(1, MOST_SEEDS),
    "memory": COUNT,
    "device": kinds.Device(),
    "search": Text(),
    "precision": kinds.OneOf("boed.foundation.precision:PRECISIONS"),
    "prevalence": kinds.Shares(),
    "until": FRACTION,
    "engine": kinds.OneOf("boed.benchmark.engines:ENGINES"),
    "workers": COUNT,
    "run": kinds.Existing(folder=True),
    "figures": kinds.OutFolder(),
    "out": FIGURE,
}
"""Kinds of options; one whose annotation has a kind of its own is of that one."""

Data = Annotated[str, typer.Option(help="Name (see `boed data list`) or path of a data set.")]
Size = Annotated[int | None, typer.Option(help="Width in pixels to resize scenes to.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
ModelName = Annotated[
    str | None, typer.Option(help="As for benchmark; the data set's own.", show_default=False)
]
"""A model of the one scene's commands, which is the data set's own if not named."""
SensorName = Annotated[
    str | None, typer.Option(help="As for benchmark; patch.", show_default=False)
]
LibraryName = Annotated[
    str | None, typer.Option(help="As for benchmark; that of --data.", show_default=False)
]
Completions = Annotated[int, typer.Option(help="Completions for each decision, N.")]
Grid = Annotated[
    int | None, typer.Option(help="Of the patch sensor: candidate looks along each axis.")
]
Patch = Annotated[
    float | None, typer.Option(help="Of the patch sensor: width of a look over the scene's.")
]
Prevalence = Annotated[
    str | None, typer.Option(help="As for benchmark; as training had it.", show_default=False)
]
Until = Annotated[
    float | None,
    typer.Option(
        help="Look no more once the likeliest answer, or that about each finding, has this "
        "probability.",
        show_default="none",
    ),
]
Split = Annotated[str, typer.Option(help="train, val or test.")]
Strengths = Annotated[
    str,
    typer.Option(help="Of each shift: 1 weak, 2 middle, 3 strong."),
    kinds.Wholes(1, 3),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        help="Checkpoint to write (.safetensors); its recipe lies beside it.",
        show_default="named after what is trained and the data",
    ),
    CHECKPOINT,
]
Looks = Annotated[
    str | None,
    typer.Option(help="Random looks of this sensor in place of squares: NAME,option=value,..."),
]


def kinds_of(command: Callable[..., Any]) -> dict[str, Kind]:
    """The kind of each parameter of a command.

    Raises:
        KeyError: a parameter has none.
    """
    parameters = inspect.signature(command, eval_str=True).parameters
    return {name: _annotated(each.annotation) or KINDS[name] for name, each in parameters.items()}


def _annotated(annotation: Any) -> Kind | None:
    if get_origin(annotation) is not Annotated:
        return None
    return next((each for each in get_args(annotation)[1:] if hasattr(each, "check")), None)


def named_after(*parts: str | Path | None) -> str:
    """The name of an output that nobody named, such as `benchmark-digits`."""
    words = [Path(each).stem if Path(each).suffix else Path(each).name for each in parts if each]
    return "-".join(re.sub(r"[^\w.]+", "_", word) for word in words)


def repetitions(seed: int, seeds: int | Sequence[int]) -> Sequence[int]:
    """The seeds of a run: `seed`, `seed + 1`, ..., or those that a file lists.

    Raises:
        ValueError: the last one would be too large.
    """
    if not isinstance(seeds, int):
        return seeds
    if seed + seeds - 1 > LARGEST_SEED:
        raise ValueError(
            f"seeds is {seeds}, expected at most {LARGEST_SEED - seed + 1} from {seed}"
        )
    return range(seed, seed + seeds)


def with_patch_options(asked: dict[str, Any], read: Any = None) -> dict[str, Any]:
    """What was asked for, with patch and grid as options of the patch sensor.

    Args:
        asked: by name.
        read: the sensor where that is not among them.
    """
    from boed.sensors.registry import sensor_options

    options = {key: asked[key] for key in ("patch", "grid") if key in asked}
    if not options:
        return asked
    name, own = sensor_options(asked.get("sensor") or read or "patch")
    if name != "patch":
        given = next(iter(options))
        raise ValueError(f"{given} is for the patch sensor; the sensor is {name}")
    rest = {key: value for key, value in asked.items() if key not in options}
    return {**rest, "sensor": {"name": name, **own, **options}}


def sensor_table(text: str | None) -> dict[str, Any] | None:
    """A sensor and its options as a recipe holds them."""
    if text is None:
        return None
    from boed.sensors.registry import sensor_options

    name, options = sensor_options(text)
    return {"name": name, **options}
