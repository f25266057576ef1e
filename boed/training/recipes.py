"""Recipes: a TOML file that says everything that a training needs, to be done again.

    kind = "completer"
    name = "flow"
    data = "kermany_pneumonia_128"
    size = 64
    masks = "squares"
    seed = 0

    [architecture]
    stem = 4
    widths = [48, 96]

    [training]
    steps = 1200
    batch = 32

What is left out of `training` is the preset's, or the default where the recipe has an architecture
of its own. Each training writes the whole recipe beside what it trains, and into the header of the
checkpoint; `boed.zoo.train_recipe` runs one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from boed.foundation.options import COUNT, FRACTION, SEED, Switch, Whole
from boed.foundation.registry import check_known
from boed.training.config import ClassifierTrainingConfig, TrainingConfig, unsaid

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T", bound=TrainingConfig)

SOURCES = ("scenes", "observations")
"""What a completer may learn from."""

KINDS: dict[str, tuple[str, ...]] = {
    "completer": (
        *("name", "data", "size", "learns_from", "masks", "sensor", "architecture", "init", "vae"),
    ),
    "vae": ("data", "size", "architecture"),
    "classifier": (
        *("data", "size", "patch", "sensor", "policy", "architecture", "init", "members"),
    ),
    "screen": ("data", "size", "patch", "classifier"),
    "policy": (
        "name",
        "problem",
        "data",
        "size",
        "sensor",
        "classifier",
        "completer",
        "architecture",
        "init",
    ),
}
"""What can be trained, and which keys its recipes have beside `kind`, `seed` and `training`."""

ELSEWHERE = ("minutes", "device")
"""Settings of a training that say where and how long it runs, not what comes out."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that a training needs.

    Attributes:
        kind: one of `KINDS`.
        name: of the completer (`aipo`, `flow`, ...), or of the policy (`value`, `dad`, ...).
        data: name or path of the data set.
        size: width in pixels; the data's default if not given.
        learns_from: `observations` where no more reaches the training of a completer than what was
            seen of each scene: one fixed mask for each, that of the data, or drawn from `masks` by
            `seed`. Whole `scenes`, masked anew each time, if not given.
        masks: distribution of masks that a completer learns from.
        patch: side of a look over the width of the scene, for classifiers and screens.
        sensor: in place of masks or patch, random looks of this sensor: its name and options. Of a
            policy the sensor that it chooses for.
        policy: of a classifier, a trained policy by whose looks half of the scenes are seen; the
            others by random ones of its sensor.
        architecture: a preset's name, or the fields of the model's configuration; size, channels,
            number of answers and the statistics of pixels are the data's.
        init: what the training starts from: a shipped model's name, or the path of a checkpoint
            or of another recipe, which is then trained first; from the recipe's own folder.
        vae: the like for the VD-VAE that `aipo` and `aipo-r` extend and leave as it is.
        classifier: what a screen is distilled from, or whose gains a policy expects; the shipped
            one if not given.
        completer: whose EIG map a policy is taught; the shipped one if not given.
        problem: what a policy is trained for that has no `data`: `NAME,option=value,...`, as
            `boed.problems.names` reads it.
        members: of an ensemble of classifiers; each is trained with a seed of its own, from `seed`
            on. One classifier if not given.
        seed: of everything random.
        training: fields of `TrainingConfig` that differ from the preset.

    Raises:
        ValueError: a key that this kind does not have, or one that it needs.
    """

    kind: str
    name: str | None = None
    data: str | None = None
    size: int | None = None
    learns_from: str | None = None
    masks: str | None = None
    patch: float | None = None
    sensor: dict[str, Any] | None = None
    policy: str | None = None
    architecture: str | dict[str, Any] | None = None
    init: str | None = None
    vae: str | None = None
    classifier: str | None = None
    completer: str | None = None
    problem: str | None = None
    members: int | None = None
    seed: int = 0
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_known("kind", self.kind, KINDS)
        known = KINDS[self.kind]
        for each in fields(self):
            given = getattr(self, each.name) is not None
            if given and each.name not in (*known, "kind", "seed", "training"):
                raise ValueError(
                    f"{each.name} is no key of a recipe of kind {self.kind}, which has "
                    f"{', '.join((*known, 'seed', 'training'))}"
                )
        for needed in ("name", "data"):
            if needed in known and getattr(self, needed) is None and self.problem is None:
                raise ValueError(f"{needed} is missing, which a recipe of kind {self.kind} needs")
        if self.problem is not None and (self.data is not None or self.name is None):
            raise ValueError(
                f"problem is {self.problem!r}, data {self.data!r} and name {self.name!r}, expected "
                "a name, and either a problem or data"
            )
        if self.kind == "policy" and self.problem is None and self.architecture is not None:
            raise ValueError(
                f"architecture is {self.architecture!r}, expected none: the network of a policy "
                "for scenes follows from data, sensor and classifier"
            )
        if self.learns_from is not None:
            check_known("learns_from", self.learns_from, SOURCES)
        if self.learns_from == "observations" and self.sensor is not None:
            raise ValueError(
                "sensor is for whole scenes, but learns_from is 'observations': give masks, or "
                "data with masks of its own"
            )
        if self.policy is not None and self.patch is not None:
            raise ValueError(
                f"patch is {self.patch} beside policy {self.policy!r}, expected none: the looks "
                "are those of the policy's sensor"
            )
        if self.size is not None:
            COUNT.check("size", self.size)
        if self.members is not None:
            Whole(2, 100).check("members", self.members)
        if self.patch is not None:
            FRACTION.check("patch", self.patch)
        SEED.check("seed", self.seed)
        for each in fields(ClassifierTrainingConfig):
            if each.name in self.training and "kind" in each.metadata:
                name = f"training: {each.name}"
                each.metadata["kind"].check(name, self.training[each.name])
        if self.sensor is not None and (self.masks or self.patch):
            raise ValueError("sensor stands in place of masks and patch: give one of them")

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """The recipe of a TOML file, or of a checkpoint's header.

        Raises:
            ValueError: the file is missing or cannot be read, or a key is unknown (the nearest is
                suggested), missing or of another type; the message names file and key.
        """
        path = Path(path)
        if path.suffix == ".safetensors":
            from boed.foundation.files import load_weights

            table = load_weights(path)[1].get("recipe")
            if table is None:
                raise ValueError(f"checkpoint {path} says no recipe; give a recipe.toml")
        else:
            try:
                table = tomllib.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError as error:
                raise ValueError(f"recipe {path} does not exist") from error
            except (OSError, ValueError, RecursionError) as error:
                raise ValueError(f"recipe {path} cannot be read: {error}") from error
        try:
            return cls.of(table)
        except (ValueError, TypeError) as error:
            raise ValueError(f"recipe {path}: {error}") from error

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Self:
        """From what a file or a header holds.

        Raises:
            ValueError: a key is unknown, missing or of another type.
        """
        if not isinstance(table, Mapping):
            raise ValueError(f"holds {table!r}, expected a table of keys and values")
        for key, value in table.items():
            check_known("key", key, [each.name for each in fields(cls)])
            expected = _TYPES[key]
            if not isinstance(value, expected) or isinstance(value, bool):
                words = " or ".join(_WORDS[each] for each in expected)
                raise ValueError(f"{key} is {value!r}, expected {words}")
        if "kind" not in table:
            raise ValueError(f"kind is missing, expected one of {', '.join(KINDS)}")
        held = {key: _plain(value) for key, value in table.items()}
        if "bf16" in held.get("training", {}):  # as recipes said it once
            rounded = held["training"].pop("bf16")
            Switch().check("training: bf16", rounded)
            held["training"].setdefault("precision", "bf16" if rounded else "fp32")
        return cls(**held)

    def write(self, path: Path | str) -> None:
        """Write the recipe as TOML, atomically."""
        import tomli_w

        from boed.foundation.files import atomic

        with atomic(path) as temporary:
            temporary.write_text(tomli_w.dumps(self.table()), encoding="utf-8")

    def table(self) -> dict[str, Any]:
        """What a file or a header holds of it."""
        held = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            key: _plain(value)
            for key, value in held.items()
            if value is not None and not (isinstance(value, dict) and not value)
        }

    def config(self, preset: T) -> T:
        """How to train: the preset with what the recipe says.

        Raises:
            ValueError: `training` has a key that there is not (the nearest is suggested), or a
                value out of its range.
        """
        known = [each.name for each in fields(preset) if each.name != "seed"]
        for key, value in self.training.items():
            check_known("training", key, known)
            default = getattr(preset, key)
            if not _alike(value, default):
                raise ValueError(f"training: {key} is {value!r}, expected one like {default!r}")
        return replace(preset, **self.training, seed=self.seed)

    def trained(self, config: TrainingConfig, architecture: Any = None, **decided: Any) -> Self:
        """The recipe with everything that was left out: how it was trained, and what.

        Args:
            config: how it was trained.
            architecture: the configuration of what was trained, a dataclass.
            decided: other keys that were left out.
        """
        silent = unsaid(type(config))
        training = {
            each.name: getattr(config, each.name)
            for each in fields(config)
            if each.name not in (*ELSEWHERE, "seed")
            and not (each.name in silent and getattr(config, each.name) == silent[each.name])
        }
        shape = self.architecture
        if architecture is not None:
            shape = {
                each.name: _plain(getattr(architecture, each.name))
                for each in fields(architecture)
                if each.name not in OF_THE_DATA and getattr(architecture, each.name) is not None
            }
        return replace(
            self, seed=config.seed, training=_plain(training), architecture=shape, **decided
        )


OF_THE_DATA = (
    "size", "channels", "outputs", "mean", "std", "design_dim", "lower", "upper", "at_once",
)  # fmt: skip
"""Fields of architectures that the data, the problem or the training decide."""

_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("kind", "name", "data", "learns_from"), (str,)),
    **dict.fromkeys(("masks", "init", "vae"), (str,)),
    **dict.fromkeys(("classifier", "completer", "policy", "problem"), (str,)),
    **dict.fromkeys(("size", "seed", "members"), (int,)),
    **dict.fromkeys(("sensor", "training"), (dict,)),
    "patch": (float, int),
    "architecture": (str, dict),
}
_WORDS = {str: "text", int: "a whole number", float: "a number", dict: "a table"}


def unsaid_settings() -> dict[str, Any]:
    """Settings that recipes do not say while they have these values, of all trainings."""
    kinds: list[type[TrainingConfig]] = [TrainingConfig]
    found: dict[str, Any] = {}
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        found |= unsaid(kind)
    return found


def _alike(value: Any, default: Any) -> bool:
    """Whether a value of a file may stand in place of a default."""
    if isinstance(default, tuple):
        many = isinstance(value, list | tuple) and len(value) == len(default)
        return many and all(map(_alike, value, default))
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, int | float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))


def recipe_path(out: Path | str) -> Path:
    """Where the recipe of a checkpoint stands: `recipe.toml` beside `weights.safetensors`."""
    out = Path(out)
    if out.name == "weights.safetensors":
        return out.with_name("recipe.toml")
    return out.with_suffix(".toml")


def _plain(value: Any) -> Any:
    """With lists in place of tuples, as files have them."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items() if each is not None}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value
