"""Whether better samples are better advice: looks chosen with several completers, on val.

    python benchmarks/in_use.py --data digits --size 32 --out benchmarks/results/in_use-digits.json

The same scenes, candidates, first look (as in the paper, from images of the library) and N for all;
each against BOED with retrieved completions, paired, and with `--clear` each once more with the
completions that are as clear as real scenes (`boed benchmark --reweight clarity`). Beside it how
clear completions are: the classifier's mean entropy about them, and how many are unclear (above
0.5 nats), by how much was seen; of real scenes nearly none is.
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

from boed import BOED, benchmark, setup
from boed.classifiers.classifier import Classifier
from boed.completion.completer import Completer, complete
from boed.data.dataset import Dataset
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.eig.completions.beliefs import log_beliefs
from boed.eig.completions.posterior_entropy import entropy
from boed.foundation.files import write_json
from boed.setup import Setup
from boed.zoo.models import CLARITY

REFERENCE = "retrieval"
UNCLEAR = 0.5
"""Entropy of a belief in nats from which a whole scene is unclear."""

SEEN = (0, 1, 3)
"""Squares of a quarter of the width, for how clear completions are."""


def policies(made: Setup, completers: dict[str, Completer], ns: list[int]) -> dict[str, BOED]:
    """BOED with each completer and number of completions, the reference first."""
    first = made.policies["boed_retrieval"]
    assert isinstance(first, BOED)
    start = made.policies["boed"]
    assert isinstance(start, BOED)
    found = {}
    for n in ns:
        found[f"{REFERENCE}, N = {n}"] = replace(first, n=n)
        for name, each in completers.items():
            found[f"{name}, N = {n}"] = replace(start, completer=each, n=n)
    return found


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


def compared(results: xr.Dataset, names: list[str]) -> list[dict[str, Any]]:
    """Each policy's metrics by look, and its differences to the reference of the first N."""
    reference, rows = of_scenes(results, names[0]), []
    for name in names:
        own = of_scenes(results, name)
        looks = range(1, own["nll"].shape[1])
        rows.append(
            {
                "policy": name,
                **{
                    metric: [float(each[:, k].mean()) for k in looks]
                    for metric, each in own.items()
                },
                **{
                    f"{metric}_difference": [
                        with_interval(own[metric][:, k] - reference[metric][:, k]) for k in looks
                    ]
                    for metric in own
                },
            }
        )
        print(rows[-1], flush=True)
    return rows


@torch.no_grad()
def clarity(
    name: str, completer: Completer, classifier: Classifier, data: Dataset, number: int = 64
) -> list[dict[str, Any]]:
    """The classifier's entropy about whole completions, by the number of squares seen."""
    scenes, rows = data.scenes(slice(0, number)), []
    for count in SEEN:
        generator = torch.Generator().manual_seed(count)
        counts = torch.full((len(scenes),), count)
        mask = squares(
            len(scenes), data.size, 0.25, counts=counts, overhang=False, generator=generator
        )
        drawn = complete(completer, Observation.of(scenes, mask), 10, seed=0).scenes
        whole = Observation.everything(drawn.flatten(0, 1))
        nats = entropy(log_beliefs(whole, classifier, 512))
        rows.append(
            {
                "completer": name,
                "squares": count,
                "entropy": float(nats.mean()),
                "unclear": float((nats > UNCLEAR).double().mean()),
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--completers", nargs="+", default=["aipo", "flow-distilled", "flow"])
    parser.add_argument("--clear", action="store_true")
    parser.add_argument("--scenes", type=int, default=256)
    parser.add_argument("--completions", type=int, nargs="+", default=[10])
    parser.add_argument("--grid", type=int, default=9)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    def asked(completer: str, reweight: str | None = None) -> Setup:
        return setup(
            options.data,
            size=options.size,
            split="val",
            sensor=f"patch,grid={options.grid}",
            policies="boed,boed_retrieval",
            completer=completer,
            reweight=reweight,
        )

    made = asked(options.completers[0])
    completers: dict[str, Completer] = {}
    for name in options.completers:
        drawer = asked(name).completer
        assert drawer is not None
        completers[name] = drawer
        if options.clear:
            kept = asked(name, CLARITY).completer
            assert kept is not None
            completers[f"{name}, clear"] = kept
    chosen = policies(made, completers, options.completions)
    results = benchmark(
        made.data,
        made.sensor,
        made.classifier,
        policies=chosen,
        steps=3,
        seeds=[0],
        scenes=options.scenes,
    )
    first = made.policies["boed_retrieval"]
    assert isinstance(first, BOED)
    clear = [
        row
        for name, each in {REFERENCE: first.completer, **completers}.items()
        for row in clarity(name, each, made.classifier, made.data)
    ]
    found = {
        "machine": machine(),
        "data": f"{made.data.name} (val)",
        "scenes": options.scenes,
        "rows": compared(results, list(chosen)),
        "clarity": clear,
    }
    write_json(options.out, found)


if __name__ == "__main__":
    main()
