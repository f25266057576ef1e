"""Policies that complete scenes and policies that have learned where to look, in one table.

    python benchmarks/both_schools.py cube cube_nm --page docs/learned_policies.md
    python benchmarks/both_schools.py digits --value value-mnist.safetensors

Each part is a data set with its sensor, one classifier for all policies, and T looks. Networks that
are not in `--out` yet are trained there as `boed train policy` does, unless they are given.
Policies that complete scenes look at `--scenes` of the test split, two-step look-ahead at `--ahead`
of them, the others at all of it; differences are of the common ones. The same command goes on where
it was interrupted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from inpainting import resampled
from measuring import machine
from pages import fill
from torch import Tensor

from boed.acquire import acquire
from boed.benchmark import benchmark
from boed.benchmark.sweep import scene_rows
from boed.classifiers.classifier import Classifier
from boed.data.observation import Observation
from boed.foundation.files import load_weights, write_json
from boed.foundation.registry import check_known
from boed.policies import BOED, Policy, TwoStep
from boed.policies.learned import NETWORKS, OnePass
from boed.policies.names import INFORMED
from boed.search import Exhaustive
from boed.setup import Setup, setup
from boed.training import Recipe
from boed.zoo import train_recipe

PRICES = [1.0] * 10 + [2.0] * 10 + [3.0] * 10
"""Of the 30 features of breast_cancer: means, standard errors, worst values."""

UNINFORMED = ("fixed", "in_order", "random", "oracle")
"""Of every part; that on pictures is `centre_out` in place of `in_order`."""


@dataclass(frozen=True)
class Part:
    """What is looked at, and by which policies.

    Attributes:
        data, size, sensor, classifier, completer: as `boed.setup` takes them.
        steps: T.
        informed: policies that complete scenes.
        others: policies that neither complete nor learn.
        two_step: looks that two-step look-ahead follows, 0 for none.
        training: of the networks, what differs from the preset, by policy.
    """

    data: str
    _: KW_ONLY
    steps: int
    size: int | None = None
    train_data: str | None = None
    sensor: str | Mapping[str, Any] | None = None
    classifier: str | None = None
    completer: str | None = None
    informed: tuple[str, ...] = ("boed", "boed_retrieval", "boed_gaussian")
    others: tuple[str, ...] = UNINFORMED
    two_step: int = 0
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


EXACT = "boed.completion.classical.cubes:"

PARTS = {
    "cube": Part(
        "cube", steps=5, classifier=f"{EXACT}ExactCube", completer=f"{EXACT}ExactCube", two_step=20
    ),
    "cube_nm": Part(
        "cube_nm",
        steps=5,
        classifier=f"{EXACT}ExactCubeNM",
        completer=f"{EXACT}ExactCubeNM",
        two_step=51,
        training={"nonmyopic": {"batch": 64}, "value": {"batch": 64}},
    ),
    "breast_cancer": Part(
        "breast_cancer",
        steps=5,
        sensor={"name": "features", "costs": PRICES},
        classifier="gaussian",
        completer="gaussian",
        informed=("boed", "boed_retrieval"),
        two_step=30,
        training={"nonmyopic": {"price": 0.01}},
    ),
    "digits": Part(
        "digits",
        size=32,
        train_data="mnist_28",
        steps=4,
        sensor={"name": "patch", "grid": 9},
        completer="flow",
        others=("fixed", "centre_out", "random", "oracle"),
        two_step=4,
    ),
}
"""By name."""


def trained(
    name: str, policy: str, given: Path | None, out: Path, changes: Mapping[str, Any]
) -> Path:
    """The network of a policy: the one given, or trained now, unless it was before.

    Raises:
        ValueError: there is one of another training, such as a short one to try the command.
    """
    if given is not None:
        return given
    path = out / f"{name}-{policy}.safetensors"
    part = PARTS[name]
    sensor = {"name": part.sensor} if isinstance(part.sensor, str) else part.sensor
    recipe = Recipe(
        kind="policy",
        name=policy,
        data=part.train_data or part.data,
        size=part.size,
        sensor=dict(sensor) if sensor else None,
        classifier=part.classifier,
        training={"looks": part.steps, **part.training.get(policy, {}), **changes},
    )
    train_recipe(recipe, path, on_step=_told(f"{name}, {policy}"))
    return path


def _told(what: str) -> Any:
    began = time.monotonic()

    def told(step: int, loss: float) -> None:
        if step % 250 == 0:
            print(f"{what}: step {step}, {time.monotonic() - began:.0f} s", flush=True)

    return told


def made_of(name: str, networks: Mapping[str, Path], completions: int) -> Setup:
    """The set-up of a part with all its policies."""
    part = PARTS[name]
    learned = [f"{policy}={path}" for policy, path in networks.items()]
    if "value" in networks:
        learned.append(f"boed_value={networks['value']}")
    made = setup(
        part.data,
        size=part.size,
        sensor=part.sensor,
        classifier=part.classifier,
        completer=part.completer,
        policies=[*part.informed, *learned, *part.others],
        steps=part.steps,
        completions=completions,
    )
    boed = made.policies["boed"]
    if not part.two_step:
        return made
    assert isinstance(boed, BOED)
    ahead = TwoStep(replace(boed, search=Exhaustive()), m=part.two_step)
    return replace(made, policies={**made.policies, "two_step": ahead})


def swept(made: Setup, names: Sequence[str], *, scenes: int, out: Path) -> xr.Dataset:
    """The results of some policies, on the first of the scenes."""
    return benchmark(
        made.data,
        made.sensor,
        made.classifier,
        policies={name: made.policies[name] for name in names},
        steps=made.steps,
        scenes=scenes,
        out=out,
        primary=f"nll@{made.steps}",
        memory=made.memory,
    )


def by_scene(results: xr.Dataset, policy: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """NLL `[S, T + 1]` in nats, right or not `[S, T + 1]`, and cost `[S]`, in order of scenes."""
    own = results.sel(policy=policy).isel(seed=0).sortby("scene")
    belief, label = own["log_belief"].values, own["label"].values
    nll = -np.take_along_axis(belief, label[:, None, None], axis=2)[..., 0]
    return nll, (belief.argmax(2) == label[:, None]).astype(float), own["cost"].values.sum(1)


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


def cost_of(made: Setup, policy: Policy, scenes: int = 4) -> dict[str, float]:
    """Passes of the classifier and seconds per decision, after the first look."""
    first = made.data.scenes(slice(scenes))
    seen = acquire(first, made.sensor, policy, steps=1, classifier=made.classifier).observations[1]
    with counting(made.classifier) as passes, torch.no_grad():
        began = time.perf_counter()
        policy.choose(seen, made.sensor, 0, truth=first)
        seconds = time.perf_counter() - began
    return {"passes": passes[0] / scenes, "seconds": seconds / scenes}


def row_of(made: Setup, results: xr.Dataset, policy: str, reference: xr.Dataset) -> dict[str, Any]:
    """Figures of a policy, and how much lower its loss is than that of `boed`, paired."""
    nll, right, cost = by_scene(results, policy)
    row: dict[str, Any] = {
        "scenes": len(nll),
        "nll": resampled(nll[:, -1]),
        "accuracy": resampled(right[:, -1]),
        "nll_by_look": nll.mean(0).tolist(),
        "accuracy_by_look": right.mean(0).tolist(),
        "cost": float(cost.mean()),
        **cost_of(made, made.policies[policy]),
    }
    ours, _, _ = by_scene(reference, "boed")
    there, here = np.sort(reference["scene"].values), np.sort(results["scene"].values)
    difference = nll[np.isin(here, there), -1] - ours[np.isin(there, here), -1]
    row["nll_minus_boed"] = resampled(difference)
    of = made.policies[policy]
    if isinstance(of, OnePass):
        told = of.network.provenance
        row["training"] = {key: told.get(key) for key in ("steps", "seconds", "cpu_seconds")}
    return row


def report(part: str, made: Setup, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of a part, in Markdown."""
    lines = [
        f"**{part}**: {made.data.name} ({made.data.split}), {PARTS[part].steps} looks, judged by "
        f"{type(made.classifier).__name__}.",
        "",
        "| policy | scenes | NLL, nats | NLL less that of `boed` | accuracy | cost "
        "| passes a decision | ms a decision | training, CPU s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in sorted(rows.items(), key=lambda each: each[1]["nll"][0]):
        spent = row.get("training", {}).get("cpu_seconds")
        lines.append(
            f"| `{name}` | {row['scenes']:,} | {_bounded(row['nll'])} "
            f"| {_bounded(row['nll_minus_boed']) if name != 'boed' else '–'} "
            f"| {_bounded(row['accuracy'])} | {row['cost']:.3g} | {row['passes']:,.0f} "
            f"| {1000 * row['seconds']:.3g} | {'–' if spent is None else f'{spent:,}'} |"
        )
    return "\n".join(lines)


def _bounded(values: Sequence[float]) -> str:
    return "{:.3f} ({:.3f} to {:.3f})".format(*values)


def done(name: str, options: argparse.Namespace) -> str:
    """A part from its trainings to its table."""
    changes = {} if options.updates is None else {"steps": options.updates}
    folder = options.out / name
    folder.mkdir(parents=True, exist_ok=True)
    networks = {
        policy: trained(name, policy, getattr(options, policy), options.out, changes)
        for policy in NETWORKS
    }
    made = made_of(name, networks, options.completions)
    number = min(options.scenes, len(made.data))
    every = len(made.data) if options.all is None else max(options.all, number)
    complete = [each for each in made.policies if each in INFORMED]
    ahead = [each for each in made.policies if each == "two_step"]
    rest = [each for each in made.policies if each not in (*complete, *ahead)]
    groups = {
        "complete": (complete, number),
        "one-pass": (rest, every),
        "ahead": (ahead, min(options.ahead, number)),
    }
    results = {
        group: swept(made, names, scenes=scenes, out=folder / group)
        for group, (names, scenes) in groups.items()
        if names
    }
    rows = {
        policy: row_of(made, results[group], policy, results["complete"])
        for group in results
        for policy in groups[group][0]
    }
    found = {
        "machine": machine(),
        "part": name,
        "steps": PARTS[name].steps,
        "completions": options.completions,
        "scenes": scene_rows(len(made.data), number).tolist(),
        "networks": {
            policy: load_weights(path)[1].get("recipe") for policy, path in networks.items()
        },
        "rows": rows,
    }
    write_json(folder / "table.json", found)
    text = report(name, made, rows)
    print(text, flush=True)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="+", help=", ".join(PARTS))
    for policy in NETWORKS:
        parser.add_argument(f"--{policy}", type=Path, help="Its network, in place of training it.")
    parser.add_argument("--scenes", type=int, default=256, help="For those that complete scenes.")
    parser.add_argument("--ahead", type=int, default=64, help="Of these, for two-step look-ahead.")
    parser.add_argument("--all", type=int, help="For the others; the whole split if not given.")
    parser.add_argument("--completions", type=int, default=10)
    parser.add_argument("--updates", type=int, help="Of each training; the preset's if not given.")
    parser.add_argument("--out", type=Path, default=Path("runs/both_schools"))
    parser.add_argument("--page", type=Path, help="Whose places `both schools: PART` are filled.")
    options = parser.parse_args()
    for name in options.parts:
        check_known("parts", name, PARTS)
    if len(options.parts) > 1 and any(getattr(options, policy) for policy in NETWORKS):
        parser.error("a network is of one part: give that one alone")
    torch.manual_seed(0)
    for name in options.parts:
        text = done(name, options)
        if options.page is not None:
            fill(options.page, f"both schools: {name}", text)


if __name__ == "__main__":
    main()
