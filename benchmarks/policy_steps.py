"""Training steps of deep adaptive design per second, against the published design of the loop.

    python benchmarks/policy_steps.py

Location finding A, T = 10, on one thread in fp32, in one run. The published loop (Foster et al.
2021 and its code) is restated in a few lines: each look encodes the whole history anew, and the
gradient goes through the likelihood of every contrast. Writes docs/deep_adaptive/steps.json.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyro
import torch
from torch import Tensor

from boed.deep_adaptive import DeepAdaptiveDesign, PolicyConfig, single_look, spce_loss
from boed.deep_adaptive.experiments import log_likelihood
from boed.eig.model.fused import FusedLikelihood
from boed.eig.model.pyro_model import SiteModel
from boed.eig.model.roll_outs import roll_out, roll_out_log_likelihood
from boed.foundation.files import write_json
from boed.problems.location_finding import LocationFinding

LOOKS = 10
OUT = Path(__file__).parents[1] / "docs" / "deep_adaptive" / "steps.json"


def published_loss(
    problem: SiteModel, policy: DeepAdaptiveDesign, *, batch: int, contrasts: int
) -> Tensor:
    """-sPCE with the gradient of all L + 1 terms."""
    example = torch.zeros(policy.design_dim)
    roll = roll_out(problem, policy, example, steps=LOOKS, batch=batch)
    theta = problem.draw_latents(example.expand(contrasts, 1, -1))
    others = roll_out_log_likelihood(problem, roll, theta)
    truth = roll.log_likelihood
    every = torch.cat([truth[None], others]).logsumexp(0)
    return -(truth - every + math.log(contrasts + 1)).mean()


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
    write_json(
        given.out, {"problem": f"location finding A, T = {LOOKS}", "threads": 1, "rows": rows}
    )


if __name__ == "__main__":
    main()
