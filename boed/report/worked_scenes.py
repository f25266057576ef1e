"""A few scenes worked through look by look, for the panels of Fig. 6."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.acquire import Trajectory, acquire
from boed.benchmark.sweep import scene_rows
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.randomness import derive
from boed.policies import BOED, Decision, Policy
from boed.policies.stopping import with_inner
from boed.search import Exhaustive, Racing
from boed.sensors.sensor import Sensor, candidate_masks

if TYPE_CHECKING:
    import xarray as xr

    from boed.setup import Setup

SHOWN = 5
"""Completions shown for each look."""


def worked_scenes(
    setup: Setup, seed: int = 0, count: int = 4, *, results: xr.Dataset | None = None
) -> xr.Dataset | None:
    """Some scenes of a set-up under its first BOED policy; None if it has none.

    The seeds are those of the benchmark, so the panels show what was measured.

    Args:
        setup: what was run.
        seed: of the run.
        count: of scenes.
        results: of the run: half of the scenes are then those of which it knew least in the end.
            The first ones if not given.
    """
    name, policy = next(
        ((name, each) for name, each in setup.policies.items() if isinstance(each, BOED)),
        ("", None),
    )
    if policy is None:
        return None
    data = setup.data
    rows, cases = scene_rows(len(data), min(count, len(data))), ["first"] * min(count, len(data))
    if results is not None:
        known = results.sel(policy=name, seed=seed)
        chosen, cases = successes_and_failures(known, count)
        rows = known["scene"].values[chosen]
    scenes = data.scenes(torch.from_numpy(rows)).to(setup.device)
    trajectory = acquire(
        scenes,
        setup.sensor,
        with_whole_maps(policy),
        steps=setup.steps,
        classifier=setup.classifier,
        seed=[derive(seed, "scene", row) for row in rows],
    )
    panels = describe(trajectory, scenes, data.labels[rows], sensor=setup.sensor)
    panels["row"] = ("example", rows)
    panels["case"] = ("example", np.array(cases, dtype=object))
    return named_answers(panels, data).assign_attrs(policy=name)


def successes_and_failures(results: xr.Dataset, count: int) -> tuple[list[int], list[str]]:
    """Scenes to show: the first that ended well, then those with the least belief in the truth.

    Args:
        results: of one policy and seed.
        count: how many; half of them failures, where there are so many scenes.

    Returns:
        Their numbers in the results, and of each whether it is a success, a failure (the likeliest
        answer is wrong, or is wrong for a finding) or, where nothing failed, unsure.
    """
    question = [each for each in ("finding",) if each in results.sizes]
    beliefs = results["log_belief"].isel(look=-1).transpose("scene", *question, "answer").values
    labels = results["label"].transpose("scene", *question).values
    picked = np.take_along_axis(beliefs, labels[..., None], -1)[..., 0].reshape(len(labels), -1)
    right = (beliefs.argmax(-1) == labels).reshape(len(labels), -1).all(1)
    order = np.argsort(picked.mean(1), kind="stable").tolist()
    worst = order[: min(count // 2, len(order) - 1)]
    better = set(order[len(order) // 2 :])
    rest = [i for i in range(len(order)) if i not in worst]
    good = [i for i in rest if right[i]] or [i for i in rest if i in better]
    chosen = [*good[: count - len(worst)], *worst]
    told = ["success"] * (len(chosen) - len(worst))
    return chosen, told + ["unsure" if right[i] else "failure" for i in worst]


def negative_share(panels: xr.Dataset) -> float | None:
    """The share of candidates whose EIG is below 0, of all that would read something new.

    No EIG is: it is the error of an estimate from few completions (Harvey et al. 2021, App. C).
    None where there are no maps.
    """
    maps = panels["eig"].values
    there = np.isfinite(maps) & (maps != 0)
    return float((maps[there] < 0).mean()) if there.any() else None


def named_answers(panels: xr.Dataset, data: Dataset) -> xr.Dataset:
    """With the names of the answers, and of the findings where there are several."""
    if not data.multi_label:
        return panels.assign_coords(answer=list(data.label_names))
    return panels.assign_coords(answer=["absent", "present"], finding=list(data.label_names))


def with_whole_maps(policy: Policy) -> Policy:
    """The policy, with an EIG for every candidate where its search makes the exhaustive choice."""

    def whole(inner: Policy) -> Policy:
        if isinstance(inner, BOED) and isinstance(inner.search, Racing):
            return replace(inner, search=Exhaustive())
        return inner

    return with_inner(policy, whole)


def describe(
    trajectory: Trajectory,
    scenes: Float[Tensor, "B C H W"],
    labels: Int64[Tensor, "B *L"] | None,
    *,
    sensor: Sensor,
) -> xr.Dataset:
    """What a policy saw, imagined and chose on each scene, as labelled arrays.

    Of a policy that draws no completions there are none, and NaN stands for gains and scores that
    a policy does not have.

    Raises:
        ValueError: decisions that were not kept, or scenes that stopped early.
    """
    import xarray as xr

    taken = int(trajectory.looks.min())  # the last decision may have been to stop
    decisions = trajectory.decisions[:taken]
    if not decisions or any(len(each.designs) < len(scenes) for each in decisions):
        raise ValueError(
            f"trajectory keeps {[len(each.designs) for each in decisions]} decisions, expected "
            f"{len(scenes)} for every look: panels show scenes that did not stop early"
        )
    number = min(SHOWN, *(len(_completions(d, scenes)) for d in decisions))

    def array(tensors: list[Tensor]) -> np.ndarray:
        return torch.stack(tensors, dim=1).cpu().numpy()

    completions = [_completions(d, scenes)[:number].transpose(0, 1) for d in decisions]
    gains = [_gains(d, number).transpose(0, 1) for d in decisions]
    maps = [_scores(d) for d in decisions]
    seen, looks = trajectory.observations[: taken + 1], decisions[0].candidates
    masks = candidate_masks(sensor, seen[0], looks)
    answer = ["finding", "answer"] if trajectory.log_beliefs.ndim == 4 else ["answer"]
    found = xr.Dataset(
        {
            "scene": (["example", "channel", "y", "x"], scenes.cpu().numpy()),
            "values": (["example", "look", "channel", "y", "x"], array([o.values for o in seen])),
            "mask": (["example", "look", "y", "x"], array([_visible(o) for o in seen])),
            "completions": (
                ["example", "step", "completion", "channel", "y", "x"],
                array(completions),
            ),
            "gain": (["example", "step", "completion", "candidate"], array(gains)),
            "eig": (["example", "step", "candidate"], array(maps)),
            "candidates": (["candidate", "axis"], looks.cpu().numpy()),
            "candidate_mask": (["candidate", "y", "x"], masks.cpu().numpy()),
            "design": (["example", "step", "axis"], trajectory.designs[:, :taken].cpu().numpy()),
            "chosen": (["example", "step"], array([d.chosen for d in decisions])),
            "log_belief": (
                ["example", "look", *answer],
                trajectory.log_beliefs[:, : taken + 1].cpu().numpy(),
            ),
        }
    )
    if labels is not None:
        found["label"] = (["example", *answer[:-1]], labels.cpu().numpy())
    return found


def _completions(decision: Decision, scenes: Tensor) -> Float[Tensor, "N B C H W"]:
    drawn = decision.completions
    return scenes.new_zeros(0, *scenes.shape) if drawn is None else drawn.scenes


def _scores(decision: Decision) -> Float[Tensor, "B D"]:
    shape = (len(decision.designs), len(decision.candidates))
    return torch.full(shape, torch.nan) if decision.scores is None else decision.scores


def _gains(decision: Decision, number: int) -> Float[Tensor, "N B D"]:
    if decision.gains is not None:
        return decision.gains[:number]
    return torch.full((number, len(decision.designs), len(decision.candidates)), torch.nan)


def _visible(observation: Observation) -> Float[Tensor, "B H W"]:
    """Where the values show something: of readings, everywhere once there are any."""
    if observation.taken is None:
        return observation.mask[:, 0]
    return observation.taken.amax(1)[:, None, None].expand_as(observation.mask[:, 0])
