"""What is trained, in order of need, and where each training lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boed.data.load import NAMES, is_here
from boed.foundation import shipped
from boed.foundation.files import load_weights
from boed.foundation.identity import check_same
from boed.foundation.registry import unknown
from boed.foundation.shipped import WEIGHTS
from boed.training.checkpoints import running_state
from boed.training.recipes import Recipe
from boed.zoo.defaults import DEFAULT_COMPLETER, DEFAULT_SIZE
from boed.zoo.job import FROM
from boed.zoo.recipes import changed
from boed.zoo.trainings import member_path, member_recipe


@dataclass(frozen=True, kw_only=True)
class Member:
    """One training: of a model, or of a stage of it that its recipe names by another recipe.

    Attributes:
        name: of the model; of a stage with the key after it, such as `aipo-digits-32/init`.
        source: its recipe in the folder of the shipped model.
        recipe: its recipe in the folder of the run, with the steps that it is trained for.
        out: its checkpoint in the folder of the run.
        stages: checkpoints of its own stages, by what its recipe calls them.
        needs: other models that its recipe names, and the members of an ensemble.
        place: of a member of an ensemble among the others.
        alike: the recipe of the run that has the settings of a training which this one's have to
            be like: of an ensemble's first member.
    """

    name: str
    source: Path
    recipe: Path
    out: Path
    stages: Mapping[str, Path]
    needs: tuple[str, ...]
    place: int | None = None
    alike: Path | None = None

    def original(self) -> Recipe:
        """The shipped recipe; that of a member of an ensemble is of it alone."""
        read = Recipe.read(self.source)
        return read if self.place is None else member_recipe(read, self.place)

    def asked(self) -> Recipe:
        """The recipe of the run, or the shipped one where there is none yet."""
        return Recipe.read(self.recipe) if self.recipe.exists() else self.original()

    @property
    def combines(self) -> bool:
        """Whether it trains nothing, but makes one of what was trained."""
        return self.original().members is not None

    @property
    def begun(self) -> bool:
        """Whether its number of steps has been decided."""
        return self.recipe.exists()

    def header(self) -> dict[str, Any] | None:
        """What its checkpoint says; None before there is one."""
        return load_weights(self.out)[1] if self.out.exists() else None

    @property
    def ended(self) -> bool:
        """Whether all steps have been made."""
        return has_ended(self.out)

    def begin(self, changes: Mapping[str, Any]) -> None:
        """Write the recipe of the run: the shipped one with other values."""
        self.recipe.parent.mkdir(parents=True, exist_ok=True)
        changed(self.original(), changes).write(self.recipe)

    def check(self, changes: Mapping[str, Any]) -> None:
        """Refuse to go on with other values than it was begun with.

        Raises:
            ValueError: naming what differs.
        """
        if self.begun:
            read = self.asked()
            check_same(
                f"set: {self.name} was begun in {self.recipe.parent} with another recipe",
                read.table(),
                changed(read, changes).table(),
                advice="give the same values, or choose another folder",
            )


def has_ended(out: Path) -> bool:
    """Whether a checkpoint is there and no running state that waits to go on."""
    if not (out.exists() and running_state(out).exists()):
        return out.exists()
    header = load_weights(out)[1]  # a process may have been killed at its very end
    return int(header.get("steps", 0)) >= int(header.get("fit", {}).get("steps", 0) or 1)


def trainable() -> dict[str, Path]:
    """Folders with a recipe by name of the model, in order of need.

    The default completers come first, then the other completers, classifiers, screens and
    policies.
    """
    found: dict[str, Path] = {
        path.parent.name: path.parent
        for kind in shipped.KINDS
        for path in sorted((shipped.zoo_folder() / kind).glob("*/recipe.toml"))
    }
    return {name: found[name] for name in sorted(found, key=lambda name: _rank(found[name]))}


def plan(only: Sequence[str], out: Path) -> list[Member]:
    """The trainings of some models, or of all: what others start or learn from before them.

    Args:
        only: names of models; all if there are none.
        out: folder of the run, in which each model has one of its own.

    Raises:
        ValueError: a name that there is not; the nearest is suggested.
    """
    folders = trainable()
    for name in only:
        if name not in folders:
            raise unknown("only", name, folders)
    members: list[Member] = []
    for name in folders:
        if not only or name in only:
            _add(members, name, folders[name] / "recipe.toml", out / name / WEIGHTS, folders)
    names = {each.name for each in members}
    ordered: list[Member] = []
    while members:  # the first whose models are there, or not in this run
        placed = {each.name for each in ordered}
        free = [each for each in members if not set(each.needs) & (names - placed)]
        if not free:
            raise ValueError(f"recipes of {', '.join(each.name for each in members)} need another")
        ordered.append(free[0])
        members.remove(free[0])
    return ordered


def check_data(members: Iterable[Member]) -> None:
    """Refuse a run some of whose data is not there, before any work.

    Raises:
        ValueError: naming the models, and those that could be trained.
    """
    read = {each.name: each.asked().data for each in members}
    missing = {
        name: data
        for name, data in read.items()
        if data is not None and not (is_here(data) if data in NAMES else Path(data).exists())
    }
    if missing:
        data = ", ".join(sorted(set(missing.values())))
        rest = [each for each in read if each not in missing and "/" not in each]
        can = f"; only {', '.join(rest)} can be trained now" if rest else ""
        raise ValueError(
            f"only: the data of {', '.join(missing)} is not here ({data}); set BOED_DATA to the "
            f"folder that holds it{can}"
        )


def _add(
    members: list[Member], name: str, source: Path, out: Path, folders: Mapping[str, Path]
) -> None:
    """Add a training, after those of the recipes that its recipe names."""
    recipe, stages, needs = Recipe.read(source), {}, []
    for key in FROM:
        named = getattr(recipe, key)
        if named in folders:
            needs.append(named)
        elif named is not None and (source.parent / named).suffix == ".toml":
            stage = f"{name}/{key}"
            first = out.with_name(f"{out.stem}-{key}.safetensors")
            _add(members, stage, source.parent / named, first, folders)
            stages[named] = first
            needs.append(stage)
    alike: Path | None = None
    before = tuple(needs)
    for place in range(recipe.members or 0):
        one = Member(
            name=f"{name}/member-{place}",
            source=source,
            recipe=out.with_name(f"member-{place}.toml"),
            out=member_path(out, place),
            stages=stages,
            needs=before,
            place=place,
            alike=alike,
        )
        members.append(one)
        needs.append(one.name)
        alike = alike or one.recipe
    members.append(
        Member(
            name=name,
            source=source,
            recipe=out.with_name(source.name),
            out=out,
            stages=stages,
            needs=tuple(needs),
            alike=alike,
        )
    )


def _rank(folder: Path) -> tuple[int, int, str]:
    """Place in the order of need; by name where two have the same."""
    recipe = Recipe.read(folder / "recipe.toml")
    kinds = ("completer", "vae", "classifier", "screen", "policy")
    size = recipe.size or DEFAULT_SIZE.get(recipe.data or "")
    defaults = [f"{kind}-{family}-{size}" for family, kind in DEFAULT_COMPLETER.items()]
    if folder.name in defaults:
        return 0, defaults.index(folder.name), folder.name
    special = recipe.sensor is not None
    return 1 + kinds.index(recipe.kind), int(special), folder.name
