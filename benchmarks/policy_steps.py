"""Training steps of deep adaptive design: their time and noise, against the published loop.

    python benchmarks/policy_steps.py

Location finding A, T = 10, on one thread in fp32, in one run. The published loop (Foster et al.
2021 and its code) is restated in a few lines: each look encodes the whole history anew, and the
gradient goes through the likelihood of every contrast. And the noise of the gradient where outcomes
are choices, of hyperbolic discounting at the shipped policy: by the score function with the mean of
the batch as its baseline, with what was gained before each look, and summed over outcomes. Writes
docs/deep_adaptive/steps.json.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyro
import torch
from measuring import machine
from torch import Tensor

from boed.deep_adaptive import (
    DeepAdaptiveDesign,
    PolicyConfig,
    PolicyTrainingConfig,
    single_look,
    spce_loss,
)
from boed.deep_adaptive.contrastive import contrastive_loss
from boed.deep_adaptive.experiments import log_likelihood, run_experiments
from boed.deep_adaptive.loss import outcome_score
from boed.eig.model.fused import FusedLikelihood
from boed.eig.model.pyro_model import SiteModel
from boed.eig.model.roll_outs import RollOut, roll_out, roll_out_log_likelihood
from boed.foundation.files import write_json
from boed.problems import HyperbolicDiscounting, LocationFinding

LOOKS = 10
OUT = Path(__file__).parents[1] / "docs" / "deep_adaptive" / "steps.json"


def published_loss(
    problem: SiteModel, policy: DeepAdaptiveDesign, *, batch: int, contrasts: int
) -> Tensor:
    """-sPCE with the gradient of all L + 1 terms."""
    example = torch.zeros(policy.design_dim)
    roll = roll_out(problem, policy, example, steps=LOOKS, batch=batch)
    return -gains_of(problem, roll, contrasts).mean()


def gains_of(problem: SiteModel, roll: RollOut, contrasts: int) -> Tensor:
    """sPCE's terms, `[B]`, with the gradient of every contrast."""
    example = torch.zeros(roll.designs.shape[-1])
    theta = problem.draw_latents(example.expand(contrasts, 1, -1))
    others = roll_out_log_likelihood(problem, roll, theta)
    every = torch.cat([roll.log_likelihood[None], others]).logsumexp(0)
    return roll.log_likelihood - every + math.log(contrasts + 1)


def scored_loss(
    problem: SiteModel, policy: DeepAdaptiveDesign, *, looks: int, batch: int, contrasts: int
) -> Tensor:
    """-sPCE of choices with the score function's gradient, and the batch's mean as its baseline."""
    roll = run_experiments(problem, policy, looks, batch=batch)
    gains = gains_of(problem, roll, contrasts)
    return -(gains + outcome_score(roll, gains.detach())).mean()


def noise_of_choices(batch: int, contrasts: int, repeats: int) -> list[dict[str, Any]]:
    """Standard deviation of the gradient, as a vector's length, and CPU time, by estimator."""
    policy = DeepAdaptiveDesign.shipped("deep-adaptive-hyperbolic-discounting-20")
    asked, looks = HyperbolicDiscounting(steepness=math.sqrt(2)), 20
    problem = single_look(asked.model, policy, "y", target=asked.target)
    sizes: dict[str, Any] = {"batch": batch, "contrasts": contrasts}
    settings = PolicyTrainingConfig(looks=looks, limit=1e9, **sizes)  # as the others: none
    losses: dict[str, Callable[[], Tensor]] = {
        "score function": partial(scored_loss, problem, policy, looks=looks, **sizes),
        "with what was gained before": partial(spce_loss, problem, policy, looks, **sizes),
        "summed over outcomes": contrastive_loss(problem, policy, looks, settings=settings),
    }
    rows: list[dict[str, Any]] = []
    for name, loss in losses.items():
        drawn = []
        began = time.process_time()
        for _ in range(repeats):
            policy.zero_grad()
            loss().backward()
            every = (each.grad for each in policy.parameters())
            drawn.append(torch.cat([each.flatten() for each in every if each is not None]))
        taken = 1e3 * (time.process_time() - began) / repeats
        noise = float(torch.stack(drawn).std(0).norm())
        share = noise / rows[0]["noise"] if rows else 1.0
        print(f"{name:28} noise {noise:8.1f}, {share:.2f} of the first, {taken:.0f} ms", flush=True)
        row = {"gradient": name, "noise": round(noise, 1), "share": round(share, 3)}
        rows.append({**sizes, **row, "milliseconds": round(taken, 1)})
    return rows


def milliseconds(loss: Callable[[], Tensor], policy: DeepAdaptiveDesign, steps: int) -> float:
    """CPU time of a loss, its gradient and an update; the first one is not counted."""
    optimiser = torch.optim.Adam(policy.parameters(), lr=1e-5)
    began = 0.0
    for step in range(steps + 1):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
        if step == 0:
            began = time.process_time()
    return 1e3 * (time.process_time() - began) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--contrasts", type=int, nargs="+", default=[1023, 4095])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=40, help="gradients whose noise is taken")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    policy = DeepAdaptiveDesign(PolicyConfig(design_dim=2, hidden=256, activation="relu"))
    problem = single_look(LocationFinding().model, policy, "y", target="theta")
    rows = []
    with pyro.validation_enabled(False):
        for contrasts in given.contrasts:
            sizes = {"batch": given.batch, "contrasts": contrasts}
            fused = FusedLikelihood(log_likelihood)
            losses: dict[str, Callable[[], Tensor]] = {
                "published": partial(published_loss, problem, policy, **sizes),
                "not compiled": partial(spce_loss, problem, policy, LOOKS, **sizes),
                "compiled": partial(spce_loss, problem, policy, LOOKS, likelihood=fused, **sizes),
            }
            taken = {name: milliseconds(loss, policy, given.steps) for name, loss in losses.items()}
            for name, each in taken.items():
                ratio = taken["published"] / each
                print(
                    f"L = {contrasts}: {name:13} {each:8.1f} ms a step, {ratio:.1f} times",
                    flush=True,
                )
                row = {"loop": name, "milliseconds": round(each, 1), "ratio": round(ratio, 2)}
                rows.append({**sizes, **row})
        noise = noise_of_choices(64, 511, given.repeats)
    write_json(
        given.out,
        {
            "machine": machine(),
            "problem": f"location finding A, T = {LOOKS}",
            "threads": 1,
            "rows": rows,
            "noise": {"problem": "hyperbolic discounting, T = 20", "rows": noise},
        },
    )


if __name__ == "__main__":
    main()
