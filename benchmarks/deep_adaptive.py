"""Train a deep adaptive design on location finding A, T = 10, and compare it with others.

    python benchmarks/deep_adaptive.py --minutes 40

Trains the policy and the best fixed design on one thread (or goes on where it was interrupted, or
takes the finished weights), evaluates both and random designs by sPCE and sNMC, and writes
docs/deep_adaptive/summary.json and docs/deep_adaptive/curve.png. Remove the weights to train anew.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from boed.deep_adaptive import (
    DeepAdaptiveDesign,
    PolicyConfig,
    PolicyTrainingConfig,
    StaticDesign,
    single_look,
    train_policy,
)
from boed.eig.model.sequential import (
    RollOut,
    SequencePolicy,
    random_policy,
    roll_out,
    sequential_pce,
)
from boed.foundation.files import atomic, write_json
from boed.foundation.randomness import derive
from boed.problems.location_finding import LocationFinding
from boed.report.figures import COLOURS

LOOKS = 10
PROBLEM = LocationFinding()
ADAPTIVE = PolicyTrainingConfig(
    steps=3000, batch=256, contrasts=1023, lr=4e-4, looks=LOOKS, every=250
)
FIXED = replace(ADAPTIVE, steps=400, lr=2e-2, every=100)
COMMAND = "python benchmarks/deep_adaptive.py --minutes 40"
ABOUT = {"problem": f"{PROBLEM.name}, T = {LOOKS}", "command": COMMAND, "loss": "sPCE"}
ROOT = Path(__file__).parents[1]
EXAMPLE = torch.zeros(PROBLEM.dimensions)


def adaptive(out: Path, settings: PolicyTrainingConfig) -> DeepAdaptiveDesign:
    """The trained policy: from its finished weights, or by training."""
    if out.exists() and not out.with_suffix(".training.safetensors").exists():
        return DeepAdaptiveDesign.load(out)
    torch.manual_seed(derive(settings.seed, "weights"))
    policy = DeepAdaptiveDesign(PolicyConfig(design_dim=PROBLEM.dimensions, hidden=256))
    return train_policy(PROBLEM.model, policy, settings, out=out, provenance=ABOUT, on_step=_shown)


def fixed(out: Path, settings: PolicyTrainingConfig) -> StaticDesign:
    """The best non-adaptive design: from its finished weights, or by training."""
    if out.exists() and not out.with_suffix(".training.safetensors").exists():
        return StaticDesign.load(out)
    torch.manual_seed(derive(settings.seed, "designs"))
    policy = StaticDesign(torch.randn(LOOKS, PROBLEM.dimensions))
    return train_policy(PROBLEM.model, policy, settings, out=out, provenance=ABOUT, on_step=_shown)


def _shown(step: int, loss: float) -> None:
    if step % 500 == 0:
        print(f"step {step}: sPCE {-loss:.2f} on one batch", flush=True)


def evaluated(policy: SequencePolicy, samples: int, contrasts: int, seed: int) -> dict[str, Any]:
    """Both bounds in nats, with standard errors."""
    began = time.monotonic()
    found = sequential_pce(
        PROBLEM.model,
        policy,
        LOOKS,
        samples=samples,
        contrasts=contrasts,
        example=EXAMPLE,
        seed=seed,
    )
    return {
        "spce": found.lower,
        "spce_standard_error": found.lower_error,
        "snmc": found.upper,
        "snmc_standard_error": found.upper_error,
        "seconds": round(time.monotonic() - began, 1),
    }


def trained(policy: DeepAdaptiveDesign | StaticDesign) -> dict[str, Any]:
    """How long training took and what it reached on the way."""
    told = policy.provenance
    each = told["seconds"] / told["steps"] / 60
    return {
        "updates": told["steps"],
        "minutes": round(told["seconds"] / 60, 1),
        "settings": told["fit"],
        "history_contrasts": 4 * told["fit"]["contrasts"] + 3,
        "history": [
            {
                "minutes": round(row["step"] * each, 2),
                "spce": row["val_spce"],
                "spce_standard_error": row["val_spce_se"],
            }
            for row in told["history"]
        ],
    }


def figure(summary: dict[str, Any], roll: RollOut) -> Figure:
    """sPCE while training, and where the policy looks in four experiments."""
    drawn = Figure(figsize=(11, 5.6), layout="constrained")
    left, right = drawn.subfigures(1, 2, width_ratios=(1, 1), squeeze=False)[0]
    _curve(left.subplots(), summary)
    panels = right.subplots(2, 2, sharex=True, sharey=True)
    for index, axis in enumerate(panels.ravel()):
        _trajectory(axis, roll.latents["theta"][index], roll.designs[index])
    right.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    right.suptitle("where it looks in four experiments; the numbers are the order", fontsize=10)
    return drawn


def _curve(axis: Axes, summary: dict[str, Any]) -> None:
    training = summary["policies"]["deep adaptive"]["training"]
    minutes, spce, error = (
        np.array([row[key] for row in training["history"]])
        for key in ("minutes", "spce", "spce_standard_error")
    )
    low, high = spce - 1.96 * error, spce + 1.96 * error
    axis.fill_between(minutes, low, high, color=COLOURS[0], alpha=0.2, lw=0)
    label = f"deep adaptive, training (L = {training['history_contrasts']:,})"
    axis.plot(minutes, spce, color=COLOURS[0], marker="o", ms=4, label=label)
    for (name, found), colour in zip(summary["policies"].items(), COLOURS, strict=False):
        label = f"{name}: {found['spce']:.2f} ± {found['spce_standard_error']:.2f}"
        axis.axhline(found["spce"], color=colour, ls="--", lw=1.3, label=label)
    axis.set(xlabel="minutes of training on one thread", ylabel="sPCE of 10 looks (nats)")
    axis.set_title(f"dashed: evaluated with L = {summary['contrasts']:,}", fontsize=10)
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0.0, -0.14), ncols=2)
    axis.grid(alpha=0.25)


def _trajectory(axis: Axes, sources: Tensor, designs: Tensor) -> None:
    x, y = designs.numpy().T
    axis.plot(x, y, color=COLOURS[6], lw=0.7, alpha=0.6)
    axis.scatter(x, y, color=COLOURS[0], s=70, zorder=3, label="look")
    for number, place in enumerate(zip(x, y, strict=True), start=1):
        axis.annotate(str(number), place, ha="center", va="center", fontsize=6.5, color="white")
    x, y = sources.numpy().T
    axis.scatter(x, y, marker="*", s=170, color=COLOURS[1], zorder=4, label="source")
    axis.set(xlim=(-2.4, 2.4), ylim=(-2.4, 2.4), aspect="equal")
    axis.grid(alpha=0.25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=40.0, help="of training, at most")
    parser.add_argument("--samples", type=int, default=1000, help="experiments per evaluation")
    parser.add_argument("--contrasts", type=int, default=100_000, help="L of the evaluation")
    parser.add_argument("--seed", type=int, default=0, help="of the evaluation")
    parser.add_argument("--weights", type=Path, default=ROOT / "policies")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "deep_adaptive")
    given = parser.parse_args()
    torch.set_num_threads(1)

    policy = adaptive(
        given.weights / f"deep-adaptive-location-finding-{LOOKS}" / "weights.safetensors",
        replace(ADAPTIVE, minutes=0.9 * given.minutes),
    )
    unmoved = fixed(
        given.weights / f"fixed-location-finding-{LOOKS}" / "weights.safetensors",
        replace(FIXED, minutes=0.1 * given.minutes),
    )
    rules: dict[str, SequencePolicy] = {
        "deep adaptive": policy,
        "fixed": unmoved,
        "random": random_policy(lambda batch: torch.randn(batch, PROBLEM.dimensions)),
    }
    summary: dict[str, Any] = {
        "problem": ABOUT["problem"],
        "command": COMMAND,
        "samples": given.samples,
        "contrasts": given.contrasts,
        "seed": given.seed,
        "policies": {},
    }
    for name, rule in rules.items():
        found = evaluated(rule, given.samples, given.contrasts, given.seed)
        print(
            f"{name:14} sPCE {found['spce']:.3f} ± {found['spce_standard_error']:.3f}   "
            f"sNMC {found['snmc']:.3f} ± {found['snmc_standard_error']:.3f}",
            flush=True,
        )
        summary["policies"][name] = found
    summary["policies"]["deep adaptive"]["training"] = trained(policy)
    summary["policies"]["fixed"]["training"] = trained(unmoved)
    summary["policies"]["fixed"]["designs"] = unmoved.designs.tolist()
    write_json(given.out / "summary.json", summary)

    torch.manual_seed(derive(given.seed, "shown"))
    with torch.no_grad():
        problem = single_look(PROBLEM.model, policy, "y", target="theta")
        shown = figure(summary, roll_out(problem, policy, EXAMPLE, steps=LOOKS, batch=4))
    with atomic(given.out / "curve.png") as temporary:
        shown.savefig(temporary, dpi=110, format="png")


if __name__ == "__main__":
    main()
