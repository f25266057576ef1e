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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from both_schools_page import curves, report
from both_schools_parts import PARTS
from decisions import cost_of
from inpainting import resampled
from measuring import machine
from pages import check_place, fill
from trainings import best_of

from boed.benchmark import benchmark
from boed.benchmark.sweep import scene_rows
from boed.cli.console import counted
from boed.completion.evaluation import psnr
from boed.data.observation import Observation
from boed.foundation.files import atomic, load_weights, write_json
from boed.foundation.registry import check_known
from boed.policies import BOED, Policy, TwoStep
from boed.policies.learned import NETWORKS, OnePass
from boed.policies.learned.joint import classifier_path
from boed.policies.learned.training import TRAININGS
from boed.policies.names import INFORMED
from boed.search import Exhaustive
from boed.sensors.indirect import IndirectSensor
from boed.sensors.sensor import look
from boed.setup import Setup, setup
from boed.training import Recipe
from boed.zoo import train_recipe


class Trainer:
    """Trains what a part needs that is not in its folder yet.

    Args:
        name: of the part.
        given: networks that stand in place of trained ones, by policy.
        out: the folder.
        updates: of each training, to try the command; those of the part if not given.

    Raises:
        ValueError: a folder holds the same model of another training, such as a short one.
    """

    def __init__(
        self, name: str, given: Mapping[str, Path], *, out: Path, updates: int | None
    ) -> None:
        self.name, self.part, self.given, self.out = name, PARTS[name], given, out
        self.steps = {} if updates is None else {"steps": updates}
        self.spent: dict[str, int] = {}
        """CPU seconds of each training, by what was trained."""

    def everything(self) -> tuple[str | None, dict[str, Path]]:
        """The classifier, None for the shipped one, and the network of each policy."""
        classifier = self.classifier() if self.part.updates else self.part.classifier
        networks: dict[str, Path] = {}
        for policy in NETWORKS:  # value is the first
            begin = self.part.begins.get(policy)
            init = str(networks[begin]) if begin in networks else begin
            networks[policy] = self.network(policy, classifier, init)
            if self.part.joint and policy == "value":
                classifier = str(classifier_path(networks[policy]))
        return classifier, networks

    def classifier(self) -> str:
        """One for random looks of the sensor."""
        own = self.part.training.get("classifier", {})
        training = {"steps": self.part.updates, **own, **self.steps}
        kind = self.part.kind
        return str(self._train("classifier", "classifier", architecture=kind, training=training))

    def network(self, policy: str, classifier: str | None, init: str | None = None) -> Path:
        """That of a policy for a classifier."""
        if policy in self.given:
            return self.given[policy]
        own = self.part.training.get(policy, {})
        joint = {"joint": True} if self.part.joint and policy == "value" else {}
        training = {
            "looks": self.part.steps,
            "steps": TRAININGS[policy].steps,
            **own,
            **joint,
            **self.steps,
        }
        return self._train(
            "policy", policy, name=policy, classifier=classifier, init=init, training=training
        )

    def _train(self, kind: str, what: str, **fields: Any) -> Path:
        path = self.out / f"{self.name}-{what}.safetensors"
        part = self.part
        data = part.train_data or part.data
        recipe = Recipe(kind=kind, data=data, size=part.size, sensor=part.looks, **fields)
        train_recipe(recipe, path, on_step=told(f"{self.name}, {what}"))
        self.spent[what] = load_weights(path)[1]["cpu_seconds"]
        return best_of(path)

    def before(self, policy: str) -> int:
        """CPU seconds of what a policy's network began from."""
        begin = self.part.begins.get(policy)
        if begin is None:
            return 0
        if begin in NETWORKS:
            return self.spent.get(begin, 0)
        return int(load_weights(begin)[1]["cpu_seconds"])


def told(what: str) -> Any:
    """Prints where a training is."""
    began = time.monotonic()

    def each(step: int, loss: float) -> None:
        if step % 250 == 0:
            print(f"{what}: step {step}, {time.monotonic() - began:.0f} s", flush=True)

    return each


def made_of(
    name: str, classifier: str | None, networks: Mapping[str, Path], completions: int
) -> Setup:
    """The set-up of a part with all its policies."""
    part = PARTS[name]
    learned = [f"{policy}={path}" for policy, path in networks.items()]
    if "value" in networks:
        learned.append(f"boed_value={networks['value']}")

    def put_together(completer: str | None, policies: Sequence[str]) -> Setup:
        return setup(
            part.data,
            size=part.size,
            sensor=part.looks,
            classifier=classifier,
            completer=completer,
            policies=policies,
            steps=part.steps,
            completions=completions,
        )

    made = put_together(part.completer, [*part.informed, *learned, *part.others])
    more: dict[str, Policy] = {
        f"boed_{each}": put_together(each, ["boed"]).policies["boed"] for each in part.completers
    }
    boed = made.policies["boed"]
    if part.two_step:
        assert isinstance(boed, BOED)
        more["two_step"] = TwoStep(replace(boed, search=Exhaustive()), m=part.two_step)
    return replace(made, policies={**made.policies, **more})


def swept(
    made: Setup,
    names: Iterable[str],
    *,
    steps: int,
    scenes: int,
    out: Path,
    primary: str | None = None,
) -> xr.Dataset:
    """The results of some policies, on the first of the scenes; by the last look's NLL."""
    with counted(scenes * steps, "looks") as advance:
        return benchmark(
            made.data,
            made.sensor,
            made.classifier,
            policies={name: made.policies[name] for name in names},
            steps=steps,
            scenes=scenes,
            out=out,
            primary=primary or f"nll@{steps}",
            memory=made.memory,
            on_progress=advance,
        )


def by_scene(results: xr.Dataset, policy: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """NLL `[S, T + 1]` in nats, right or not `[S, T + 1]`, and cost `[S]`, in order of scenes."""
    own = results.sel(policy=policy).isel(seed=0).sortby("scene")
    belief, label = own["log_belief"].values, own["label"].values
    nll = -np.take_along_axis(belief, label[:, None, None], axis=2)[..., 0]
    return nll, (belief.argmax(2) == label[:, None]).astype(float), own["cost"].values.sum(1)


def decibels(made: Setup, results: xr.Dataset, policy: str) -> np.ndarray:
    """PSNR of what an indirect sensor's readings show after each number of looks, `[S, T + 1]`."""
    own = results.sel(policy=policy).isel(seed=0).sortby("scene")
    scenes = made.data.scenes(torch.tensor(own["scene"].values))
    designs = torch.tensor(own["design"].transpose("scene", "step", "axis").values).float()
    observation, found = Observation.nothing_of(scenes), []
    for step in range(designs.shape[1] + 1):
        if step:
            seeds = [0] * len(scenes)
            observation = look(
                made.sensor, observation, scenes, design=designs[:, step - 1], seeds=seeds
            )
        found.append(psnr(observation.values.clamp(0, 1)[None], scenes)[0])
    return torch.stack(found, dim=1).numpy()


def row_of(
    made: Setup,
    results: xr.Dataset,
    policy: str,
    *,
    reference: xr.Dataset,
    before: int,
) -> dict[str, Any]:
    """Figures of a policy, and how much lower its loss is than that of `boed`, paired.

    `before` are the CPU seconds of what its network started from.
    """
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
    if isinstance(made.sensor, IndirectSensor):
        shown = decibels(made, results, policy)
        row |= {"psnr": resampled(shown[:, -1]), "psnr_by_look": shown.mean(0).tolist()}
    other_nll, other_right, _ = by_scene(reference, "boed")
    last = min(nll.shape[1], other_nll.shape[1]) - 1
    there, here = np.sort(reference["scene"].values), np.sort(results["scene"].values)
    own, theirs = np.isin(here, there), np.isin(there, here)
    for key, ours, other in (("nll", nll, other_nll), ("accuracy", right, other_right)):
        row[f"{key}_minus_boed"] = resampled(ours[own, last] - other[theirs, last])
    of = made.policies[policy]
    if isinstance(of, OnePass):
        header = of.network.provenance
        row["training"] = {key: header.get(key) for key in ("steps", "seconds", "cpu_seconds")}
        row["training"]["cpu_seconds"] += before
    return row


def done(name: str, options: argparse.Namespace) -> None:
    """A part from its trainings to its table."""
    folder = options.out / name
    folder.mkdir(parents=True, exist_ok=True)
    own = {policy: getattr(options, policy) for policy in NETWORKS}
    given = {policy: path for policy, path in own.items() if path is not None}
    trainer = Trainer(name, given, out=options.out, updates=options.updates)
    classifier, networks = trainer.everything()
    made, part = made_of(name, classifier, networks, options.completions), PARTS[name]
    number = min(options.scenes, len(made.data))
    every = len(made.data) if options.all is None else max(options.all, number)
    ahead = [each for each in made.policies if each == "two_step"]
    complete = [
        each
        for each in made.policies
        if each in INFORMED or each.removeprefix("boed_") in part.completers
    ]
    rest = [each for each in made.policies if each not in (*complete, *ahead)]
    fewer = part.informed_steps or part.steps
    groups = {
        "complete": (complete, number, fewer),
        "one-pass": (rest, every, part.steps),
        "ahead": (ahead, min(options.ahead, number), fewer),
    }
    results = {
        group: swept(made, names, steps=steps, scenes=scenes, out=folder / group)
        for group, (names, scenes, steps) in groups.items()
        if names
    }
    rows = {
        policy: row_of(
            made,
            results[group],
            policy,
            reference=results["complete"],
            before=trainer.before(policy),
        )
        for group in results
        for policy in groups[group][0]
    }
    found = {
        "machine": machine(),
        "part": name,
        "steps": part.steps,
        "completions": options.completions,
        "scenes": scene_rows(len(made.data), number).tolist(),
        "networks": {
            policy: load_weights(path)[1].get("recipe") for policy, path in networks.items()
        },
        "training_cpu_seconds": trainer.spent,
        "rows": rows,
    }
    write_json(folder / "table.json", found)
    text = report(name, made, rows, spent=trainer.spent)
    print(text, flush=True)
    if options.page is not None:
        pictures = options.page.with_suffix("")
        pictures.mkdir(exist_ok=True)
        with atomic(pictures / f"{name}.png") as temporary:
            curves(rows).savefig(temporary, dpi=110)
        shown = f"{text}\n\n![{name}]({pictures.name}/{name}.png)"
        fill(options.page, f"both schools: {name}", shown)


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
    if options.page is not None:
        for name in options.parts:
            check_place(options.page, f"both schools: {name}")
    for name in options.parts:
        done(name, options)


if __name__ == "__main__":
    main()
