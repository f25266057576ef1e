"""Time one EIG map: a loop over candidates against the batched engine, in one run.

    python benchmarks/eig_batched.py --size 64 --grid 17 --completions 10

Prints seconds per look (median of `--repeats`) and their ratio. The loop is timed on a few
candidates and scaled up, which is said. Random weights: the arithmetic does not depend on them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from boed.eig.beliefs import candidate_log_beliefs
from boed.sensors import PatchSensor
from classifiers.classifier import DenseNetClassifier
from classifiers.densenet import DenseNetConfig, SmallDenseNet
from classifiers.training import PRESETS
from data.observation import Observation


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall-clock seconds of `repeats` calls after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--grid", type=int, default=17)
    parser.add_argument("--completions", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--densenet121", action="store_true", help="the paper's network")
    given = parser.parse_args()

    torch.manual_seed(0)
    if given.densenet121:
        config = DenseNetConfig(given.size, 1, 2, kind="densenet121")
    else:
        config = PRESETS[32 if given.size <= 32 else 64][0]
    classifier = DenseNetClassifier(config, tuple(map(str, range(config.outputs)))).eval()
    if isinstance(classifier.network, SmallDenseNet):
        classifier.network.fold()
    sensor = PatchSensor(given.size, 0.25, given.grid)
    blank = Observation.nothing(1, 1, given.size)
    completions = torch.rand(given.completions, 1, 1, given.size, given.size)
    designs = sensor.designs(blank)

    def batched() -> None:
        candidate_log_beliefs(blank, completions, designs, sensor, classifier)

    some = designs[:: max(len(designs) // 10, 1)]

    def loop() -> None:
        for completion in completions:
            for design in some:
                classifier.log_probs(sensor.observe(blank, completion, design[None]))

    slow = median_seconds(loop, given.repeats) * len(designs) / len(some)
    fast = median_seconds(batched, given.repeats)
    number = len(designs) * given.completions
    print(f"{given.size} px, {len(designs)} candidates x {given.completions} completions")
    print(f"threads            {torch.get_num_threads()}")
    print(f"loop               {slow:8.3f} s per look (from {len(some)} candidates, scaled up)")
    print(f"batched            {fast:8.3f} s per look, {number / fast:.0f} beliefs/s")
    print(f"ratio              {slow / fast:8.2f}")


if __name__ == "__main__":
    main()
