"""Ours beside pyro.contrib.oed's nested Monte Carlo and zea's greedy selection, in one run.

    python benchmarks/peers.py --zea-python /path/to/python --out peers.json
    python benchmarks/peers.py --quick

Pyro: `nmc_eig` and our `nmc` on location finding (two sources in the plane), the same designs and
the same N outer and M inner samples. Both share the inner samples among the outer ones, so that
their errors are the same; errors are to the exact EIG, by quadrature, bias included. Pyro's
argument checks are switched off, which favours it. The repeats alternate, one seed each.

Times are processor seconds, which a busy machine disturbs less than wall-clock time. "ratio at
equal error" reads off our own times against our own errors, by a straight line in logarithms, when
ours has Pyro's error; it differs from "ratio" by the noise of the errors alone.

zea: see `peers_lines`. `--zea-python` is a Python in which zea can be imported (this one if not
given); where it cannot, its rows say so.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import peers_lines
import pyro
import torch
from pyro.contrib.oed.eig import nmc_eig
from torch import Tensor

from boed.eig.model.model_eig import model_eig
from boed.foundation.randomness import derive
from boed.problems import LocationFinding

NESTED_HEADER = """\
| N = M | Pyro s | ours s | ratio | Pyro RMSE | ours RMSE | ratio at equal error |
|---|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Estimates:
    """Repeats of one estimator at one size: median processor seconds, error and its error."""

    seconds: float
    rmse: float
    rmse_error: float

    @classmethod
    def of(cls, seconds: list[float], eig: list[Tensor], truth: Tensor) -> Estimates:
        """Error over repeats and designs; its standard error from the spread of the repeats."""
        squared = (torch.stack(eig).double() - truth).square().mean(1)
        rmse = float(squared.mean().sqrt())
        spread = float(squared.std()) / math.sqrt(len(squared))
        return cls(statistics.median(seconds), rmse, spread / (2 * rmse))


@dataclass(frozen=True)
class NestedRow:
    """Both at one size; nats and processor seconds."""

    size: int
    pyro: Estimates
    ours: Estimates
    ratio: float
    ratio_at_equal_error: float

    def __str__(self) -> str:
        errors = " | ".join(f"{e.rmse:.4f} ± {e.rmse_error:.4f}" for e in (self.pyro, self.ours))
        return (
            f"| {self.size} | {self.pyro.seconds:.4f} | {self.ours.seconds:.4f} "
            f"| {self.ratio:.1f} | {errors} | {self.ratio_at_equal_error:.1f} |"
        )


def timed(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Processor seconds and what came out."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def nested(sizes: list[int], repeats: int, number: int, seed: int) -> list[NestedRow]:
    """Both estimators on location finding, alternating."""
    problem = LocationFinding()
    generator = torch.Generator().manual_seed(derive(seed, "designs"))
    designs = torch.randn(number, 2, generator=generator)
    truth = problem.exact_eig(designs)

    def theirs(size: int, repeat: int) -> Tensor:
        pyro.set_rng_seed(derive(seed, "pyro", size, repeat) % 2**32)
        with torch.no_grad(), pyro.validation_enabled(False):
            return nmc_eig(problem.model, designs, ["y"], ["theta"], N=size, M=size)

    def ours(size: int, repeat: int) -> Tensor:
        drawn = derive(seed, "ours", size, repeat)
        return model_eig(
            problem.model, designs, "nmc", samples=size, contrasts=size, seed=drawn
        ).eig

    pairs = []
    for size in sizes:
        theirs(size, -1), ours(size, -1)
        runs = [
            (timed(lambda: theirs(size, repeat)), timed(lambda: ours(size, repeat)))  # noqa: B023
            for repeat in range(repeats)
        ]
        pairs.append(
            [
                Estimates.of([seconds for seconds, _ in run], [eig for _, eig in run], truth)
                for run in zip(*runs, strict=True)
            ]
        )
    times = [seconds_at(first.rmse, [each for _, each in pairs]) for first, _ in pairs]
    return [
        NestedRow(size, first, own, first.seconds / own.seconds, first.seconds / equal)
        for size, (first, own), equal in zip(sizes, pairs, times, strict=True)
    ]


def seconds_at(rmse: float, curve: list[Estimates]) -> float:
    """Seconds at which an estimator has this error, along the nearest piece of its curve."""
    if len(curve) == 1:
        return curve[0].seconds
    points = sorted((math.log(each.rmse), math.log(each.seconds)) for each in curve)
    x, y = (np.array(values) for values in zip(*points, strict=True))
    piece = int(np.clip(np.searchsorted(x, math.log(rmse)) - 1, 0, len(x) - 2))
    slope = (y[piece + 1] - y[piece]) / (x[piece + 1] - x[piece])
    return float(math.exp(y[piece] + slope * (math.log(rmse) - x[piece])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--repeats", type=int, default=20, help="of each, one seed each")
    parser.add_argument("--designs", type=int, default=100)
    parser.add_argument("--scenes", type=int, default=12, help="for the choice of lines")
    parser.add_argument("--zea-python", default=sys.executable)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats")
    parser.add_argument("--out", type=Path, help="JSON with all numbers")
    given = parser.parse_args()
    if given.quick:
        given.sizes, given.repeats, given.scenes = given.sizes[:2], 5, 3
    torch.set_num_threads(1)

    busy = os.getloadavg()[0]
    print(f"{platform.machine()}, 1 thread of {os.cpu_count()}, load {busy:.1f}, seconds of it\n")
    rows = nested(given.sizes, given.repeats, given.designs, given.seed)
    print(f"Nested Monte Carlo, location finding, {given.designs} designs, nats")
    print(NESTED_HEADER, *rows, "", sep="\n")
    lines = peers_lines.compare(given.zea_python, given.scenes, given.seed)
    print(lines)
    if given.out:
        content = {
            "command": "python benchmarks/peers.py --zea-python PATH",
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "pyro": pyro.__version__,
            },
            "load": busy,
            "arguments": {
                name: value
                for name, value in vars(given).items()
                if name not in ("out", "zea_python")
            },
            "nested": [asdict(row) for row in rows],
            "lines": asdict(lines),
        }
        given.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
