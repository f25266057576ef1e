"""Completers side by side on the same scenes, masks and seeds: everything there is to measure."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.completion.completer import Completer
from boed.completion.evaluation import calibration, diversity, fidelity, labels, realism
from boed.completion.evaluation.drawing import described, drawn, grey_levels
from boed.completion.evaluation.pairs import many_pairs
from boed.completion.evaluation.perceptual import LPIPS, from_truth
from boed.completion.evaluation.plan import (
    ALL,
    Extractor,
    Plan,
    Task,
    choose_task,
    completions_each,
)
from boed.completion.log_probability import has_log_prob, log_prob, meaning
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.fingerprint import fingerprint
from boed.foundation.identity import PARTS, store_part, stored_part
from boed.foundation.memory import check_memory
from boed.foundation.randomness import derive

if TYPE_CHECKING:
    import xarray as xr

LEVELS = (0.5, 0.8, 0.9)
"""Of the central intervals."""

_PLAN_ATTRIBUTES = (
    "scenes",
    "deep",
    "n",
    "fraction",
    "diversity_scenes",
    "diversity_completions",
)
REALISM = ("frechet", "kernel", "precision", "recall", "density", "coverage")


def evaluate(
    completers: Mapping[str, Completer],
    test: Dataset,
    library: Dataset,
    *,
    extractor: Extractor,
    plan: Plan,
    perceptual: LPIPS | None = None,
    folder: Path | None = None,
    advance: Callable[[str, int], None] | None = None,
) -> xr.Dataset:
    """Everything there is to measure of some completers.

    Args:
        completers: by name; each is asked for the same completions in every seed.
        test: scenes to complete.
        library: other images of the same kind, for the floor of realism.
        extractor: describes scenes, and answers the question about them.
        plan: what is measured on how many scenes.
        perceptual: for LPIPS to the truth and among completions, which is left out without it.
        folder: where finished parts (a completer with a seed) are cached, so that an interrupted
            evaluation goes on.
        advance: called with a completer and the number of completions that it has drawn.

    Returns:
        Dimensions completer, seed, condition (number of squares seen, holes, or masks by name),
        group (the conditions, and all numbers of squares together) and scene.

    Raises:
        ValueError: too few scenes, masks that they cannot have, a completer that does not fit
            them or does not say what its `log_prob` is, or more completions than the memory limit
            has room for.
    """
    for completer in completers.values():
        if has_log_prob(completer):
            meaning(completer)
    task = choose_task(test, library, plan)
    if perceptual is not None:
        perceptual.check(task.scenes)
    pixels = task.scenes[: plan.deep].numel()
    check_memory(f"completions {plan.n}: of {plan.deep} scenes", 4 * plan.n * pixels)
    pairs = plan.diversity_completions
    check_memory(f"diversity_completions {pairs}: distances of all pairs", 4 * pairs**2)
    truth = described(extractor, task.scenes, plan.batch)
    parts: dict[tuple[str, int], dict[str, Tensor]] = {}
    for name, completer in completers.items():
        for seed in plan.seeds:
            path = None if folder is None else folder / PARTS / f"{name}-{seed}.safetensors"
            identity = None
            if path is not None:
                measures = () if perceptual is None else (perceptual,)
                what = (plan, completer, truth, task.masks, task.scenes, *measures)
                identity = fingerprint(*what)
            figures = stored_part(path, identity)
            if figures is None:
                figures = _measure(
                    completer, seed, task, extractor, truth, plan, name, advance, perceptual
                )
                store_part(path, figures, identity)
            elif advance is not None:
                advance(name, completions_each(plan))
            parts[name, seed] = figures
    results = _assembled(list(completers), parts, plan, task)
    _add_floor(results, extractor, truth, task, plan)
    results.attrs |= {
        "data": test.name,
        "split": test.split,
        "size": test.size,
        "sha256": test.sha256,
        "extractor": extractor.name,
        "log_probs": json.dumps(
            {name: asdict(meaning(each)) for name, each in completers.items() if _has_levels(each)}
        ),
        **{key: value for key, value in asdict(plan).items() if key in _PLAN_ATTRIBUTES},
    }
    return results


@torch.no_grad()
def _measure(
    completer: Completer,
    seed: int,
    task: Task,
    extractor: Extractor,
    truth: Float[Tensor, "N F"],
    plan: Plan,
    name: str,
    advance: Callable[[str, int], None] | None,
    perceptual: LPIPS | None,
) -> dict[str, Tensor]:
    """All figures of one completer with one seed."""
    by_condition: dict[str, list[Tensor]] = {}
    union: list[Tensor] = []
    seconds = 0.0
    for condition in plan.conditions:
        observation = Observation.of(task.scenes, task.masks[condition])
        seeds = [derive("evaluation", seed, condition, int(row)) for row in task.rows]
        seen = observation[: plan.deep]
        began = time.monotonic()

        def report(number: int) -> None:
            if advance is not None:
                advance(name, number)

        shared: dict[str, Any] = {"batch": plan.batch, "report": report}
        many = drawn(completer, seen, plan.n, seeds=seeds[: plan.deep], **shared)
        rest = slice(plan.deep, None)
        once = drawn(completer, observation[rest], 1, seeds=seeds[rest], **shared)
        seconds += time.monotonic() - began
        scenes = grey_levels(seen.composite(many))
        single = torch.cat([scenes[0], grey_levels(observation[rest].composite(once))[0]])
        features = described(extractor, single, plan.batch)
        figures = _realism(truth, features)
        deep = task.scenes[: plan.deep]
        figures |= _fidelity(scenes, many, deep, seen)
        figures |= _answered(scenes, task.answers[: plan.deep], extractor, plan)
        figures |= _calibration(scenes, deep, 1 - seen.mask, plan, seed)
        if perceptual is not None:
            distance, between = from_truth(perceptual, scenes, deep)
            best = fidelity.best_of(distance, higher=False)
            figures |= {"lpips": distance.mean(0), "lpips_best": best, "lpips_between": between}
        if plan.diversity_completions:
            figures |= many_pairs(
                completer,
                observation[: plan.diversity_scenes],
                plan=plan,
                extractor=extractor,
                perceptual=perceptual,
                purpose=(seed, condition),
                report=report,
            )
        figures["bits_per_dim"] = _bits(completer, deep, seen, plan)
        if condition.isdigit():
            union.append(features)
        for key, value in figures.items():
            by_condition.setdefault(key, []).append(value)
    together = _realism(truth, torch.cat(union))
    stacked = {key: torch.stack(values) for key, values in by_condition.items()}
    for key in REALISM:
        stacked[key] = torch.cat([stacked[key], together[key][None]])
    return stacked | {"seconds": torch.tensor(seconds)}


def _realism(real: Tensor, generated: Tensor) -> dict[str, Tensor]:
    clouds = realism.precision_recall(real, generated)
    values = {
        "frechet": realism.frechet_distance(real, generated),
        "kernel": realism.kernel_distance(real, generated),
        **asdict(clouds),
    }
    return {name: torch.tensor(values[name], dtype=torch.float64) for name in REALISM}


def _fidelity(
    scenes: Float[Tensor, "n D C H W"],
    drawn: Float[Tensor, "n D C H W"],
    truth: Float[Tensor, "D C H W"],
    observation: Observation,
) -> dict[str, Tensor]:
    """How near completions are to the truth: in the mean, and the best of each scene."""
    hidden = 1 - observation.mask
    distance = fidelity.l1(scenes, truth, hidden)
    relative = fidelity.relative_l1(scenes, truth), fidelity.relative_l2(scenes, truth)
    peak, structure = fidelity.psnr(scenes, truth), fidelity.ssim(scenes, truth)
    hole = fidelity.psnr(scenes, truth, hidden)
    return {
        "observed_error": fidelity.observed_error(drawn, observation),
        "l1": distance.mean(0),
        "l1_best": fidelity.best_of(distance, higher=False),
        "psnr": -10 * (10 ** (-peak / 10)).mean(0).log10(),  # of the mean squared error
        "psnr_best": fidelity.best_of(peak, higher=True),
        "decibels": fidelity.mean_decibels(scenes, truth),
        "decibels_best": fidelity.best_of(peak, higher=True),
        "psnr_hidden": -10 * (10 ** (-hole / 10)).mean(0).log10(),
        "relative_l1": relative[0].mean(0),
        "relative_l1_best": fidelity.best_of(relative[0], higher=False),
        "relative_l2": relative[1].mean(0),
        "relative_l2_best": fidelity.best_of(relative[1], higher=False),
        "squared_error": fidelity.squared_error(scenes, truth, hidden).mean(0),
        "share_within": fidelity.share_within(scenes, truth, hidden).mean(0),
        "ssim": structure.mean(0),
        "ssim_best": fidelity.best_of(structure, higher=True),
        "ssim_hidden": fidelity.ssim(scenes, truth, hidden).mean(0),
    }


def _answered(
    scenes: Float[Tensor, "n D C H W"],
    answers: Int64[Tensor, " D"],
    extractor: Extractor,
    plan: Plan,
) -> dict[str, Tensor]:
    """How much completions differ, and what they answer to the question about the scene."""
    flat = scenes.flatten(0, 1)
    features = described(extractor, flat, plan.batch).unflatten(0, scenes.shape[:2])
    log_probs = torch.cat([extractor.log_probs(some) for some in flat.split(plan.batch)])
    log_probs = log_probs.unflatten(0, scenes.shape[:2])
    posterior = labels.label_posterior(log_probs)
    calibrated = labels.label_calibration(posterior, answers)
    return {
        "feature_distance": diversity.feature_distance(features),
        "inception_score": realism.inception_score(log_probs),
        "label_nll": -posterior.clamp(min=1e-12).log().gather(1, answers[:, None])[:, 0],
        "label_correct": (posterior.argmax(1) == answers).float(),
        "label_brier": torch.tensor(calibrated["brier"]),
        "label_ece": torch.tensor(calibrated["ece"]),
        "label_ece_floor": torch.tensor(calibrated["ece_floor"]),
    }


def _calibration(
    scenes: Float[Tensor, "n D C H W"],
    truth: Float[Tensor, "D C H W"],
    hidden: Float[Tensor, "D 1 H W"],
    plan: Plan,
    seed: int,
) -> dict[str, Tensor]:
    """Whether the truth lies among its completions as one of them would."""
    generator = torch.Generator().manual_seed(derive("evaluation", "ties", seed))
    region = calibration.tarp(truth.flatten(1), scenes.flatten(2), generator)
    ranks = calibration.sbc_ranks(
        calibration.projections(truth, plan.statistics, 0),
        calibration.projections(scenes, plan.statistics, 0),
        generator,
    )
    uniform = [calibration.rank_uniformity(each, plan.n) for each in ranks.T]
    return {
        "pixel_std": diversity.pixel_std(scenes, hidden),
        "crps": calibration.crps(scenes, truth, hidden),
        "energy": calibration.energy_score(scenes, truth, hidden),
        "interval_coverage": calibration.interval_coverage(scenes, truth, hidden, levels=LEVELS),
        "sbc_rank": ranks,
        "sbc_p": torch.tensor([each.p_value for each in uniform], dtype=torch.float64),
        "sbc_shift": torch.tensor([each.shift for each in uniform]),
        "sbc_spread": torch.tensor([each.dispersion for each in uniform]),
        "tarp_p": torch.tensor(region.p_value, dtype=torch.float64),
        "tarp_bias": torch.tensor(region.bias),
        "tarp_coverage": region.coverage,
    }


def _bits(
    completer: Completer, truth: Float[Tensor, "D C H W"], observation: Observation, plan: Plan
) -> Tensor:
    """Bits of the image by its log-probability over the numbers of the whole scene, or NaN."""
    if not _has_levels(completer):
        return torch.tensor(math.nan)
    nats = []
    for start in range(0, len(truth), plan.batch):
        some = slice(start, start + plan.batch)
        nats.append(log_prob(completer, truth[some], observation[some]))
    return -torch.cat(nats).mean() / (math.log(2) * truth[0].numel())


def _has_levels(completer: Completer) -> bool:
    """Whether it has a log-probability, and of grey levels: densities have no bits."""
    return has_log_prob(completer) and meaning(completer).levels is not None


def _assembled(
    names: list[str],
    parts: Mapping[tuple[str, int], Mapping[str, Tensor]],
    plan: Plan,
    task: Task,
) -> xr.Dataset:
    """The parts as one data set with named dimensions."""
    import numpy as np
    import xarray as xr

    inner = {
        **dict.fromkeys(REALISM, ("group",)),
        **dict.fromkeys(("sbc_p", "sbc_shift", "sbc_spread"), ("condition", "statistic")),
        **dict.fromkeys(
            ("tarp_p", "tarp_bias", "label_brier", "label_ece", "label_ece_floor", "bits_per_dim"),
            ("condition",),
        ),
        **dict.fromkeys(("pair_distance", "pair_lpips"), ("condition",)),
        "tarp_coverage": ("condition", "fraction"),
        "sbc_rank": ("condition", "scene", "statistic"),
        "interval_coverage": ("condition", "level", "scene"),
        "seconds": (),
    }
    stacked = {}
    for key in parts[names[0], plan.seeds[0]]:
        values = [[parts[name, seed][key].numpy() for seed in plan.seeds] for name in names]
        dimensions = inner.get(key, ("condition", "scene"))
        stacked[key] = (("completer", "seed", *dimensions), np.array(values))
    results = xr.Dataset(
        stacked,
        coords={
            "completer": names,
            "seed": list(plan.seeds),
            "condition": list(plan.conditions),
            "group": [*plan.conditions, ALL],
            "scene": task.rows[: plan.deep].numpy(),
            "level": list(LEVELS),
            "statistic": np.arange(plan.statistics),
            "fraction": np.linspace(0, 1, plan.n + 2),
        },
    )
    results["bits_per_dim"] = results["bits_per_dim"].mean("seed")
    number = np.full((len(names), len(plan.seeds)), completions_each(plan, timed=True))
    results["completions"] = (("completer", "seed"), number)
    results["implied_level"] = (("level",), calibration.implied_levels(plan.n, LEVELS).numpy())
    return results


def _add_floor(
    results: xr.Dataset, extractor: Extractor, truth: Tensor, task: Task, plan: Plan
) -> None:
    """Real images against other real images: what no completer can be expected to go below."""
    import numpy as np

    other = described(extractor, task.other, plan.batch)
    one, together = _realism(truth, other[: plan.scenes]), _realism(truth, other)
    for key in REALISM:
        each = [float(one[key])] * len(plan.conditions) + [float(together[key])]
        results[f"{key}_floor"] = (("group",), np.array(each))
