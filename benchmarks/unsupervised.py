"""Tables 1 and 2 of Pajot et al. 2019 on digits of 32 pixels, their claims, and Fig. 4 and 5.

    python benchmarks/unsupervised.py --folder FOLDER --train --minutes 240

trains what is missing in the folder, resumably, and measures all that is there. Patch(90, 10),
Patch(1, 32) and DropPixel 0.9 of 128 pixels are `patches:62:3`, `patches:1:8` and `dropped:0.9` of
32. The first of them is trained with three seeds, of which each has masks of its own, the others
with one: 40 trainings of some 10 CPU minutes, 20 for MisGAN. All generators are one network. Flow
matching, trained on whole scenes under the same masks, and retrieval are references that know more.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inpainting import grid, picture
from measuring import machine
from pages import fill
from torch import Tensor
from trainings import Planned, Splits, finished, short, train
from unsupervised_claims import CLAIMS, CORRUPTIONS, MAIN, Found, claimed, interval, over

from boed.classifiers.networks.extractor import ClassifierExtractor
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completer
from boed.completion.evaluation import frechet_distance, pixel_std
from boed.completion.evaluation.drawing import described, drawn, grey_levels
from boed.completion.evaluation.hidden import hidden_mean
from boed.completion.registry import LEARNED, load_completer
from boed.data.dataset import Dataset
from boed.data.load import load
from boed.data.masks import named
from boed.data.observation import Observation
from boed.data.training_split import incomplete_splits, training_splits
from boed.foundation.files import atomic, write_json
from boed.foundation.fingerprint import fingerprint
from boed.foundation.identity import store_part, stored_part
from boed.foundation.randomness import derive
from boed.foundation.registry import check_known
from boed.sensors import PatchSensor
from boed.zoo import Context
from boed.zoo.models import network_for

SIZE = 32
SEEDS = {MAIN: 3}
"""Trainings of each row under these masks; one under the others."""

Z = 10
"""Completions of each scene, for MSE and standard deviation."""

ABLATIONS: dict[str, dict[str, Any]] = {
    "neither": {"encode_z": 0.0, "encode_y": 0.0},
    "z": {"encode_y": 0.0},
    "y": {"encode_z": 0.0},
    "z and y": {},
}
"""Table 1: `unsup` with these fields."""

BASELINES: dict[str, dict[str, Any]] = {
    "unpaired": {"supervision": "unpaired"},
    "paired": {"supervision": "paired"},
}
TABLE_1, TABLE_2 = tuple(ABLATIONS), (*BASELINES, "misgan", "z and y", "flow", "retrieval")
TRAINED = (*ABLATIONS, *BASELINES, "misgan", "flow")
FLOW_STEPS = 2500


def observations(data: str, masks: str, seed: int) -> Splits:
    """No more than what was seen of each scene under one mask."""
    return incomplete_splits(data, SIZE, masks=masks, seed=seed)


def planned(data: str, row: str, masks: str, seed: int, steps: int | None) -> Planned:
    """The training of a row."""
    name = row if row in ("misgan", "flow") else "unsup"
    kind = LEARNED[name]
    if name == "flow":
        config, training = kind.preset(SIZE, 1)
        training = replace(training, steps=FLOW_STEPS, every=50)
    else:
        config, training = kind.architectures["digits"](SIZE, 1)
        config = replace(config, **{**ABLATIONS, **BASELINES}.get(row, {}))
    if steps is not None:
        training = replace(training, steps=steps, every=max(steps // 50, 1))
    whole = row in (*BASELINES, "flow")
    return Planned(
        name=f"{row.replace(' ', '-')}-{masks.replace(':', '-')}-{seed}",
        completer=name,
        config=config,
        training=replace(training, seed=seed, precision="fp32"),
        data=partial(training_splits, data, SIZE)
        if whole
        else partial(observations, data, masks, seed),
        masks=masks if whole else None,
    )


def plan(rows: list[str], data: str, steps: int | None) -> dict[tuple[str, str, int], Planned]:
    """All trainings by row, masks and seed, those that tables need first before repetitions."""
    keys = [
        (row, masks, seed)
        for seed in range(max(SEEDS.values()))
        for masks in CORRUPTIONS
        if seed < SEEDS.get(masks, 1)
        for row in TRAINED
        if row in rows
    ]
    return {key: planned(data, *key, steps) for key in keys}


@dataclass(frozen=True, kw_only=True)
class Judge:
    """The scenes of the tables, and what describes them."""

    scenes: Tensor
    library: Dataset
    extractor: ClassifierExtractor
    truth: Tensor

    @classmethod
    def of(cls, number: int) -> Judge:
        """Test digits with the features that `boed evaluate completer` uses."""
        test, library = load("digits", SIZE, "test"), load("digits", SIZE, "train")
        context = Context(test, PatchSensor(SIZE), library=library, source="digits")
        extractor = ClassifierExtractor(network_for(context), "shipped")
        scenes = test.scenes(slice(0, number))
        return cls(
            scenes=scenes,
            library=library,
            extractor=extractor,
            truth=described(extractor, scenes, 64),
        )

    def observed(self, masks: str) -> tuple[Observation, Tensor]:
        """What is seen of the scenes, and which hidden pixels count: no mask's border."""
        draw = named(masks)
        generator = torch.Generator().manual_seed(derive("unsupervised", "masks", masks))
        seen = Observation.of(self.scenes, draw(len(self.scenes), SIZE, generator=generator))
        ever = draw(8192, SIZE, generator=generator).amax(0)
        return seen, (1 - seen.mask) * ever

    @torch.no_grad()
    def measure(self, completer: Completer, masks: str, part: Path) -> dict[str, Tensor]:
        """MSE and standard deviation of each scene for pixels in [-1, 1], and Fréchet distance."""
        seen, counted = self.observed(masks)
        identity = fingerprint(completer, masks, self.scenes, self.truth, Z)
        stored = stored_part(part, identity)
        if stored is not None:
            return stored
        seeds = [derive("unsupervised", "z", row) for row in range(len(self.scenes))]
        many = drawn(completer, seen, Z, seeds=seeds, batch=640, report=lambda _: None)
        scenes = grey_levels(seen.composite(many))
        squared = (scenes - self.scenes).square().mean(0)
        features = described(self.extractor, scenes[0], 64)
        found = {
            "mse": 4 * hidden_mean(squared, counted),
            "std": 2 * pixel_std(scenes, counted),
            "frechet": torch.tensor(frechet_distance(self.truth, features), dtype=torch.float64),
        }
        store_part(part, found, identity)
        return found

    def floor(self) -> float:
        """The distance of as many other real digits."""
        other = self.library.scenes(slice(0, len(self.scenes)))
        return frechet_distance(self.truth, described(self.extractor, other, 64))


def cell(found: Found, row: str, masks: str) -> dict[str, Any] | None:
    """What the tables say of a row under some masks."""
    figures = {name: over(found, row, masks, name) for name in ("frechet", "mse", "std")}
    if not figures["std"]:
        return None
    seeds = {k: np.array([float(e.mean()) for e in v.values()]) for k, v in figures.items()}
    return {"seeds": len(seeds["std"]), **{k: interval(v) for k, v in seeds.items()}}


def markdown(results: dict[str, Any]) -> str:
    """Both tables and the claims."""
    lines = []
    for title, rows in (("Table 1", TABLE_1), ("Table 2", TABLE_2)):
        lines += [f"### {title}", "", "| | " + " | ".join(CORRUPTIONS.values()) + " |"]
        lines += ["|---|" + "---|" * len(CORRUPTIONS)]
        for row in rows:
            cells = [results["cells"].get(f"{row}, {masks}") for masks in CORRUPTIONS]
            lines.append(f"| {row} | " + " | ".join(map(shown, cells)) + " |")
        lines.append("")
    lines += [
        f"Of {results['scenes']} test digits; as many other real ones are at a Fréchet distance of "
        f"{results['floor']:.2f} ({results['extractor']}).",
        "",
        "### Claims",
        "",
    ]
    lines += ["| claim | masks | difference | over | |", "|---|---|---|---|---|"]
    for each in results["claims"]:
        difference = in_brackets(each["difference"], 4)
        said = (each["claim"], each["masks"], difference, each["over"], each["verdict"])
        lines.append("| " + " | ".join(said) + " |")
    return "\n".join([*lines, ""])


def in_brackets(values: list[float], digits: int) -> str:
    """A mean with its interval, if it has one."""
    mean, *ends = (f"{each:.{digits}f}" for each in values)
    return f"{mean} [{', '.join(ends)}]" if ends else mean


def shown(cell: dict[str, Any] | None) -> str:
    """Fréchet distance / MSE / standard deviation, and a mark of what was trained too shortly."""
    if cell is None:
        return "-"
    parts = (("frechet", 2), ("mse", 3), ("std", 4))
    text = " / ".join(in_brackets(cell[name], digits) for name, digits in parts)
    return text + (f" (short: {cell['short']})" if cell.get("short") else "")


def picture_of(masks: str) -> str:
    """The file of completions under some masks."""
    return f"samples-{masks.replace(':', '-')}.png"


def samples(completer: Completer, judge: Judge, masks: str) -> Any:
    """Observations above, completions of each by six z below: Fig. 4 and 5."""
    shown, z = 10, 6
    seen = judge.observed(masks)[0][:shown]
    many = completer.sample(seen, z, [derive("unsupervised", "figure", k) for k in range(shown)])
    figure, axes = grid(z + 2, shown, size=0.7)
    for column in range(shown):
        axes[0, column].imshow(picture(seen.values[column], seen.mask[column]))
        for k in range(z):
            axes[1 + k, column].imshow(picture(many[k, column]))
        axes[z + 1, column].imshow(picture(judge.scenes[column]))
    return figure


def measure(
    plans: dict[tuple[str, str, int], Planned], judge: Judge, folder: Path, *, out: Path
) -> dict[str, Any]:
    """Everything of the trainings that have come to their end, or as far as they have come."""
    found: Found = {}
    about: dict[str, Any] = {}
    too_short: dict[tuple[str, str], str] = {}
    for (row, masks, seed), each in plans.items():
        checkpoint = each.checkpoint(folder)
        if not checkpoint.exists():
            continue
        model = load_completer(checkpoint)
        found[row, masks, seed] = judge.measure(model, masks, folder / "parts" / checkpoint.name)
        header = model.provenance  # type: ignore[attr-defined]
        about[each.name] = {k: header[k] for k in ("steps", "cpu_seconds")}
        about[each.name]["short"] = short(checkpoint)
        if about[each.name]["short"]:
            too_short[row, masks] = about[each.name]["short"]
        if (row, seed) == ("z and y", 0) and finished(checkpoint):
            with atomic(out / picture_of(masks)) as temporary:
                samples(model, judge, masks).savefig(temporary, dpi=100)
        print(each.name, json.dumps(about[each.name]), flush=True)
    retrieval = Retrieval(judge.library)
    for masks in CORRUPTIONS:
        part = folder / "parts" / f"retrieval-{masks.replace(':', '-')}.safetensors"
        found["retrieval", masks, 0] = judge.measure(retrieval, masks, part)
    cells = {}
    for row in (*TRAINED, "retrieval"):
        for masks in CORRUPTIONS:
            each_cell = cell(found, row, masks)
            if each_cell is not None:
                cells[f"{row}, {masks}"] = {**each_cell, "short": too_short.get((row, masks), "")}
    claims = [
        claimed(found, each, masks, too_short=too_short) for each in CLAIMS for masks in each.under
    ]
    return {
        "floor": judge.floor(),
        "extractor": judge.extractor.name,
        "scenes": len(judge.scenes),
        "cells": cells,
        "claims": [each for each in claims if each is not None],
        "trainings": about,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="of the trainings")
    parser.add_argument("--data", choices=["mnist_28", "digits"], default="mnist_28")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--minutes", type=float, default=0.0, help="of training; 0 is no limit")
    parser.add_argument("--only", default=",".join(TRAINED), help="rows to train")
    parser.add_argument("--steps", type=int, default=None, help="updates of each, to try it")
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("docs/unsupervised"))
    parser.add_argument("--page", type=Path, default=Path("docs/unsupervised.md"), help="to fill")
    options = parser.parse_args()
    rows = options.only.split(",")
    for row in rows:
        check_known("only", row, TRAINED)
    if options.train:
        chosen = plan(rows, options.data, options.steps)
        train(list(chosen.values()), options.folder, options.minutes)
    options.out.mkdir(parents=True, exist_ok=True)
    judge = Judge.of(options.scenes)
    plans = plan(list(TRAINED), options.data, options.steps)
    results = measure(plans, judge, options.folder, out=options.out)
    results = {"machine": machine(), "data": options.data, **results}
    write_json(options.out / "tables.json", results)
    fill(options.page, "tables", markdown(results))
    drawn_ones = [options.out / picture_of(masks) for masks in CORRUPTIONS]
    pictures = [
        f"![Completions]({options.out.name}/{each.name})" for each in drawn_ones if each.exists()
    ]
    if pictures:
        fill(options.page, "pictures", "\n\n".join(pictures))


if __name__ == "__main__":
    main()
