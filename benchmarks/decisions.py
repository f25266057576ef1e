"""How many decisions a second each policy makes, and how often it asks the classifier.

    python benchmarks/decisions.py --out benchmarks/results/decisions.json
    python benchmarks/sweep_cost.py --out docs/sweeps.md

The paper's setting: DenseNet-121, 17 x 17 looks, N = 10 completions (retrieved), at 64, 128 and 256
px, the second look of one scene. Weights and scenes are random: they change neither times nor
passes of an exhaustive search. All policies in one process with one thread, one after another;
times are CPU seconds, medians of `--repeats` where a decision takes milliseconds. `--together`
scenes are decided at once by those that ask no classifier, since a single one leaves a network idle
between its layers; both are told.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from eig_speed import COMPLETIONS, untrained
from measuring import machine, median
from torch import Tensor

from boed.acquire import acquire
from boed.classifiers.classifier import Classifier
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.files import write_json
from boed.policies import Policy
from boed.policies.learned import NETWORKS
from boed.policies.learned.looks import CandidateLooks
from boed.policies.learned.training import begun
from boed.sensors import PatchSensor
from boed.setup import Setup, setup

SIZES = (64, 128, 256)
GRID = 17
OTHERS = ("max_variance", "centre_out", "random", "oracle")
"""Policies beside `boed`, those that have learned and those that they propose to."""


@contextmanager
def counting(classifier: Classifier) -> Iterator[list[int]]:
    """Counts the observations that a classifier judges."""
    kind: Any = type(classifier)
    own_around: Any = getattr(kind, "around", None)
    passes, own = [0], kind.log_probs

    def counted(self: Any, observation: Observation) -> Tensor:
        passes[0] += len(observation)
        beliefs: Tensor = own(self, observation)
        return beliefs

    def around(self: Any, observation: Observation) -> Any:
        nearby = own_around(self, observation)

        def each(after: Observation, rows: Tensor) -> Tensor:
            passes[0] += len(after)
            beliefs: Tensor = nearby(after, rows)
            return beliefs

        return each

    kind.log_probs = counted
    if own_around is not None:
        kind.around = around
    try:
        yield passes
    finally:
        kind.log_probs = own
        if own_around is not None:
            kind.around = own_around


def cost_of(made: Setup, policy: Policy, *, scenes: int = 4, repeats: int = 3) -> dict[str, float]:
    """Passes of the classifier and CPU seconds per decision, the median, after the first look."""
    first = made.data.scenes(slice(scenes))
    seen = acquire(first, made.sensor, policy, steps=1, classifier=made.classifier).observations[1]
    return _cost(made, policy, seen, first, repeats)


def _cost(
    made: Setup, policy: Policy, seen: Observation, truth: Tensor, repeats: int
) -> dict[str, float]:
    times = []
    with torch.no_grad():
        for seed in range(repeats):
            with counting(made.classifier) as passes:
                began = time.process_time()
                policy.choose(seen, made.sensor, seed, truth=truth)
                times.append(time.process_time() - began)
    return {"passes": passes[0] / len(seen), "seconds": median(times) / len(seen)}


def scenes_of(size: int, split: str, number: int) -> Dataset:
    """Random scenes."""
    generator = torch.Generator().manual_seed(number)
    images = torch.randint(0, 256, (number, 1, size, size), generator=generator).byte()
    return Dataset(
        name="noise",
        split=split,
        images=images,
        labels=torch.arange(number) % 2,
        label_names=("no", "yes"),
    )


def situation(size: int, folder: Path) -> Setup:
    """All policies at one size."""
    train, test = scenes_of(size, "train", 64), scenes_of(size, "test", 32)
    sensor, classifier = PatchSensor(size, 0.25, GRID), untrained(size)
    looks = CandidateLooks.of(sensor, (1, size, size))
    learned = []
    for name, kind in NETWORKS.items():
        path = folder / f"{name}-{size}.safetensors"
        begun(train, sensor, classifier, looks=looks, kind=kind).save(path, {})
        learned.append(f"{name}={path}")
    proposing = f"boed_value={folder / f'value-{size}.safetensors'}"
    return setup(
        test,
        library=train,
        sensor=sensor,
        classifier=classifier,
        completer="retrieval",
        policies=["boed", proposing, *learned, *OTHERS],
        search="exhaustive",
        steps=2,
        completions=COMPLETIONS,
    )


def measure(size: int, folder: Path, *, together: int, repeats: int) -> list[dict[str, Any]]:
    """A row for each policy at one size."""
    made, rows = situation(size, folder), []
    designs = made.sensor.designs(Observation.nothing(1, 1, size))
    middle = designs[len(designs) // 2][None]
    for name, policy in made.policies.items():
        row: dict[str, Any] = {"size": size, "policy": name, "candidates": len(designs)}
        few = name in NETWORKS or name in ("centre_out", "random")
        for many in (1, together) if few else (1,):
            truth = made.data.scenes(slice(many))
            nothing = Observation.nothing(many, 1, size)
            seen = made.sensor.observe(nothing, truth, middle.expand(many, -1))
            if few:  # what is prepared once for a sensor does not count
                policy.choose(seen, made.sensor, 0, truth=truth)
            found = _cost(made, policy, seen, truth, repeats if few else 1)
            row["passes"] = found["passes"]
            row["seconds" if many == 1 else "seconds_together"] = found["seconds"]
        rows.append(row)
        print(f"{size} px, {name}: {row}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--together", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    about, rows = machine(), []
    with TemporaryDirectory() as folder:
        for size in options.sizes:
            rows += measure(size, Path(folder), together=options.together, repeats=options.repeats)
    if options.out is not None:
        settings = {"together": options.together, "repeats": options.repeats}
        write_json(options.out, {"machine": about, **settings, "rows": rows})


if __name__ == "__main__":
    main()
