"""What the engines cost and save: the same set-up run here, by processes and by Ray.

    python benchmarks/engines.py --out runs/engines.json

All in one run, in turn, after once to warm up. Reading the set-up and the report are not counted;
starting the workers is. The results are compared as well.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from measuring import interleaved, machine, median

from boed.benchmark.engines import ENGINES, Engine, named
from boed.benchmark.sweep import benchmark
from boed.foundation.files import write_json
from boed.policies import BOED
from boed.setup import Setup, setup


def once(made: Setup, engine: Engine, scenes: int, found: dict[str, xr.Dataset]) -> None:
    """One benchmark with policies that have found nothing yet."""
    policies = {
        name: replace(policy) if isinstance(policy, BOED) else policy
        for name, policy in made.policies.items()
    }
    found[str(engine)] = benchmark(
        made.data, made.sensor, made.classifier, policies=policies, scenes=scenes, engine=engine
    )


def compared(found: dict[str, xr.Dataset]) -> dict[str, dict[str, float]]:
    """How far each engine's results are from the local ones."""
    local = found["local"]
    return {
        name: {
            "other_designs": int((each["design"] != local["design"]).any("axis").sum()),
            "belief": float(np.abs(np.exp(each["log_belief"]) - np.exp(local["log_belief"])).max()),
        }
        for name, each in found.items()
    }


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each engine, their medians, and ratios to the local one."""
    described = machine()
    made = setup(
        options.data,
        sensor={"name": "patch", "grid": options.grid},
        policies=options.policies.split(","),
        completions=options.completions,
        search="racing",
    )
    engines = [named(name, None if name == "local" else options.workers) for name in ENGINES]
    found: dict[str, xr.Dataset] = {}
    work: dict[str, Callable[[], object]] = {
        str(engine): partial(once, made, engine, options.scenes, found) for engine in engines
    }
    times = interleaved(work, options.repeats, "round")
    medians = {name: median(each) for name, each in times.items()}
    return {
        "machine": described,
        "load_at_end": round(os.getloadavg()[0], 2),
        "study": {key: value for key, value in vars(options).items() if key != "out"},
        "seconds": times,
        "median": medians,
        "over_local": {name: each / medians["local"] for name, each in medians.items()},
        "from_local": compared(found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--scenes", type=int, default=128)
    parser.add_argument("--policies", default="boed,random")
    parser.add_argument("--grid", type=int, default=17)
    parser.add_argument("--completions", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("RAY_worker_niceness", "0")  # other work slows all engines alike
    found = measured(options)
    for name, seconds in found["median"].items():
        away = found["from_local"][name]
        print(
            f"{name:24s} {seconds:8.1f} s  {found['over_local'][name]:5.2f} of local  "
            f"{away['other_designs']} other designs, beliefs within {away['belief']:.1e}"
        )
    if options.out is not None:
        write_json(options.out, found)


if __name__ == "__main__":
    main()
