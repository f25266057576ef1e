"""What an ensemble's EIG map costs against that of one member.

    python benchmarks/ensembles.py MEMBER.safetensors MEMBER.safetensors ... --members 3

Each member is a checkpoint of `boed train classifier`; where there are fewer than `--members`, the
first is copied with weights disturbed a little, which costs the same. The scene, its completions
(retrieved) and the candidates (17 x 17) are those of all contestants, which take turns. `exact`
judges every candidate at every completion, `racing` is the search that runs by default; a
classifier without a network shows what all members share. Needs BOED_DATA.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import interleaved, machine, median

from boed.classifiers.classifier import Classifier
from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.ensemble import EnsembleClassifier
from boed.completion.classical.retrieval import Retrieval
from boed.data.load import load
from boed.data.observation import Observation
from boed.eig.completions.beliefs import CandidateBeliefs
from boed.eig.completions.estimate import design_problem
from boed.eig.completions.estimators import BarberAgakov
from boed.eig.completions.problem import DesignProblem
from boed.foundation.files import write_json
from boed.search import Racing
from boed.sensors import PatchSensor

COMPLETIONS = 10
GRID = 17
DISTURBED = 0.02
"""Of each weight's size: the standard deviation of what is added to a copy's."""


class Free:
    """A classifier without a network: what remains is what members share."""

    def log_probs(self, observation: Observation) -> torch.Tensor:
        """Undecided, of what a network would have read."""
        read = observation.network_input(0.5, 0.25, reconstruction=True)
        read = read.contiguous(memory_format=torch.channels_last)
        return torch.full((len(read), 2), 0.5).log()


def members_of(paths: list[Path], number: int) -> list[DenseNetClassifier]:
    """As many classifiers as asked for."""
    members = [DenseNetClassifier.load(path) for path in paths[:number]]
    generator = torch.Generator().manual_seed(0)
    while len(members) < number:
        copy = DenseNetClassifier.load(paths[0])
        for weight in copy.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.data.add_(DISTURBED * weight.abs().mean() * noise)
        members.append(copy)
    return members


def situation(data: str, size: int, classifier: Classifier) -> DesignProblem:
    """One scene after one look, and its completions."""
    sensor = PatchSensor(size, 0.25, GRID)
    val = load(data, size, "val")
    blank = Observation.nothing(1, val.channels, size)
    designs = sensor.designs(blank)
    seen = sensor.observe(blank, val.scenes([1]), designs[len(designs) // 2][None])
    completions = Retrieval(load(data, size, "train")).complete(seen, COMPLETIONS, 0)
    return design_problem(seen, completions, sensor, classifier=classifier)


def exact(one: DesignProblem) -> int:
    """Every candidate at every completion."""
    beliefs = CandidateBeliefs(
        observation=one.observation,
        completions=one.completions.scenes,
        designs=one.designs,
        sensor=one.sensor,
        classifier=one.classifier,
    )
    return len(beliefs.all().flatten(0, 2))


def raced(one: DesignProblem) -> int:
    """The default search, from nothing known."""
    fresh = design_problem(one.observation, one.completions, one.sensor, classifier=one.classifier)
    return Racing()(fresh, BarberAgakov()).evaluations or 0


@torch.no_grad()
def measure(members: list[DenseNetClassifier], data: str, repeats: int) -> list[dict[str, Any]]:
    """A row for each contestant."""
    size = members[0].config.size
    who: dict[str, Classifier] = {"nothing but what is shared": Free(), "one member": members[0]}
    who |= {
        f"ensemble of {k}": EnsembleClassifier(members[:k]).ready()
        for k in range(2, len(members) + 1)
    }
    work: dict[str, Callable[[], int]] = {}
    for name, classifier in who.items():
        one = situation(data, size, classifier)
        work[f"exact, {name}"] = partial(exact, one)
        if not isinstance(classifier, Free):
            work[f"racing, {name}"] = partial(raced, one)
    beliefs = {name: each() for name, each in work.items()}
    times = interleaved(work, repeats, f"{size} px", warm=True)
    found = []
    for name, each in times.items():
        base = times[f"{name.split(',')[0]}, one member"]
        ratios = [a / b for a, b in zip(each, base, strict=True)]  # of the same turn
        found.append(
            {
                "what": name,
                "seconds": median(each),
                "low": min(each),
                "high": max(each),
                "ratio": median(ratios),
                "beliefs": beliefs[name],
            }
        )
    return found


def table(found: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = ["| what | s per map | times one member | beliefs |", "|---|---|---|---|"]
    lines += [
        f"| {row['what']} | {row['seconds']:.2f} [{row['low']:.2f}, {row['high']:.2f}] "
        f"| {row['ratio']:.2f} | {row['beliefs']} |"
        for row in found
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--data", default="kermany_pneumonia_128")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    described = machine()
    rows = measure(members_of(given.checkpoints, given.members), given.data, given.repeats)
    print(table(rows))
    if given.out is not None:
        write_json(given.out, {"machine": described, "rows": rows})


if __name__ == "__main__":
    main()
