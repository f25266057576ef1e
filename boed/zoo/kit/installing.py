"""Putting chosen models in the place of the shipped ones: weights, recipes, and their cards."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boed.foundation.files import atomic, load_weights
from boed.foundation.shipped import WEIGHTS
from boed.training.recipes import Recipe
from boed.zoo.cards import card_facts, refresh_cards
from boed.zoo.kit.judging import Verdict
from boed.zoo.kit.plan import Member, trainable

CHOSEN = "Chosen on val: "
"""How the line begins that a card's scores have since its weights were put there."""


def install(members: Sequence[Member], verdicts: Sequence[Verdict]) -> list[str]:
    """Put the chosen models into their folders.

    A card says then how its weights were trained, and that the scores below are of those before,
    until they are measured again. Facts that follow from the weights are written anew in all cards.

    Args:
        members: what was trained.
        verdicts: of each of them, in the same order.

    Returns:
        Names of the models that were put in place.
    """
    installed = []
    for member, verdict in zip(members, verdicts, strict=True):
        if not verdict.chosen:
            continue
        folder = trainable()[member.name]
        stages = [each for each in members if each.out in member.stages.values()]
        for each in (*stages, member):
            Recipe.read(each.out).write(folder / each.source.name)
        with atomic(folder / WEIGHTS) as temporary:
            shutil.copyfile(member.out, temporary)
        if (folder / "card.md").exists():
            _rewrite(folder / "card.md", member, stages, verdict)
            _rewrite_row(folder)
        installed.append(member.name)
    if installed:
        refresh_cards()
    return installed


def _rewrite(path: Path, member: Member, stages: Sequence[Member], verdict: Verdict) -> None:
    """Say in a card how its weights were trained, and what its scores are of."""
    header = load_weights(member.out)[1]
    facts = card_facts(path.parent)
    text = path.read_text(encoding="utf-8")
    size = f"{facts['parameters']:,} parameters; {round(int(facts['bytes']) / 1000):,} kB"
    text = re.sub(r"[\d,]+\s+parameters;\s+[\d,]+\s+kB", size, text)
    if "data" in header:
        data = header["data"]
        number = f"{data['images']:,}"
        text = _in_section(text, "Trained on what", r"[\d,]+(\s)images", rf"{number}\1images")
        text = _in_section(text, "Trained on what", r"[0-9a-f]{64}", data["sha256"])
    how = textwrap.fill(_how(member, stages, header), 100, break_on_hyphens=False)
    text = re.sub(r"(## How\n\n).*?(?=\n\n## )", lambda found: found[1] + how, text, flags=re.S)
    text = re.sub(rf"{CHOSEN}.*?\n\n", "", text, flags=re.S)
    there = verdict.shipped
    before = "there was none before" if there is None else f"before {there:.4g}"
    chosen = textwrap.fill(
        f"{CHOSEN}{verdict.new:.4g}, {before}. The figures below are of the weights before, until "
        "they are measured again.",
        100,
    )
    text = text.replace("## Scores\n\n", f"## Scores\n\n{chosen}\n\n", 1)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _how(member: Member, stages: Sequence[Member], header: dict[str, Any]) -> str:
    """How weights were trained, from their header."""
    fit, said = header["fit"], ""
    for stage in stages:
        steps = int((stage.header() or {})["steps"])
        said += f"From `{stage.source.name}`, which was trained first, for {steps:,} steps. "
    if header.get("command"):
        said += f"`{header['command']}`: "
    precision = header.get("precision") or fit["precision"]
    seconds = float(header.get("seconds", 0))
    rate = header["steps"] * fit["batch"] / seconds if seconds else 0
    return (
        f"{said}{header['steps']:,} steps, batch {fit['batch']}, seed {fit['seed']}, {precision} "
        f"arithmetic, on {fit['device']}; {seconds:,.0f} seconds, {rate:,.0f} images a second. The "
        f"header of the weights has all settings. `boed train recipe {member.name}` does it again."
    )


def _in_section(text: str, title: str, pattern: str, new: str) -> str:
    """Replace the first match within a section."""
    begin = text.find(f"## {title}\n")
    if begin < 0:
        return text
    end = text.find("\n## ", begin)
    return text[:begin] + re.sub(pattern, new, text[begin:end], count=1) + text[end:]


def _rewrite_row(folder: Path) -> None:
    """Write kB and parameters anew into the row of the table of all models of a kind."""
    table = folder.parent / "README.md"
    if not table.exists():
        return
    facts = card_facts(folder)
    numbers = f"| {round(int(facts['bytes']) / 1000):,} | {facts['parameters']:,} |"
    lines = table.read_text(encoding="utf-8").splitlines()
    for index, line in enumerate(lines):
        if line.startswith(f"| [`{folder.name}`]"):
            lines[index] = re.sub(r"\| [\d,]+ \| [\d,]+ \|", numbers, line, count=1)
    with atomic(table) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
