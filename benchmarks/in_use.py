"""Whether better samples are better advice: looks chosen with several completers, on val.

    python benchmarks/in_use.py --data digits --size 32 --out benchmarks/results/in_use-digits.json

The same scenes, candidates, first look (as in the paper, from images of the library, which nothing
weighs) and N for all; each against BOED with the first of them, paired. With `--reweight clarity`
each once more with the completions that are as clear as real scenes, with `--reweight pc-cnn`
weighted by how likely that completer has them, as in `boed benchmark`: against the same completions
with equal weights, paired. Beside it how clear completions are: the classifier's mean entropy about
them, and how many are unclear (above 0.5 nats), by how much was seen; of real scenes nearly none
is.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from measuring import machine
from numpy.typing import NDArray

from boed import BOED, Policy, benchmark, setup
from boed.classifiers.classifier import Classifier
from boed.completion.completer import Completer, complete
from boed.data.dataset import Dataset
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.eig.completions.beliefs import log_beliefs
from boed.eig.completions.posterior_entropy import entropy
from boed.foundation.files import write_json
from boed.setup import Setup

UNCLEAR = 0.5
"""Entropy of a belief in nats from which a whole scene is unclear."""

SEEN = (0, 1, 3)
"""Squares of a quarter of the width, for how clear completions are."""


def of_scenes(results: xr.Dataset, name: str) -> dict[str, NDArray[np.float64]]:
    """Accuracy and NLL of each scene after each look, `[scene, look]`, means over seeds."""
    belief = results["log_belief"].sel(policy=name)
    truth = belief.isel(answer=results["label"].astype(int))
    right = belief.argmax("answer") == results["label"]
    return {
        "accuracy": right.mean("seed").transpose("scene", "look").values.astype(float),
        "nll": -truth.mean("seed").transpose("scene", "look").values.astype(float),
    }


def with_interval(values: NDArray[np.float64]) -> list[float]:
    """The mean and its 95 % interval by normal approximation."""
    half = 1.96 * values.std(ddof=1) / len(values) ** 0.5
    return [float(values.mean()), float(values.mean() - half), float(values.mean() + half)]


def differences(results: xr.Dataset, name: str, other: str) -> dict[str, list[list[float]]]:
    """A policy's metrics less those of another, by look, with intervals over the scenes."""
    own, its = of_scenes(results, name), of_scenes(results, other)
    return {
        metric: [with_interval(each) for each in (own[metric] - its[metric]).T[1:]]
        for metric in own
    }


def compared(results: xr.Dataset, equal: dict[str, str]) -> list[dict[str, Any]]:
    """Each policy's metrics by look, its differences to the first one, and more.

    `equal` has the name of that with equal weights by the name of each, which may be the same. Of
    weighted completions also the differences to those with equal weights, how many equal ones
    they are by decision, and the share of second looks, which the same first one precedes, that
    are other ones.
    """
    first, rows = next(iter(equal)), []
    for name, plain in equal.items():
        means = {key: each.mean(0)[1:].tolist() for key, each in of_scenes(results, name).items()}
        paired = differences(results, name, first)
        row = {"policy": name, **means, **{f"{key}_difference": paired[key] for key in paired}}
        if plain != name:
            effective = results["effective"].sel(policy=name).mean(("seed", "scene"))
            other = results["design"].sel(policy=[plain, name]).isel(step=1)
            moved = (other.sel(policy=name) != other.sel(policy=plain)).any("axis")
            row["weighing"] = differences(results, name, plain)
            row["effective"] = effective.values.tolist()
            row["other_second_look"] = float(moved.mean())
        rows.append(row)
        print(row, flush=True)
    return rows


@torch.no_grad()
def clarity(
    name: str, completer: Completer, classifier: Classifier, data: Dataset, number: int
) -> list[dict[str, Any]]:
    """The classifier's entropy about whole completions, as weighted, by squares seen."""
    scenes, rows = data.scenes(slice(0, number)), []
    for count in SEEN if number else ():
        generator = torch.Generator().manual_seed(count)
        counts = torch.full((len(scenes),), count)
        mask = squares(
            len(scenes), data.size, 0.25, counts=counts, overhang=False, generator=generator
        )
        drawn = complete(completer, Observation.of(scenes, mask), 10, seed=0)
        whole = Observation.everything(drawn.scenes.flatten(0, 1))
        nats = entropy(log_beliefs(whole, classifier, 512)).view_as(drawn.weights)
        rows.append(
            {
                "completer": name,
                "squares": count,
                "entropy": float((drawn.weights * nats).sum(0).mean()),
                "unclear": float((drawn.weights * (nats > UNCLEAR)).sum(0).mean()),
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument(
        "--completers",
        nargs="+",
        default=["retrieval", "aipo", "flow-distilled", "flow"],
        help="the first is what the others are compared with",
    )
    parser.add_argument("--reweight", nargs="+", default=[], help="clarity, or a completer")
    parser.add_argument("--split", default="val")
    parser.add_argument("--scenes", type=int, default=256)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--completions", type=int, nargs="+", default=[10])
    parser.add_argument("--grid", type=int, default=9)
    parser.add_argument("--clarity", type=int, default=64, help="scenes for it; 0 leaves it out")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    def asked(completer: str, reweight: str | None = None) -> Setup:
        return setup(
            options.data,
            size=options.size,
            split=options.split,
            sensor=f"patch,grid={options.grid}",
            policies=["boed"],
            completer=completer,
            reweight=reweight,
        )

    completers: dict[str, Completer] = {}
    chosen: dict[str, Policy] = {}
    equal: dict[str, str] = {}
    for name in options.completers:
        for way in [None, *(each for each in options.reweight if each != name)]:
            made = asked(name, way)
            policy, drawer = made.policies["boed"], made.completer
            assert isinstance(policy, BOED)
            assert drawer is not None
            said = name if way is None else f"{name} by {way}"
            completers[said] = drawer
            chosen |= {f"{said}, N = {n}": replace(policy, n=n) for n in options.completions}
            equal |= {f"{said}, N = {n}": f"{name}, N = {n}" for n in options.completions}
    results = benchmark(
        made.data,
        made.sensor,
        made.classifier,
        policies=chosen,
        steps=3,
        seeds=options.seeds,
        scenes=options.scenes,
    )
    clear = [
        row
        for name, each in completers.items()
        for row in clarity(name, each, made.classifier, made.data, options.clarity)
    ]
    found = {
        "machine": machine(),
        "data": f"{made.data.name} ({options.split})",
        "scenes": options.scenes,
        "seeds": options.seeds,
        "rows": compared(results, equal),
        "clarity": clear,
    }
    write_json(options.out, found)


if __name__ == "__main__":
    main()
