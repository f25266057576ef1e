"""What two processes do together: `python train_on_ranks.py FOLDER` starts both.

Each leaves what it saw in FOLDER/rank0.pt and FOLDER/rank1.pt.
"""

from __future__ import annotations

import csv
import math
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from boed.deep_adaptive import architecture_for, train_design_policy
from boed.problems.names import problem_named
from boed.training.config import PolicyTrainingConfig, TrainingConfig
from boed.training.loop import fit

ALONE = TrainingConfig(
    steps=12, batch=8, lr=0.05, warmup=3, ema=0.9, every=4, clip=0.5, precision="fp32"
)
TWO = replace(ALONE, devices=2)
TURNS = replace(TWO, weight_decay=0.5, rates={"critic": 0.5})
IMAGES = torch.randn(12, 8, 2, 7, 7, generator=torch.Generator().manual_seed(1))


def network(seed=0, norm=True):
    torch.manual_seed(seed)
    middle = nn.BatchNorm2d(6) if norm else nn.Identity()
    model = nn.Sequential(nn.Conv2d(2, 6, 3), middle, nn.GELU(), nn.Conv2d(6, 3, 3), nn.Flatten())
    model.register_buffer("constant", torch.tensor([0.1, 0.7]))
    return model.to(memory_format=torch.channels_last)


def copied(model):
    return {name: each.detach().clone() for name, each in model.state_dict().items()}


def same_rows(settings):
    """The same images for one process as for two, of which each takes every other."""
    model = network(norm=False)
    part = slice(settings.ranks().rank, None, settings.devices)

    def loss(step):
        return (model(IMAGES[step, part]) - 1).square().mean()

    return fit(model, loss, settings)[0]


def random_rows(settings, folder=None, spoilt=None, seed=0):
    """Training on random batches; at the step `spoilt` the second rank's images are NaN."""
    model, drawn, reported, validated, weights = network(seed), [], [], [], []

    def loss(step):
        images = torch.randn(settings.share, 2, 7, 7)
        drawn.append(float(images.sum()))
        weights.append(copied(model))
        if step == spoilt and settings.ranks().rank == 1:
            images = images * math.nan
        return (model(images) - 1).square().mean()

    def validate(current):
        validated.append(settings.ranks().rank)
        return {"norm": float(sum(p.abs().sum() for p in current.parameters()))}

    state = None if folder is None else folder / "state.safetensors"
    end, progress = fit(
        model,
        loss,
        settings,
        state=state,
        validate=validate,
        merit="norm",
        on_step=lambda *each: reported.append(each),
    )
    return {
        "end": end, "weights": weights, "drawn": drawn, "reported": reported,
        "validated": validated, "history": progress.history, "best": progress.best,
        "skipped": progress.skipped, "step": progress.step,
    }  # fmt: skip


class Pair(nn.Module):
    """A generator and its critic, which take turns."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.generator, self.critic = nn.Linear(3, 2), nn.Linear(2, 1)


def in_turns(settings, state=None, seed=0):
    """Two critic steps, then one of the generator; only the second rank's share moves the bias."""
    model, weights = Pair(seed), []

    def loss(step):
        weights.append(copied(model))
        made = model.generator(torch.randn(settings.share, 3))
        if step % 3 < 2:
            return model.critic(made.detach()).mean()
        if settings.ranks().rank == 0:
            made = nn.functional.linear(torch.randn(settings.share, 3), model.generator.weight)
        weight, bias = model.critic.weight.detach(), model.critic.bias.detach()
        return nn.functional.linear(made, weight, bias).square().mean()

    end, progress = fit(model, loss, settings, state=state)
    return {"weights": weights, "end": end, "step": progress.step}


def turns_in_parts(folder):
    """Stopped after every update, in the middle of each cycle, too."""
    short = replace(TURNS, minutes=1e-9)
    return [in_turns(short, folder / "turns.safetensors", seed=part) for part in range(12)][-1]


def in_parts(folder):
    """Stopped by the clock after every update, and gone on with from the state by both."""
    short = replace(TWO, minutes=1e-9)
    ends = [random_rows(short, folder, seed=part) for part in range(12)]
    assert [each["step"] for each in ends] == list(range(1, 13))
    return ends[-1]


def policies(folder):
    """Policies for a Pyro model: one by gradients of designs, one by reinforcement in groups."""
    problem = problem_named("linear_gaussian")
    settings = PolicyTrainingConfig(
        steps=4, batch=16, contrasts=15, looks=2, watched=4, every=2, devices=2
    )
    trained = {}
    for method, changes in (("dad", {}), ("rl", {"at_once": 2, "budget": 1.5})):
        policy = train_design_policy(
            problem, method, settings=replace(settings, **changes),
            architecture=architecture_for(problem, hidden=8, embedding=4),
            out=folder / f"{method}.safetensors",
        )  # fmt: skip
        trained[method] = copied(policy.network)
    return trained


def refusal(settings, path):
    try:
        fit(network(), lambda step: None, settings, state=path)
    except ValueError as error:
        return str(error)
    return "accepted"


if __name__ == "__main__":
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    rank = TWO.ranks().rank
    seen = {
        "alone": same_rows(ALONE),
        "together": same_rows(TWO),
        "whole": random_rows(TWO, seed=rank),  # other weights at first: the first rank's count
        "parts": in_parts(out),
        "turns": in_turns(TURNS, seed=rank),
        "turns in parts": turns_in_parts(out),
        "spoilt": random_rows(TWO, spoilt=5),
        "policies": policies(out),
        "other number": refusal(ALONE, out / "state.safetensors"),
    }
    TWO.ranks().wait()
    missing = out / "state.safetensors" if rank == 0 else out / "elsewhere.safetensors"
    seen["not shared"] = refusal(TWO, missing)
    with open(out / "state.curve.csv", newline="") as file:
        seen["curve"] = [row["step"] for row in csv.DictReader(file)]
    torch.save(seen, out / f"rank{rank}.pt")
