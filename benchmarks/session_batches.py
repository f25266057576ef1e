"""Two looks that a session has pending, against the greedy joint batch, by their joint EIG.

    python benchmarks/session_batches.py --scenes 64 --out benchmarks/results/session_batches.json

One reading in the middle of each digit is taken, then two looks are asked for at once, as for an
instrument that is kept busy. Beside them stand the greedy joint batch of as many completions, and
the two looks of highest EIG alone. All pairs are judged by the joint EIG from completions that
decided none of them. Then more looks are asked for: none may come twice.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import machine
from numpy.typing import NDArray
from torch import Tensor

from boed.completion.completer import complete
from boed.eig.completions.estimate import design_problem
from boed.eig.completions.estimators import named, utility
from boed.eig.completions.problem import DesignProblem
from boed.foundation.files import write_json
from boed.foundation.randomness import derive
from boed.live.simulated import Simulated
from boed.policies import BOED
from boed.search import greedy_batch
from boed.search.candidates.batch import JointProblem
from boed.session import Session
from boed.setup import Setup, setup

MIDDLE = (12.0, 12.0)
"""Top-left pixel of the first look."""

RESAMPLES = 10_000
"""Of scenes, for the intervals."""


def problem_of(run: Setup, session: Session, *, number: int, seed: int) -> DesignProblem:
    """Where to look next in a session, with so many completions."""
    assert isinstance(run.policies["boed"], BOED)
    completions = complete(run.policies["boed"].completer, session.observation, number, seed=seed)
    return design_problem(
        session.observation, completions, run.sensor, classifier=run.classifier, seed=seed
    )


def joint_eig(problem: DesignProblem, pair: Tensor) -> float:
    """Of two looks, `[2, K]`, in nats."""
    pair = pair.to(problem.designs)
    joint = replace(JointProblem.after_looks(problem, pair[None, :1]), designs=pair[1:])
    return float(utility(named("variational"), joint)[0])


def tried(run: Setup, row: int, options: argparse.Namespace) -> dict[str, Any]:
    """The joint EIG of each pair at one scene, and whether any look was suggested twice."""
    instrument = Simulated(run.sensor, run.data.scenes([row]), truth=0, seed=row)
    with Session(run.sensor, run.policies["boed"], run.classifier, seed=row) as session:
        session.ingest(MIDDLE, instrument.read(MIDDLE))
        looks = session.suggest(2)
        own = problem_of(run, session, number=options.completions, seed=derive(row, "greedy"))
        alone = utility(named("variational"), own)[0][0]
        pairs = {
            "session": torch.tensor([each.design for each in looks]),
            "greedy": greedy_batch(own, 2).designs[0],
            "highest alone": own.designs[alone.topk(2).indices],
        }
        judge = problem_of(run, session, number=options.judges, seed=derive(row, "judge"))
        designs = [MIDDLE, *(each.design for each in looks)]
        designs += [each.design for each in session.suggest(options.pending - 2)]
    return {
        "scene": row,
        "joint_eig": {name: joint_eig(judge, pair) for name, pair in pairs.items()},
        "looks": len(designs),
        "twice": len(designs) - len(set(designs)),
    }


def with_interval(values: Sequence[float] | NDArray[Any]) -> dict[str, float]:
    """Mean over scenes, and where it lies for 95 % of their resamples."""
    each = np.asarray(values)
    rows = np.random.default_rng(0).integers(len(each), size=(RESAMPLES, len(each)))
    low, high = np.quantile(each[rows].mean(1), [0.025, 0.975])
    return {"mean": float(each.mean()), "low": float(low), "high": float(high)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--completions", type=int, default=10, help="that decide")
    parser.add_argument("--judges", type=int, default=64, help="completions that judge")
    parser.add_argument("--pending", type=int, default=6, help="looks under way in the end")
    parser.add_argument("--grid", type=int, default=5, help="candidates along each axis")
    parser.add_argument("--out", type=Path, default=Path("runs/session_batches.json"))
    options = parser.parse_args(arguments)
    torch.set_grad_enabled(False)
    run = setup(
        "digits",
        sensor=f"patch,grid={options.grid}",
        policies=["boed"],
        completions=options.completions,
    )
    done = []
    for row in range(options.scenes):
        done.append(tried(run, row, options))
        print(done[-1], flush=True)
    worth = {
        name: np.array([each["joint_eig"][name] for each in done]) for name in done[0]["joint_eig"]
    }
    found = {
        **{name: with_interval(each) for name, each in worth.items()},
        **{
            f"session - {name}": with_interval(worth["session"] - worth[name])
            for name in ("greedy", "highest alone")
        },
        "twice": sum(each["twice"] for each in done),
    }
    study = {key: value for key, value in vars(options).items() if key != "out"}
    write_json(options.out, {"machine": machine(), "study": study, "found": found, "scenes": done})
    print(found)


if __name__ == "__main__":
    main()
