"""The finished jobs of a run put together as its Results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from boed.benchmark.jobs import JobResult
from boed.benchmark.thumbnails import thumbnails
from boed.data.dataset import Dataset

if TYPE_CHECKING:
    import xarray as xr


def assemble(
    dataset: Dataset,
    rows: NDArray[np.int64],
    policies: list[str],
    *,
    seeds: list[int],
    table: dict[tuple[str, int], list[JobResult]],
    whole: NDArray[np.float32],
) -> xr.Dataset:
    """The Results: dimensions policy, seed, scene, look; see `boed.report.results`.

    Args:
        dataset: the scenes of the run.
        rows: their rows in the whole data set.
        policies: names, in order.
        seeds: in order.
        table: the results of each policy and seed, in the order of the scenes.
        whole: what the classifier says of the whole scenes.
    """
    import xarray as xr

    def stacked(name: str) -> NDArray[Any]:
        runs = [
            [np.concatenate([job[name] for job in table[policy, seed]]) for seed in seeds]
            for policy in policies
        ]
        return np.array(runs)

    question = ["finding", "answer"] if dataset.multi_label else ["answer"]
    label = ["scene", "finding"] if dataset.multi_label else ["scene"]
    answers = ["absent", "present"] if dataset.multi_label else list(dataset.label_names)
    seconds = [
        [sum(float(job["seconds"]) for job in table[policy, seed]) for seed in seeds]
        for policy in policies
    ]
    design, looks = stacked("design"), stacked("looks")
    if (looks < design.shape[3]).any():
        stopped = np.arange(design.shape[3]) >= looks[..., None]
        design = np.where(stopped[..., None], np.nan, design.astype(float))
    numbers = range(design.shape[-1])
    axes = ["row", "column"] if len(numbers) == 2 else [f"design_{i}" for i in numbers]
    results = xr.Dataset(
        {
            "log_belief": (["policy", "seed", "scene", "look", *question], stacked("log_belief")),
            "design": (["policy", "seed", "scene", "step", "axis"], design),
            "score": (["policy", "seed", "scene", "step"], stacked("score")),
            "winners_curse": (["policy", "seed", "scene", "step"], stacked("winners_curse")),
            "effective": (["policy", "seed", "scene", "step"], stacked("effective")),
            "cost": (["policy", "seed", "scene", "step"], stacked("cost")),
            "looks": (["policy", "seed", "scene"], looks),
            "label": (label, dataset.labels.numpy()),
            "full_image_log_belief": (["scene", *question], whole),
            "seconds": (["policy", "seed"], np.array(seconds)),
            "thumbnail": (["scene", "channel", "v", "u"], thumbnails(dataset)),
        },
        coords={
            "policy": policies,
            "seed": seeds,
            "scene": rows,
            "look": np.arange(design.shape[3] + 1),
            "step": np.arange(1, design.shape[3] + 1),
            "axis": axes,
            "answer": answers,
        },
    )
    distance = stacked("distance")
    if np.isfinite(distance).any():
        results["distance"] = (["policy", "seed", "scene", "look"], distance)
        results["distance"].attrs = {
            "long_name": "how far what was seen is from the classifier's training data, over what "
            "99 % of val scenes stay within; NaN before the first look"
        }
    if dataset.multi_label:
        results = results.assign_coords(finding=list(dataset.label_names))
    if dataset.patients is not None:
        results["patient"] = ("scene", np.asarray(dataset.patients).astype(str).astype(object))
    results["log_belief"].attrs = {"long_name": "log g(v | observation)", "units": "nats"}
    results["score"].attrs = {
        "long_name": "score of the chosen look: EIG in nats where the policy is informed by it"
    }
    results["winners_curse"].attrs = {
        "long_name": "how much too high that score is on average, since it is the highest of many "
        "estimates; NaN where unknown"
    }
    results["effective"].attrs = {
        "long_name": "effective sample size: how many equal completions those of the decision are "
        "worth; the first look's are many"
    }
    results["design"].attrs = {
        "long_name": "the look; of a patch its top-left pixel; NaN from the look on that a scene "
        "stopped before"
    }
    results["thumbnail"].attrs = {"long_name": "the scene, perhaps shrunk, for the report"}
    results["cost"].attrs = {
        "long_name": "cost of the look and of the way to it, in the sensor's unit"
    }
    results["looks"].attrs = {"long_name": "looks taken"}
    return results


def with_more(finished: xr.Dataset, added: xr.Dataset) -> xr.Dataset:
    """The Results of a run and those of policies that were added to it."""
    import xarray as xr

    each = [name for name, values in added.data_vars.items() if "policy" in values.dims]
    joined = xr.concat([finished[each], added[each]], dim="policy")
    return finished.drop_dims("policy").merge(joined)
