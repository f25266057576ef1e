"""How often cheaper searches choose as well as the exhaustive one, and what they save.

    python benchmarks/search.py --out docs/search

Real decisions: looks 2 and 3 of the `boed` policy on digits and chest x-rays with the shipped
models. All gains are computed once and cached; every search then looks up the ones it asks for.
A screen guesses anew from the cached completions. Settings were chosen on `--split val`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from measuring import interval
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from boed.acquire import acquire
from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig import BarberAgakov
from boed.eig.completions.beliefs import log_beliefs
from boed.eig.completions.posterior_entropy import entropy
from boed.eig.completions.problem import DesignProblem
from boed.foundation.randomness import derive
from boed.policies import BOED
from boed.search import CoarseToFine, Exhaustive, Racing, Screening, Search
from boed.search.candidates.upper_bounds import upper_bound
from boed.sensors import PatchSensor
from boed.setup import setup
from boed.zoo import Context, screen_for

DATA = {"digits": (9, 250), "kermany_pneumonia_128": (17, 125)}
"""Grid and number of scenes."""

SEARCHES: dict[str, Search] = {
    "exhaustive": Exhaustive(),
    "coarse to fine": CoarseToFine(),
    "racing": Racing(),
    "racing, t-intervals at 0.05": Racing(first=3, error=0.05),
    "racing, t-intervals at 0.5": Racing(first=3, error=0.5),
    "coarse to fine, racing": CoarseToFine(then=Racing()),
    "coarse (1/8) to fine, racing": CoarseToFine(coarse=0.125, then=Racing()),
}


class Guessed(Screening):
    """A screen whose guesses are known already."""

    def screened(self, problem: LookedUp, estimator: Known) -> Tensor:  # type: ignore[override]
        return problem.guessed


SCREENS: dict[str, Search] = {
    "screen (8)": Guessed(screen=None, keep=8, apart=0, around=0),  # type: ignore[arg-type]
    "screen (16)": Guessed(screen=None, keep=16, apart=0, around=0),  # type: ignore[arg-type]
    "screen (8), racing": Guessed(screen=None, keep=8, apart=0, around=0, then=Racing()),  # type: ignore[arg-type]
    "screen (12), refined": Guessed(screen=None),  # type: ignore[arg-type]
    "screen (12), refined, racing": Guessed(screen=None, then=Racing()),  # type: ignore[arg-type]
}
"""The last is what `--search screen` does."""

TOLERANCE = 1e-3
"""Nats by which a choice may always fall short."""


def decisions(data: str, split: str, grid: int, scenes: int, cache: Path) -> dict[str, Tensor]:
    """The gains of all candidates at looks 2 and 3, from the cache if they are there."""
    file = cache / f"{data}-{split}-{grid}.safetensors"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        save_file(computed(data, split, grid, scenes), file)
    return load_file(file)


@torch.no_grad()
def computed(data: str, split: str, grid: int, scenes: int) -> dict[str, Tensor]:
    """Situations, gains [N, B, D], weights and ceilings [N, B], and look and scene of each [B]."""
    sensor = {"name": "patch", "grid": grid}
    made = setup(
        data, sensor=sensor, split=split, policies=["boed"], completer="aipo", search="exhaustive"
    )
    boed = made.policies["boed"]
    assert isinstance(boed, BOED)
    everything = made.data.scenes()
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(0))[:scenes]
    rows: list[dict[str, Tensor]] = []
    for part in order.split(10):
        seeds = [derive(0, "scene", index) for index in part.tolist()]
        policy = replace(boed, estimator=BarberAgakov("belief"))
        run = acquire(
            everything[part], made.sensor, policy, steps=3, classifier=made.classifier, seed=seeds
        )
        for look in (1, 2):
            decision, belief = run.decisions[look], run.log_beliefs[:, look]
            drawn = decision.completions
            assert drawn is not None
            flat = drawn.scenes.flatten(0, 1)
            whole = log_beliefs(Observation.everything(flat), made.classifier)
            whole = whole.unflatten(0, drawn.weights.shape)
            score = -(drawn.weights[..., None] * whole.exp() * belief).sum((0, -1))
            seen = run.observations[look]
            row = {
                "values": seen.values,
                "mask": seen.mask,
                "completions": drawn.scenes,
                "gains": decision.gains,
                "weights": drawn.weights,
                "ceiling": entropy(belief) - entropy(whole),
                "offset": score - entropy(belief),  # so that a look that shows nothing has 0
                "look": torch.full((len(part),), look + 1),
                "scene": part,
            }
            rows.append(row)
        print(f"{data}: {len(rows) // 2 * 10} of {scenes} scenes", flush=True)
    per_completion = ("completions", "gains", "weights", "ceiling")
    found = {
        name: torch.cat([row[name] for row in rows], dim=1 if name in per_completion else 0)
        for name in rows[0]
    }
    return {**found, "designs": made.sensor.designs(run.observations[0])}


@torch.no_grad()
def guesses(data: str, grid: int, known: dict[str, Tensor], checkpoint: str) -> dict[str, Any]:
    """The EIG of every candidate as a screen guesses it [B, D], and what its pass costs."""
    made = setup(data, sensor={"name": "patch", "grid": grid}, split="val", completer="aipo")
    context = Context(made.data, made.sensor, library=made.library)
    assert isinstance(made.classifier, DenseNetClassifier)
    screen = screen_for(context, made.classifier, checkpoint)
    seen, drawn = Observation(known["values"], known["mask"]), known["completions"]
    completions = Completions(drawn, known["weights"])
    designs = made.sensor.designs(seen)
    problem = DesignProblem(
        observation=seen,
        completions=completions,
        sensor=made.sensor,
        classifier=made.classifier,
        designs=designs,
    )
    guessed = Screening(screen=screen).screened(problem, BarberAgakov("belief"))
    one, belief = seen[:1], problem.prior[:1]
    with FlopCounterMode(display=False) as ours:
        screen.log_beliefs(one, drawn[0, :1], belief, answer=belief, corners=designs[None].float())
    with FlopCounterMode(display=False) as theirs:
        made.classifier.log_probs(one)
    return {"guessed": guessed, "passes": ours.get_total_flops() / theirs.get_total_flops()}


class LookedUp:
    """Stands for `DesignProblem`: gains that are known already."""

    def __init__(self, known: dict[str, Tensor]) -> None:
        self.gains, self.ceiling, self.guessed = known["gains"], known["ceiling"], known["guessed"]
        self.designs = known["designs"].float()
        self.sensor = PatchSensor(known["mask"].shape[-1], grid=known["designs"])
        self.shape = tuple(self.gains.shape)
        self.prior = torch.zeros(self.shape[1], 1)
        self.posterior = self.gains[..., None]
        self.completions = Completions(known["completions"], known["weights"])

    def posterior_at(self, completion: Tensor, scene: Tensor, candidate: Tensor) -> Tensor:
        return self.gains[completion, scene, candidate][:, None]


class Known:
    """The estimator whose gains are what is looked up."""

    bound: ClassVar[str] = "lower"
    needs_whole_scene: ClassVar[bool] = False

    def from_log_beliefs(
        self,
        prior: Tensor,
        posterior: Tensor,
        *,
        whole_scene: None = None,
        weights: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        gains = posterior[..., 0]
        if weights is None:
            weights = torch.full(gains.shape[:2], 1 / len(gains))
        return torch.einsum("nb,nbd->bd", weights, gains), gains

    def __call__(self, problem: LookedUp) -> tuple[Tensor, Tensor]:
        return self.from_log_beliefs(
            problem.prior, problem.posterior, weights=problem.completions.weights
        )


@upper_bound.register
def _(estimator: Known, problem: LookedUp) -> Tensor:  # type: ignore[misc]
    return problem.ceiling


def measure(search: Search, known: dict[str, Tensor]) -> dict[str, Any]:
    """How good the choices of a search are, by the exhaustive EIG, and how many it needs."""
    found = search(LookedUp(known), Known())  # type: ignore[arg-type]
    eig = torch.einsum("nb,nbd->bd", known["weights"], known["gains"]) + known["offset"][:, None]
    ready = found.eig if found.finished is None else found.eig.where(found.finished, -torch.inf)
    chosen = eig.gather(1, ready.argmax(1, keepdim=True))[:, 0]
    best = eig.amax(1)
    strict = chosen >= best - 0.01 * best.abs()
    good = strict | (best - chosen <= TOLERANCE)
    total = known["gains"].numel()
    used = total if found.evaluations is None else found.evaluations
    scenes = len(known["scene"].unique())
    return {
        "decisions": len(best),
        "scenes": scenes,
        "good": float(good.float().mean()),
        "good_interval": interval(float(good.float().mean()), scenes),
        "good_without_tolerance": float(strict.float().mean()),
        "same_choice": float((chosen == best).float().mean()),
        "mean_shortfall_nats": float((best - chosen).mean()),
        "largest_shortfall_nats": float((best - chosen).max()),
        "mean_best_eig_nats": float(best.mean()),
        "evaluations": used,
        "of": total,
        "saved": 1 - used / total,
    }


def table(summary: dict[str, Any]) -> str:
    """The results as markdown."""
    lines = [
        "# Searches on real decisions",
        "",
        "A choice is good if its exhaustive EIG is at least 99 % of the best, or within "
        f"{TOLERANCE:g} nats of it (where the best EIG itself is near zero). EIG is the "
        "Barber-Agakov bound with N = 10 completions, shifted so that a look that shows nothing "
        "has 0. Looks 2 and 3 of the `boed` policy. Intervals: 95 %, Clopper-Pearson, both "
        "decisions about a scene counted as one. Settings were chosen on the val split. Of a "
        "screen (K), the K candidates of highest guess are judged exactly; refined: K that are "
        "apart, then the neighbours of the best.",
        "",
        "`python benchmarks/search.py --out docs/search` makes this table and `summary.json`.",
    ]
    for name, part in summary.items():
        first = next(iter(part["searches"].values()))
        lines += [
            "",
            f"## {name}, {part['split']} split",
            "",
            f"{first['decisions']} decisions, {first['scenes']} scenes, "
            f"{part['grid']} x {part['grid']} candidates; mean best EIG "
            f"{first['mean_best_eig_nats']:.3f} nats.",
            f"A screen's pass for each completion costs {part['screen_passes']:.1f} of the "
            f"classifier's by FLOPs, {part['screen_passes'] / part['grid'] ** 2:.1%} of all, which "
            "is not counted below.",
            "",
            "| search | good | 95 % interval | good without tolerance | mean shortfall, nats "
            "| evaluations saved |",
            "|---|---|---|---|---|---|",
        ]
        for search, row in part["searches"].items():
            low, high = row["good_interval"]
            lines.append(
                f"| {search} | {row['good']:.1%} | {low:.1%} to {high:.1%} "
                f"| {row['good_without_tolerance']:.1%} | {row['mean_shortfall_nats']:.5f} "
                f"| {row['saved']:.1%} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--scenes", type=int, help="as many as in docs/search if not given")
    parser.add_argument("--screen", default="screen", help="path of one that is not shipped")
    parser.add_argument("--cache", type=Path, default=Path("runs/search/decisions"))
    parser.add_argument("--out", type=Path, help="folder for summary.json and README.md")
    given = parser.parse_args()
    summary = {}
    for data in given.data:
        grid, scenes = DATA[data]
        known = decisions(data, given.split, grid, given.scenes or scenes, given.cache)
        found = guesses(data, grid, known, given.screen)
        summary[data] = {
            "split": given.split,
            "grid": grid,
            "completions": len(known["gains"]),
            "screen_passes": found["passes"],
            "searches": {
                name: measure(search, {**known, "guessed": found["guessed"]})
                for name, search in {**SEARCHES, **SCREENS}.items()
            },
        }
    text = table(summary)
    print(text)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
        (given.out / "README.md").write_text(text)


if __name__ == "__main__":
    main()
