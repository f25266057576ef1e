"""One EIG map with DenseNet-121: as a newcomer writes it, batched plainly, and by the engine.

    python benchmarks/eig_speed.py --out benchmarks/results/eig_speed.json

The paper's setting: 17 x 17 candidates, 10 completions, one look taken. `random` has random
weights and scenes; `real` has real scenes with a trained classifier, `--classifier 64=FILE`, and
retrieved completions (needs BOED_DATA). All contestants take turns. The loop is timed on 8 of the
2,890 images, plain batches and the exact engine on `rows` of them, and scaled up; searches, for
which weights matter, run whole and on `real` alone. `bf16` rounds: `eig_decisions.py` shows what
that does to the EIG.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from measuring import interleaved, machine, matmul_peak, median, peak_memory
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completions
from boed.data.load import load
from boed.data.observation import Observation
from boed.eig.completions.beliefs import CandidateBeliefs
from boed.eig.completions.estimate import design_problem
from boed.eig.completions.estimators import BarberAgakov
from boed.eig.completions.problem import DesignProblem
from boed.foundation.files import write_json
from boed.foundation.precision import Precision
from boed.search import CoarseToFine, Racing, Search
from boed.sensors import PatchSensor

SEARCHES: dict[str, Search] = {
    "racing": Racing(),
    "coarse to fine, racing": CoarseToFine(then=Racing()),
}
PRECISIONS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
COMPLETIONS = 10


def untrained(size: int) -> DenseNetClassifier:
    """DenseNet-121 with random weights, as if loaded."""
    torch.manual_seed(0)
    model = DenseNetClassifier(
        DenseNetConfig(size=size, channels=1, outputs=2, kind="densenet121"), ("no", "yes")
    )
    model.requires_grad_(False).eval()
    model._loaded = True
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def situation(size: int, checkpoint: Path | None) -> DesignProblem:
    """One scene after one look, and its completions."""
    sensor = PatchSensor(size, 0.25, 17)
    designs = sensor.designs(Observation.nothing(1, 1, size))
    middle = designs[len(designs) // 2][None]
    if checkpoint is None:
        model = untrained(size)
        scene = torch.rand(1, 1, size, size)
        drawn = torch.rand(COMPLETIONS, 1, 1, size, size)
        weights = torch.full((COMPLETIONS, 1), 1 / COMPLETIONS)
        seen = sensor.observe(Observation.nothing(1, 1, size), scene, middle)
        completions = Completions(seen.composite(drawn), weights)
    else:
        model = DenseNetClassifier.load(checkpoint)
        val = load("kermany_pneumonia_128", size, "val")
        seen = sensor.observe(Observation.nothing(1, 1, size), val.scenes([1]), middle)
        library = Retrieval(load("kermany_pneumonia_128", size, "train"))
        completions = library.complete(seen, COMPLETIONS, 0)
    return design_problem(seen, completions, sensor, classifier=model)


class Plain:
    """What one writes without this package: torchvision's network on images put together."""

    def __init__(self, problem: DesignProblem) -> None:
        self.problem = problem
        self.model: DenseNetClassifier = problem.classifier  # type: ignore[assignment]
        network = copy.deepcopy(self.model.network)
        self.network: nn.Module = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def batched(self, which: tuple[Tensor, ...], at_once: int) -> Tensor:
        """Log-beliefs after looks, `at_once` images at a time."""
        parts = zip(*(index.split(at_once) for index in which), strict=True)
        return torch.cat([self._beliefs(*part) for part in parts])

    def loop(self, which: tuple[Tensor, ...]) -> list[Tensor]:
        """The same one by one."""
        return [self._beliefs(*(index[row : row + 1] for index in which)) for row in range(8)]

    def _beliefs(self, n: Tensor, b: Tensor, c: Tensor) -> Tensor:
        given, config = self.problem, self.model.config
        scenes = given.completions.scenes[n, b]
        after = given.sensor.observe(given.observation[b], scenes, given.designs[c])
        values = (after.values - config.mean) / config.std * after.mask
        logits = self.network(torch.cat([values, after.mask], 1).contiguous())
        scale = self.model.temperature(after.fraction_seen)[:, None]
        return F.log_softmax(logits / scale, dim=-1)


def in_precision(problem: DesignProblem, precision: Precision) -> DesignProblem:
    """The same situation with a classifier of its own."""
    model: DenseNetClassifier = copy.deepcopy(problem.classifier)  # type: ignore[assignment]
    model.precision = precision
    return replace(problem, classifier=model)


def exact(one: DesignProblem, which: tuple[Tensor, ...]) -> Tensor:
    """The engine on some images, everything that they share included."""
    ahead = CandidateBeliefs(
        observation=one.observation,
        completions=one.completions.scenes,
        designs=one.designs,
        sensor=one.sensor,
        classifier=one.classifier,
    )
    return ahead.at(*which)


def searched(one: DesignProblem, search: Search) -> int:
    """A whole search from nothing known; how many beliefs it needed."""
    fresh = design_problem(one.observation, one.completions, one.sensor, classifier=one.classifier)
    found = search(fresh, BarberAgakov())
    assert found.evaluations is not None
    return found.evaluations


@torch.no_grad()
def measure(
    size: int, checkpoint: Path | None, repeats: int, rows: int
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """A row of the table for each contestant, and how far the beliefs differ."""
    problem = situation(size, checkpoint)
    plain, total = Plain(problem), COMPLETIONS * len(problem.designs)
    which = (
        torch.arange(total)[torch.randperm(total, generator=torch.Generator().manual_seed(0))]
    )[:rows]
    number = len(problem.designs)
    triple = (which // number, torch.zeros_like(which), which % number)
    at_once = max(2**19 // size**2, 1)
    work: dict[str, Callable[[], object]] = {
        "a loop, fp32": lambda: plain.loop(triple),
        "b batched plainly, fp32": lambda: plain.batched(triple, at_once),
    }
    ours = {precision: in_precision(problem, precision) for precision in PRECISIONS}
    for precision, one in ours.items():
        work[f"c exact, {precision}"] = partial(exact, one, triple)
    part = dict.fromkeys(work, rows / total) | {"a loop, fp32": 8 / total}
    used = dict.fromkeys(work, total)
    for name, search in SEARCHES.items() if checkpoint else ():
        for precision, one in ours.items():
            work[f"d {name}, {precision}"] = partial(searched, one, search)
            part[f"d {name}, {precision}"] = 1.0
    reference = plain.batched(triple, at_once)
    differ = {
        precision: float((exact(one, triple) - reference).abs().max())
        for precision, one in ours.items()
    }
    kind = "random" if checkpoint is None else "real"
    flops, peak = {}, {}
    for name, each in work.items():
        with peak_memory() as memory, FlopCounterMode(display=False) as counter:
            done = each()
        flops[name], peak[name] = counter.get_total_flops(), memory["mib"]
        if isinstance(done, int):
            used[name] = done
    times = interleaved(work, repeats, f"{kind}, {size} px", warm=True)
    peaks: dict[str, float] = {name: matmul_peak(dtype) for name, dtype in PRECISIONS.items()}
    found = []
    for name in work:
        seconds = median(times[name])
        kept = name.rsplit(" ", 1)[1]
        found.append(
            {
                "scenes": kind,
                "size": size,
                "what": name,
                "seconds": seconds / part[name],
                "low": min(times[name]) / part[name],
                "high": max(times[name]) / part[name],
                "measured_part": part[name],
                "evaluations": used[name],
                "gflop": flops[name] / part[name] / 1e9,
                "peak_gflops": peaks[kept] / 1e9,
                "utilisation": flops[name] / seconds / peaks[kept],
                "memory_mib": peak[name],
            }
        )
    plainly = next(row["seconds"] for row in found if row["what"].startswith("b "))
    for row in found:
        row["ratio_to_b"] = plainly / row["seconds"]
    return found, {str(name): each for name, each in differ.items()}


def table(found: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = [
        "| scenes | px | what | s per map | ratio to (b) | beliefs | GFLOP | of peak | MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        lines.append(
            f"| {row['scenes']} | {row['size']} | {row['what']} | {row['seconds']:.2f} "
            f"[{row['low']:.2f}, {row['high']:.2f}] | {row['ratio_to_b']:.2f} "
            f"| {row['evaluations']} | {row['gflop']:,.0f} | {row['utilisation']:.0%} "
            f"| {row['memory_mib']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--classifier", nargs="*", default=[], metavar="SIZE=FILE")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2**16, help="over the width in pixels")
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    trained = {int(size): Path(file) for size, file in (x.split("=") for x in given.classifier)}
    described = machine()
    rows: list[dict[str, Any]] = []
    differ: dict[str, Any] = {}
    for size in given.sizes:
        for checkpoint in (None, trained.get(size)):
            if checkpoint is None and differ.get(f"random {size}"):
                continue
            found, errors = measure(size, checkpoint, given.repeats, max(given.rows // size, 16))
            rows += found
            differ[f"{'random' if checkpoint is None else 'real'} {size}"] = errors
    print(table(rows))
    print("largest difference of a log-belief to (b):", differ)
    if given.out is not None:
        write_json(given.out, {"machine": described, "rows": rows, "log_belief_error": differ})


if __name__ == "__main__":
    main()
