"""Many policies on many scenes: vectorised, with common random numbers, resumable."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from boed.acquire import Budget
from boed.benchmark.engines import Engine, Local, named
from boed.benchmark.identity import stated_policy, stated_sensor
from boed.benchmark.jobs import Block, Part, Work
from boed.benchmark.results import assemble
from boed.benchmark.storage import Parts
from boed.classifiers.classifier import Classifier
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.eig.completions.beliefs import log_beliefs
from boed.foundation.randomness import derive
from boed.policies import Policy
from boed.sensors.sensor import Sensor, candidate_masks, candidates

if TYPE_CHECKING:
    import xarray as xr

BLOCK = 16
"""Scenes per saved part: each worker loses at most so many when a run is interrupted."""


def benchmark(
    dataset: Dataset,
    sensor: Sensor,
    classifier: Classifier,
    *,
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
    engine: Engine | str = "local",
) -> xr.Dataset:
    """Run every policy on the same scenes with the same random numbers.

    A scene's random numbers come from (seed, scene, look) alone: all policies share them, and
    the result depends neither on the memory bound, nor on the engine, nor on where a run was
    interrupted; what was begun with one engine may go on with another.

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
        engine: where the blocks of scenes are done: `local`, `processes`, `ray`, or one of
            `boed.benchmark.engines` with its settings. Files are written here, and progress is
            told here.

    Returns:
        The Results: dimensions policy, seed, scene, look; see `boed.report.results`.

    Raises:
        ValueError: more scenes asked for than there are, no policies, duplicate seeds, steps
            below 1, an unknown engine or one that the models and policies cannot be sent with, a
            classifier for other answers than the data set's, or `out` holds a run with other
            settings.
        OSError: `out` cannot be written, or workers died again and again; what was finished
            before is kept.
    """
    number = len(dataset) if scenes is None else scenes
    seeds = [int(seed) for seed in seeds]
    _check(dataset, number, policies, seeds, steps)
    engine = named(engine) if isinstance(engine, str) else engine
    rows = scene_rows(len(dataset), number)
    used = dataset.subset(rows)
    work = Work(
        dataset=used,
        rows=rows,
        sensor=sensor,
        classifier=classifier,
        policies=dict(policies),
        steps=steps,
        memory=memory,
        device=device,
        budget=budget,
    )
    scene = used.scenes([0])
    blank = Observation.nothing_of(scene)
    designs = candidates(sensor, blank)
    settings = {
        **(attributes or {}),
        "data": dataset.name,
        "split": dataset.split,
        "sha256": dataset.sha256,
        "size": dataset.size,
        "steps": steps,
        "policy_names": list(policies),
        "policy_settings": {name: stated_policy(policy) for name, policy in policies.items()},
        "sensor": stated_sensor(sensor, designs),
        "budget": None if budget is None else dataclasses.asdict(budget),
        "seed_numbers": seeds,
        "scenes": number,
    }
    whole = _full_image(used, classifier, memory, device)  # first: it shows what does not fit
    kept = Parts(None if out is None else Path(out))
    kept.claim(settings)
    began = time.monotonic()
    drawn = {name: _seeds_that_matter(policy, seeds) for name, policy in policies.items()}
    blocks = [range(start, min(start + BLOCK, number)) for start in range(0, number, BLOCK)]
    jobs = [Block(name, seed, each) for name in drawn for seed in drawn[name] for each in blocks]

    def told(job: Block) -> None:
        if on_progress is not None:
            alike = len(seeds) // len(drawn[job.policy])
            on_progress(job.policy, len(job.scenes) * steps * alike)

    parts = _done(work, jobs, kept, engine, told)
    table = {
        (name, seed): [
            parts[Block(name, seed if seed in drawn[name] else seeds[0], each)] for each in blocks
        ]
        for name in policies
        for seed in seeds
    }
    results = assemble(used, rows, list(policies), seeds=seeds, table=table, whole=whole)
    results["candidates"] = (["candidate", "axis"], designs.cpu().numpy())
    masks = candidate_masks(sensor, blank, designs).float().cpu().numpy()
    results["candidate_mask"] = (["candidate", "y", "x"], masks)
    results.attrs = {
        key: value if isinstance(value, str | int | float) else json.dumps(value)
        for key, value in settings.items()
    }
    results.attrs["engine"] = str(engine)
    results.attrs["seconds"] = sum(float(part["seconds"]) for part in parts.values())
    results.attrs["wall_seconds"] = time.monotonic() - began
    return results


def scene_rows(available: int, number: int) -> NDArray[np.int64]:
    """Which scenes `number` of a split are: a fixed random choice, since files may be sorted.

    Fewer scenes are always the first of more.
    """
    return np.random.default_rng(derive("scenes")).permutation(available)[:number]


def _check(
    dataset: Dataset, number: int, policies: Mapping[str, Policy], seeds: list[int], steps: int
) -> None:
    if not 1 <= number <= len(dataset):
        raise ValueError(f"scenes is {number}; {dataset.name} ({dataset.split}) has {len(dataset)}")
    if not policies:
        raise ValueError("policies is empty, expected at least one")
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds is {seeds}, expected different numbers, at least one")
    if steps < 1:
        raise ValueError(f"steps is {steps}, expected at least 1")


def _seeds_that_matter(policy: Policy, seeds: list[int]) -> list[int]:
    """The first alone for a policy that knows no chance."""
    return seeds[:1] if getattr(policy, "deterministic", False) else seeds


def _done(
    work: Work, jobs: list[Block], kept: Parts, engine: Engine, told: Callable[[Block], None]
) -> dict[Block, Part]:
    """The parts of all jobs: those kept from before, then the others as they are finished."""
    parts: dict[Block, Part] = {}
    for job in jobs:
        if (part := kept.load(job, work.steps)) is not None:
            parts[job] = part
            told(job)
    left = [job for job in jobs if job not in parts]
    if not left:
        return parts
    if not isinstance(engine, Local):
        work = work.to_send({job.policy for job in left})
    with closing(engine.run(work, left, work.device)) as finished:
        for job, part in finished:
            kept.save(job, part)
            parts[job] = part
            told(job)
    return parts


def _full_image(
    dataset: Dataset, classifier: Classifier, memory: int, device: str
) -> NDArray[np.float32]:
    """The belief of the classifier that sees everything: the reference line."""
    parts = []
    for start in range(0, len(dataset), 256):
        scenes = dataset.scenes(slice(start, start + 256)).to(device)
        everything = Observation.everything(scenes)
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
