"""Many policies on many scenes: vectorised, with common random numbers, resumable."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from boed.acquisition import Budget, acquire
from boed.eig.beliefs import log_beliefs
from boed.policies import Policy
from boed.sensors.sensor import Sensor, candidate_masks, candidates
from classifiers.classifier import Classifier
from data.dataset import Dataset
from data.files import atomic, write_json
from data.observation import Observation
from data.randomness import derive

if TYPE_CHECKING:
    import xarray as xr

BLOCK = 32
"""Scenes per saved part: at most so many are lost when a run is interrupted."""

Part = dict[str, NDArray[Any]]
_STORED = ("log_belief", "design", "score", "cost", "looks", "seconds")


def benchmark(
    dataset: Dataset,
    sensor: Sensor,
    classifier: Classifier,
    policies: Mapping[str, Policy],
    steps: int = 3,
    seeds: Sequence[int] = (0,),
    scenes: int | None = None,
    out: Path | str | None = None,
    memory: int = 512,
    attributes: Mapping[str, Any] | None = None,
    on_progress: Callable[[str, int], None] | None = None,
    device: str = "cpu",
    budget: Budget | None = None,
) -> xr.Dataset:
    """Run every policy on the same scenes with the same random numbers.

    A scene's random numbers come from (seed, scene, look) alone: all policies share them, and
    the result depends neither on the memory bound nor on where a run was interrupted.

    Args:
        dataset: the scenes and their labels.
        sensor: what a look returns.
        classifier: the belief that is scored after every look.
        policies: by name. One that says `deterministic = True` is run for the first seed only
            and its results, seconds included, stand for all.
        steps: looks per scene at most; a policy may stop earlier.
        seeds: repetitions.
        scenes: how many of the data set's scenes, a fixed random choice; all if not given.
        out: run folder; finished parts are kept there, so that the same call goes on after an
            interruption. Nothing is written if not given.
        memory: bound on the images held at once, MiB.
        attributes: what was run, kept with the results. A folder with others is refused.
        on_progress: told the policy and the scene-looks just finished, or found finished.
        device: where the scenes are put; the models must be there.
        budget: of cost for each scene, and of time for each block of scenes.

    Returns:
        The Results: dimensions policy, seed, scene, look; see `boed.results`.

    Raises:
        ValueError: more scenes asked for than there are, no policies, duplicate seeds, steps
            below 1, a classifier for other answers than the data set's, or `out` holds a run
            with other settings.
        OSError: `out` cannot be written; what was finished before is kept.
    """
    number = len(dataset) if scenes is None else scenes
    if not 1 <= number <= len(dataset):
        raise ValueError(f"scenes is {number}; {dataset.name} ({dataset.split}) has {len(dataset)}")
    if not policies:
        raise ValueError("policies is empty, expected at least one")
    seeds = [int(seed) for seed in seeds]
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds is {seeds}, expected different numbers, at least one")
    if steps < 1:
        raise ValueError(f"steps is {steps}, expected at least 1")
    rows = scene_rows(len(dataset), number)
    used = dataset.subset(rows)
    scene = used.scenes([0])
    blank = Observation.of(scene, torch.zeros_like(scene[:, :1]))
    designs = candidates(sensor, blank)
    settings = {
        **(attributes or {}),
        "data": dataset.name,
        "split": dataset.split,
        "sha256": dataset.sha256,
        "size": dataset.size,
        "steps": steps,
        "policy_names": list(policies),
        "policy_settings": {name: _described(policy) for name, policy in policies.items()},
        "sensor": _stated_sensor(sensor, designs),
        "budget": None if budget is None else dataclasses.asdict(budget),
        "seed_numbers": seeds,
        "scenes": number,
    }
    whole = _full_image(used, classifier, memory, device)  # first: it shows what does not fit
    folder = None if out is None else Path(out)
    if folder is not None:
        _claim(folder, settings)
    began = time.monotonic()
    blocks = [range(start, min(start + BLOCK, number)) for start in range(0, number, BLOCK)]
    table: dict[tuple[str, int], list[Part]] = {}
    seconds = 0.0
    for name, policy in policies.items():
        for seed in seeds:
            if getattr(policy, "deterministic", False) and seed != seeds[0]:
                table[name, seed] = table[name, seeds[0]]
                if on_progress is not None:
                    on_progress(name, number * steps)
                continue
            parts = []
            for block in blocks:
                file = f"{quote(name, safe='')}-{seed}-{block.start}.npz"
                path = folder / "parts" / file if folder else None
                part = _load_part(path, len(block), steps)
                if part is None:
                    part = _run_block(
                        used,
                        rows,
                        block,
                        sensor,
                        classifier,
                        policy,
                        steps,
                        seed,
                        memory,
                        device,
                        budget,
                    )
                    _save_part(path, part)
                seconds += float(part["seconds"])
                if on_progress is not None:
                    on_progress(name, len(block) * steps)
                parts.append(part)
            table[name, seed] = parts
    results = _assemble(used, rows, list(policies), seeds, table, whole)
    results["candidates"] = (["candidate", "axis"], designs.cpu().numpy())
    masks = candidate_masks(sensor, blank, designs).float().cpu().numpy()
    results["candidate_mask"] = (["candidate", "y", "x"], masks)
    results.attrs = {
        key: value if isinstance(value, str | int | float) else json.dumps(value)
        for key, value in settings.items()
    }
    results.attrs["seconds"] = seconds
    results.attrs["wall_seconds"] = time.monotonic() - began
    return results


def scene_rows(available: int, number: int) -> NDArray[np.int64]:
    """Which scenes `number` of a split are: a fixed random choice, since files may be sorted.

    Fewer scenes are always the first of more.
    """
    return np.random.default_rng(derive("scenes")).permutation(available)[:number]


def finish(out: Path | str) -> None:
    """Remove the parts of a run whose results have been saved."""
    shutil.rmtree(Path(out) / "parts", ignore_errors=True)


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Make `folder` the home of this run, or make sure that it already is."""
    stated = json.loads(json.dumps(settings))
    described = folder / "run.json"
    if not described.exists():
        write_json(described, stated)
        return
    try:
        there = json.loads(described.read_text())
    except ValueError as error:
        raise ValueError(
            f"out: {described} is damaged ({error}); choose another folder or remove that one"
        ) from error
    differing = sorted(k for k in stated.keys() | there.keys() if stated.get(k) != there.get(k))
    if differing:
        key = differing[0]
        raise ValueError(
            f"out: {folder} holds a run with other settings: {key} is {there.get(key)!r} there, "
            f"now {stated.get(key)!r}; choose another folder or remove that one"
        )


def _described(policy: Policy) -> dict[str, Any]:
    stated = _stated(policy)
    return stated if isinstance(stated, dict) else {"kind": stated}


def _stated(thing: object) -> Any:
    """What a policy is, as far as its class and a dataclass's fields say; not its memory bound."""
    if thing is None or isinstance(thing, str | int | float):
        return thing
    if isinstance(thing, Tensor):
        return thing.tolist()
    if isinstance(thing, tuple | list):
        return [_stated(each) for each in thing]
    kind = type(thing).__name__
    if not dataclasses.is_dataclass(thing):
        return kind
    fields = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    fields.pop("memory", None)
    return {"kind": kind, **{name: _stated(value) for name, value in fields.items()}}


def _stated_sensor(sensor: Sensor, designs: Tensor) -> dict[str, Any]:
    """What a sensor is: its class, the looks it offers and its noise."""
    return {
        "kind": type(sensor).__name__,
        "candidates": len(designs),
        "sha256": hashlib.sha256(designs.cpu().numpy().tobytes()).hexdigest()[:16],
        "noise": float(getattr(sensor, "noise", 0)),
    }


def _run_block(
    dataset: Dataset,
    rows: NDArray[np.int64],
    block: range,
    sensor: Sensor,
    classifier: Classifier,
    policy: Policy,
    steps: int,
    seed: int,
    memory: int,
    device: str,
    budget: Budget | None,
) -> Part:
    began = time.monotonic()
    trajectory = acquire(
        dataset.scenes(slice(block.start, block.stop)).to(device),
        sensor,
        policy,
        steps,
        classifier,
        seed=[derive(seed, "scene", row) for row in rows[block.start : block.stop]],
        memory=memory,
        keep=False,
        budget=budget,
    )
    return {
        "log_belief": trajectory.log_beliefs.float().cpu().numpy(),
        "design": trajectory.designs.cpu().numpy(),
        "score": trajectory.scores.float().cpu().numpy(),
        "cost": trajectory.costs.float().cpu().numpy(),
        "looks": trajectory.looks.cpu().numpy(),
        "seconds": np.array(time.monotonic() - began),
    }


def _load_part(path: Path | None, scenes: int, steps: int) -> Part | None:
    """A finished part; None if there is none, or it is damaged and has to be done again."""
    if path is None or not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            part = {name: file[name] for name in _STORED}
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, zlib.error):
        return None
    return part if part["design"].shape[:2] == (scenes, steps) else None


def _save_part(path: Path | None, part: Part) -> None:
    if path is None:
        return
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **part)  # type: ignore[arg-type]


def _full_image(
    dataset: Dataset, classifier: Classifier, memory: int, device: str
) -> NDArray[np.float32]:
    """The belief of the classifier that sees everything: the reference line."""
    parts = []
    for start in range(0, len(dataset), 256):
        scenes = dataset.scenes(slice(start, start + 256)).to(device)
        everything = Observation(scenes, torch.ones_like(scenes[:, :1]))
        with torch.no_grad():
            parts.append(log_beliefs(everything, classifier, memory).float().cpu())
    whole = torch.cat(parts).numpy()
    answers = len(dataset.label_names)
    expected = (answers, 2) if dataset.multi_label else (answers,)
    if whole.shape[1:] != expected:
        raise ValueError(
            f"classifier: {type(classifier).__name__}.log_probs returned {whole.shape[1:]} for "
            f"each scene; {dataset.name} asks for {expected}: {', '.join(dataset.label_names)}"
        )
    return whole


def _assemble(
    dataset: Dataset,
    rows: NDArray[np.int64],
    policies: list[str],
    seeds: list[int],
    table: dict[tuple[str, int], list[Part]],
    whole: NDArray[np.float32],
) -> xr.Dataset:
    import xarray as xr

    def stacked(name: str) -> NDArray[Any]:
        runs = [
            [np.concatenate([part[name] for part in table[policy, seed]]) for seed in seeds]
            for policy in policies
        ]
        return np.array(runs)

    question = ["finding", "answer"] if dataset.multi_label else ["answer"]
    label = ["scene", "finding"] if dataset.multi_label else ["scene"]
    answers = ["absent", "present"] if dataset.multi_label else list(dataset.label_names)
    seconds = [
        [sum(float(part["seconds"]) for part in table[policy, seed]) for seed in seeds]
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
            "cost": (["policy", "seed", "scene", "step"], stacked("cost")),
            "looks": (["policy", "seed", "scene"], looks),
            "label": (label, dataset.labels.numpy()),
            "full_image_log_belief": (["scene", *question], whole),
            "seconds": (["policy", "seed"], np.array(seconds)),
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
    if dataset.multi_label:
        results = results.assign_coords(finding=list(dataset.label_names))
    if dataset.patients is not None:
        results["patient"] = ("scene", np.asarray(dataset.patients).astype(str).astype(object))
    results["log_belief"].attrs = {"long_name": "log g(v | observation)", "units": "nats"}
    results["score"].attrs = {
        "long_name": "score of the chosen look: EIG in nats where the policy is informed by it"
    }
    results["design"].attrs = {
        "long_name": "the look; of a patch its top-left pixel; NaN from the look on that a scene "
        "stopped before"
    }
    results["cost"].attrs = {"long_name": "cost of the look, in the sensor's unit"}
    results["looks"].attrs = {"long_name": "looks taken"}
    return results
