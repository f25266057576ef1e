"""The literature's table: every sequence of experiments, by every policy, with both bounds.

    python benchmarks/design_policies.py --out runs/design_policies

For each task of `boed.problems.LITERATURE`: random designs, the best fixed designs (trained here),
the greedy policy (posterior by SMC, best of random candidates), the same with the best of them
climbing by gradient (VPCE), every trained policy that is for it, in `policies/` or given by
`--trained`, and each that is a DAD refined in the middle of every experiment (Step-DAD). A row that
is finished is not computed again. Beside sPCE and sNMC there are the bounds by contrasts from a law
like each roll-out's posterior, on the same experiments. Writes summary.json and the table in
docs/deep_adaptive/README.md, with the published numbers beside.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from design_policies_table import document
from measuring import machine
from torch import Tensor

from boed.deep_adaptive import (
    DesignPolicy,
    PolicyTrainingConfig,
    StaticDesign,
    StepDAD,
    design_policy,
    train_policy,
)
from boed.deep_adaptive.policy import FILES, described
from boed.eig.model.greedy import Greedy
from boed.eig.model.isolation import isolated
from boed.eig.model.roll_outs import SequencePolicy
from boed.eig.model.sequence_model import sequence_model
from boed.eig.model.sequential import (
    SequentialEIG,
    fixed_policy,
    random_policy,
    sequential_pce,
)
from boed.foundation.files import load_weights, sha256, write_json
from boed.foundation.randomness import derive
from boed.foundation.registry import check_known
from boed.problems import LITERATURE, Task

ROOT = Path(__file__).parents[1]
UNTRAINED = ("random", "fixed", "greedy", "ascent")
REFINED = "step-dad"
SLOW = ("greedy", "ascent", REFINED)
"""Policies whose decisions take seconds."""

ASCENT = 40
"""Steps of the designs that climb."""

ADAPTED = 4000
"""Contrasts of the bounds by posterior proposals."""

REFINING: dict[str, Any] = {
    "steps": 100,
    "batch": 128,
    "contrasts": 1023,
    "lr": 1e-4,
    "warmup": 10,
    "ema": 0.9,
}
"""How a policy is refined."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the rows are computed.

    Attributes:
        samples: roll-outs of each row.
        slow_samples: roll-outs of policies whose decisions take seconds.
        contrasts: L.
        minutes: of training fixed designs, for each task.
        seed: of the roll-outs and of training.
    """

    samples: int
    slow_samples: int
    contrasts: int
    minutes: float
    seed: int


def title(task: Task) -> str:
    """What the header of a policy says that it was trained for."""
    return described(task.problem, task.looks)


def fixed(task: Task, out: Path, settings: Settings) -> tuple[Tensor, float]:
    """The best designs chosen beforehand, `[T, K]`, and the seconds of their training.

    By stochastic gradients of sPCE; where designs are a set, the best of random sequences.
    """
    began = time.monotonic()
    if task.space.designs is not None:
        return best_of_random(task, settings), time.monotonic() - began
    torch.manual_seed(derive(settings.seed, "designs"))
    trained = train_policy(
        task.problem.model,
        StaticDesign(
            task.random(task.looks).float(),
            task.problem.bounds,
            logarithmic=getattr(task.problem, "logarithmic", None),
        ),
        PolicyTrainingConfig(
            steps=400,
            lr=2e-2,
            looks=task.looks,
            every=100,
            minutes=settings.minutes,
            seed=settings.seed,
        ),
        method="fixed",
        out=out,
        target=task.problem.target,
        provenance={"problem": title(task)},
    )
    with torch.no_grad():
        looks = [trained.choose((1, look))[0] for look in range(task.looks)]
    return torch.stack(looks), float(trained.provenance["seconds"])


def best_of_random(task: Task, settings: Settings, *, number: int = 32) -> Tensor:
    """Of so many sequences, the one of highest sPCE with a few hundred roll-outs."""
    with isolated(derive(settings.seed, "designs")):
        sequences = [task.random(task.looks) for _ in range(number)]
    few = min(settings.samples, 300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bounds = [
            bounded(task, fixed_policy(each), samples=few, contrasts=few, seed=settings.seed)[0]
            for each in sequences
        ]
    return sequences[max(range(number), key=lambda row: bounds[row].lower)]


def greedy(task: Task, *, ascent: int = 0) -> SequencePolicy:
    """The policy that needs no training; its designs climb for some steps, if they can."""
    with isolated(0):
        problem = sequence_model(
            task.problem.model, task.example, "y", target=task.problem.target, estimator="greedy"
        )
    problem = replace(problem, space=task.space)
    return Greedy(problem=problem, example=task.example, candidates=task.random, ascent=ascent)


def refined(task: Task, policy: DesignPolicy, seed: int) -> SequencePolicy:
    """Step-DAD: a trained policy, refined once in the middle of each experiment."""
    settings = PolicyTrainingConfig(**REFINING, looks=task.looks, seed=seed)
    return StepDAD(policy=policy, problem=task.problem, settings=settings, at=(task.looks // 2,))


def trained_policies(task: Task, paths: Sequence[Path]) -> dict[str, Path]:
    """Checkpoints that were trained for the task, by the name of their folder or file."""
    found = {}
    for path in sorted(set(paths)):
        if load_weights(path)[1].get("kind") not in FILES:
            continue
        try:
            design_policy(path).check_for(task.problem, task.looks)
        except ValueError:
            continue
        found[path.parent.name if path.name == "weights.safetensors" else path.stem] = path
    return found


def evaluated(result: SequentialEIG, seconds: float) -> dict[str, Any]:
    """Both bounds in nats, with what is needed to judge them."""
    return {
        **figures_of(result),
        "gap": result.gap,
        "ceiling": result.ceiling,
        "contrasts": result.contrasts,
        "roll_outs": result.roll_outs,
        "seconds": seconds,
    }


def adapted(task: Task, designs: Tensor, *, seed: int) -> dict[str, Any]:
    """The bounds by posterior proposals, on the same experiments."""

    def again(past: Tensor, _: Tensor) -> Tensor:
        return designs[:, past.shape[1]]

    result, seconds = bounded(
        task, again, samples=len(designs), contrasts=ADAPTED, seed=seed, proposal="posterior"
    )
    return {**figures_of(result), "contrasts": ADAPTED, "seconds": seconds}


def bounded(
    task: Task, policy: SequencePolicy, *, samples: int, **more: Any
) -> tuple[SequentialEIG, float]:
    """Bounds on the EIG of a task's experiments, and the seconds that they took."""
    began = time.monotonic()
    result = sequential_pce(
        task.problem.model,
        policy,
        task.looks,
        samples=samples,
        example=task.example,
        target=task.problem.target,
        space=task.space,
        **more,
    )
    return result, round(time.monotonic() - began, 1)


def figures_of(result: SequentialEIG) -> dict[str, float]:
    """Both bounds and their standard errors."""
    return {
        "lower": result.lower,
        "lower_error": result.lower_error,
        "upper": result.upper,
        "upper_error": result.upper_error,
    }


def row(
    task: Task, name: str, path: Path | None, *, out: Path, settings: Settings
) -> dict[str, Any]:
    """A row of the table, from where it is stored or computed."""
    refining = path is not None and name.endswith(f" {REFINED}")
    slow = refining or name in SLOW
    samples = settings.slow_samples if slow else settings.samples
    identity = {
        "task": title(task),
        "policy": name if path is None else sha256(path) + refining * f" {REFINED}",
        "samples": samples,
        "contrasts": settings.contrasts,
        "seed": settings.seed,
        **({"ascent": ASCENT} if name == "ascent" else {}),
        **({"refining": REFINING} if refining else {}),
    }
    if out.exists() and (stored := json.loads(out.read_text()))["of"] == identity:
        return dict(stored)
    training: dict[str, Any] | None = None
    method, policy = name, random_policy(task.random)
    if path is not None:
        loaded = design_policy(path)
        method, policy = loaded.name, loaded
        training = about_training(loaded.network.provenance)
        if refining:
            method, policy = REFINED, refined(task, loaded, settings.seed)
    elif name == "fixed":
        designs, seconds = fixed(task, out.with_suffix(".safetensors"), settings)
        policy, training = fixed_policy(designs.to(task.example)), {"minutes": seconds / 60}
    elif name in ("greedy", "ascent"):
        policy = greedy(task, ascent=ASCENT if name == "ascent" else 0)
    found, seconds = bounded(
        task, policy, samples=samples, contrasts=settings.contrasts, seed=settings.seed
    )
    result = {
        "of": identity,
        "policy": name,
        "method": method,
        "adapted": adapted(task, found.designs, seed=settings.seed),
        **evaluated(found, seconds),
        "training": training,
        "machine": machine(),
    }
    write_json(out, result)
    return result


def about_training(header: dict[str, Any]) -> dict[str, Any]:
    """Minutes, updates and the curve of a training, as the header of its checkpoint has them."""
    return {
        "minutes": header["seconds"] / 60,
        "updates": header["steps"],
        "settings": {
            key: header.get(key) for key in ("settings", "config", "init", "steps", "experiment")
        },
        "machine": {"processor": header["processor"]} if "processor" in header else None,
        "history": [
            {"step": each["step"], "gain": each[name], "error": each[f"{name}_se"], "of": name}
            for each in header.get("history", [])
            for name in ("val_spce", "val_gain")
            if name in each
        ],
    }


def compute(given: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """All rows, by task; those that are finished are only read."""
    settings = Settings(
        samples=given.samples,
        slow_samples=given.slow_samples,
        contrasts=given.contrasts,
        minutes=given.minutes,
        seed=given.seed,
    )
    paths = [*ROOT.glob("policies/*/weights.safetensors"), *given.trained]
    known = [title(task) for task in LITERATURE.values()]
    for path in given.trained:
        check_known(f"trained: the problem of {path}", design_policy(path).about, known)
        if not any(trained_policies(task, [path]) for task in LITERATURE.values()):
            told = design_policy(path)
            (near,) = (each for each in LITERATURE.values() if title(each) == told.about)
            told.check_for(near.problem, near.looks)  # which says what differs
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in given.tasks:
        task = LITERATURE[name]
        untrained = [each for each in given.policies if each in UNTRAINED]
        if task.space.designs is not None and "ascent" in untrained:
            untrained.remove("ascent")  # a set has no gradient
        policies: dict[str, Path | None] = dict.fromkeys(untrained)
        trained = trained_policies(task, paths)
        policies |= trained
        if REFINED in given.policies:
            policies |= {
                f"{policy} {REFINED}": path
                for policy, path in trained.items()
                if load_weights(path)[1].get("method") == "dad"
            }
        rows[name] = []
        for policy, path in policies.items():
            out = given.out / name / f"{policy}.json"
            found = row(task, policy, path, out=out, settings=settings)
            rows[name].append(found)
            print(
                f"{name:26} {policy:34} {found['lower']:.3f} ± {found['lower_error']:.3f}   "
                f"{found['upper']:.3f} ± {found['upper_error']:.3f}",
                flush=True,
            )
    return rows


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    made.add_argument("--out", type=Path, default=ROOT / "runs" / "design_policies")
    made.add_argument("--docs", type=Path, default=ROOT / "docs" / "deep_adaptive")
    made.add_argument("--tasks", nargs="+", default=list(LITERATURE), choices=list(LITERATURE))
    made.add_argument(
        "--policies", nargs="*", default=[*UNTRAINED, REFINED], choices=[*UNTRAINED, REFINED]
    )
    made.add_argument("--trained", nargs="*", type=Path, default=[], help="further checkpoints")
    made.add_argument("--samples", type=int, default=2000, help="roll-outs of each row")
    made.add_argument("--slow-samples", type=int, default=100, help="roll-outs of slow ones")
    made.add_argument("--contrasts", type=int, default=100_000, help="L")
    made.add_argument("--minutes", type=float, default=5.0, help="of training fixed designs")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--threads", type=int, default=1)
    return made


def main() -> None:
    given = parser().parse_args()
    torch.set_num_threads(given.threads)
    rows = compute(given)
    document(rows, docs=given.docs)


if __name__ == "__main__":
    main()
