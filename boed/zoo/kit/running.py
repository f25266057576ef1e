"""Training everything: to the end, or for some minutes that are given out in slices."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boed.foundation.options import Device, Number, OutFolder
from boed.training.config import TrainingConfig
from boed.training.recipes import Recipe
from boed.zoo.job import FROM, OnStep
from boed.zoo.kit.judging import better, merit
from boed.zoo.kit.plan import Member, check_data, plan
from boed.zoo.kit.timing import (
    SLICES,
    fitted,
    measured,
    next_slice,
    steps_within,
    validations_within,
)
from boed.zoo.recipes import changed, train_recipe

AFTERWARDS = 1.0
"""Seconds that are too few for another slice."""


def train_all(
    only: Sequence[str] = (),
    *,
    out: Path | str,
    minutes: float | None = None,
    device: str = "cpu",
    changes: Mapping[str, Any] | None = None,
    command: str | None = None,
    on_member: Callable[[str], None] | None = None,
    on_start: Callable[[TrainingConfig], None] | None = None,
    on_step: OnStep | None = None,
) -> list[Member]:
    """Train shipped models from their recipes, each into a folder of its own.

    The same call goes on with trainings that were interrupted or whose time was over.

    Without `minutes` all are trained in order of need, each for the steps of its recipe. With it,
    each that has not ended has an equal share. When one begins, its speed is measured and its steps
    set to what its share holds, so that its learning rate has come down when the time is over; its
    recipe keeps them. The time is then given out in slices, by `next_slice`. What needs another
    model of this run waits for it; it takes the new one if that is better, else the shipped one.

    Args:
        only: names of models; all if there are none.
        out: folder of the run.
        minutes: of training in this call, the measuring of speeds included; no limit if None.
        device: cpu or cuda.
        changes: other values for all recipes, such as `{"batch": 256}`.
        command: what was typed, for the record.
        on_member: called with the name of what is trained next.
        on_start, on_step: as `train_recipe` takes them.

    Returns:
        What was asked for, in order of need, ended or not.

    Raises:
        ValueError: an unknown name (the nearest is suggested), missing data, minutes that are not
            above zero, or a folder that holds trainings with other values.
        Interrupted: Ctrl-C or SIGTERM came; what was trained is stored.
    """
    OutFolder().check("out", out)
    Device().check("device", device)
    changes = dict(changes or {})
    if minutes is not None:
        Number(above=0).check("minutes", minutes)
        if "steps" in changes:
            raise ValueError("set: steps follow from minutes; give one of the two")
    members = plan(only, Path(out))
    for member in members:
        changed(member.original(), changes)
        member.check(changes)
    check_data(members)
    run = _Run(
        out=Path(out),
        device=device,
        changes=changes,
        command=command,
        on_member=on_member,
        on_start=on_start,
        on_step=on_step,
    )
    if minutes is not None:
        run.within(members, 60 * minutes)
        return members
    for member in members:
        if not member.ended:
            if not member.begun:
                member.begin(changes)
            run.train(member)
    return members


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What all trainings of a run share."""

    out: Path
    device: str
    changes: dict[str, Any]
    command: str | None
    on_member: Callable[[str], None] | None
    on_start: Callable[[TrainingConfig], None] | None
    on_step: OnStep | None

    def train(self, member: Member, seconds: float = 0.0) -> None:
        """Train to the end, or for some seconds."""
        if self.on_member is not None:
            self.on_member(member.name)
        train_recipe(
            member.recipe,
            member.out,
            changes={"device": self.device, "minutes": seconds / 60},
            on_start=self.on_start,
            on_step=self.on_step,
            command=self.command,
            models=self.models(member),
        )

    def models(self, member: Member) -> dict[str, Path]:
        """Checkpoints that stand in place of models that a recipe names."""
        found = dict(member.stages)
        for key in FROM:
            named = getattr(member.asked(), key)
            if named in member.needs:
                new = better(named, self.out, device=self.device)
                if new is not None:
                    found[named] = new
        return found

    def within(self, members: Sequence[Member], seconds: float) -> None:
        """Give out so much time."""
        end = time.monotonic() + seconds
        by_name = {each.name: each for each in members}
        number = sum(not (each.ended or each.combines) for each in members) or 1
        slices = 1 if number == 1 else SLICES
        curves: dict[str, list[tuple[float, float]]] = {}
        while end - time.monotonic() > AFTERWARDS:
            waiting = {each.name for each in members if not each.ended}
            ready = [by_name[name] for name in by_name if name in waiting]
            ready = [each for each in ready if not waiting & set(each.needs)]
            for each in ready:
                curves.setdefault(each.name, _curve(each))
            name = next_slice({each.name: curves[each.name] for each in ready})
            if name is None:
                break
            member, began = by_name[name], time.monotonic()
            share = seconds / number
            if not member.begun:
                self.begin(member, share, slices)
            self.train(member, max(min(share / slices, end - time.monotonic()), AFTERWARDS))
            if not member.ended:
                before = curves[name][-1][0] if curves[name] else 0.0
                spent = (time.monotonic() - began) / 60
                curves[name].append((before + spent, _curve(member)[0][1]))

    def begin(self, member: Member, share: float, slices: int) -> None:
        """Set the steps of a training to what its share of the time holds, and write its recipe."""
        if member.alike is not None:
            member.begin({**self.changes, **Recipe.read(member.alike).training})
            return
        began = time.monotonic()
        where = {**self.changes, "device": self.device}
        timed = member.source if member.place is None else member.original()
        speed = measured(timed, where, self.models(member))
        room = share - (time.monotonic() - began)
        steps = steps_within(room, speed, slices=slices)
        validations = validations_within(room, speed)
        training = {**member.original().training, **self.changes}
        member.begin({**self.changes, **fitted(training, steps, validations)})


def _curve(member: Member) -> list[tuple[float, float]]:
    """The last val figure of a training so far, at the time 0; nothing before there is one."""
    header = member.header()
    return [] if header is None else [(0.0, merit(member.asked(), header["history"][-1]))]
