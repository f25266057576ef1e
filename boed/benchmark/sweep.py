"""Many policies on many scenes: vectorised, with common random numbers, resumable."""

from __future__ import annotations

import dataclasses
import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from boed.acquisition import Budget
from boed.benchmark.engines import Engine, Local, named
from boed.benchmark.identity import (
    benchmark_identity,
    describe_classifier,
    describe_policy,
    describe_sensor,
)
from boed.benchmark.jobs import Job, JobResult, Jobs
from boed.benchmark.results import assemble, with_more
from boed.benchmark.storage import JobStore, saved_results
from boed.classifiers.classifier import Classifier, check_answers
from boed.classifiers.evaluation.primary import Primary
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.eig.completions.beliefs import log_beliefs
from boed.foundation.arguments import checked
from boed.foundation.checks import attribute
from boed.foundation.identity import check_claim, claim
from boed.foundation.options import COUNT, SEED, Device, RunFolder
from boed.foundation.randomness import derive
from boed.policies import Policy
from boed.policies.policy import check_is_policy
from boed.sensors.sensor import Sensor, candidate_masks, candidates, returns_readings
from boed.testing.trial import try_parts

if TYPE_CHECKING:
    import xarray as xr

GROWS = ("policies", "policy_settings")
"""What may be added to a run: those of it that are finished are not done again."""

SCENES_PER_JOB = 16
"""Each worker loses at most so many scenes when a run is interrupted."""


@checked
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
    primary: str | None = None,
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
        out: run folder; finished jobs are stored there, so that the same call goes on after an
            interruption. The results of a run that was saved there are read again, and policies
            may be added to them. Nothing is written if not given.
        memory: bound on the images held at once, MiB.
        primary: the metric and number of looks that the run is judged by, such as `accuracy@2`;
            it is recorded before the run begins.
        attributes: further words on what was run, recorded with the results.
        on_progress: called with the policy and the scene-looks just finished, or found finished.
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
            classifier for other answers than the data set's, parts that a short trial shows not to
            do what results rely on (see `boed.testing.trial`), or `out` holds another run: of other
            models, data, sensor, policies, code or settings.
        OSError: `out` cannot be written, or workers died again and again; what was finished
            before is kept.
    """
    for name, policy in policies.items():
        check_is_policy(policy, f"policies: {name!r}")
    number = len(dataset) if scenes is None else scenes
    for seed in seeds:
        SEED.check("one of seeds", seed)
    seeds = [int(seed) for seed in seeds]
    check_run(dataset, number, policies, seeds=seeds, steps=steps)
    if out is not None:
        RunFolder().check("out", out)
    if primary is not None:
        Primary.read(primary, steps=steps)
    Device().check("device", device)
    engine = named(engine) if isinstance(engine, str) else engine
    rows = scene_rows(len(dataset), number)
    used = dataset.subset(rows)
    blank = Observation.nothing_of(used.scenes([0]))
    designs = candidates(sensor, blank)
    if steps > len(designs):
        warnings.warn(
            f"steps is {steps}, but {type(sensor).__name__} has {len(designs)} candidates: the "
            "looks after them see nothing new",
            stacklevel=3,  # of who calls what is checked
        )
    settings = {
        "data": dataset.name,
        "split": dataset.split,
        "size": dataset.size,
        "scenes": number,
        "steps": steps,
        "seed_numbers": seeds,
        "primary": primary,
        "budget": None if budget is None else dataclasses.asdict(budget),
        "policy_settings": {name: describe_policy(policy) for name, policy in policies.items()},
        "sensor": describe_sensor(sensor, designs),
    }
    known = benchmark_identity(dataset, sensor, classifier, policies=policies)
    folder = None if out is None else Path(out)
    asked = describe_classifier(classifier)  # told before the identity that it is a part of
    mine = {**asked, "identity": known, "settings": settings}
    finished = None
    if folder is not None and check_claim(folder, "benchmark", mine, grows=GROWS):
        finished = saved_results(folder)
    recorded = {
        **asked,
        **settings,
        **(attributes or {}),
        "sha256": dataset.sha256,
        "identity": known,
    }
    recorded["prevalence"] = asked["prevalence"]
    recorded["direct"] = not returns_readings(sensor, (dataset.channels, *dataset.shape))
    there = [] if finished is None else finished["policy"].values.tolist()
    if on_progress is not None:
        for name in there:
            on_progress(name, number * steps * len(seeds))
    new = {name: policy for name, policy in policies.items() if name not in there}
    if finished is not None and not new:
        return _recorded(finished.sel(policy=list(policies)), recorded)
    try_parts(used.scenes(slice(0, 2)).to(device), sensor, classifier, policies=new, memory=memory)
    whole = _full_image(used, classifier, memory, device=device)  # what does not fit shows here
    if folder is not None:
        claim(folder, "benchmark", mine, grows=GROWS)
    began = time.monotonic()
    jobs = Jobs(
        dataset=used,
        rows=rows,
        sensor=sensor,
        classifier=classifier,
        policies=new,
        steps=steps,
        memory=memory,
        device=device,
        budget=budget,
    )
    results, seconds = _run_all(jobs, seeds, JobStore(folder), engine=engine, advance=on_progress)
    table = assemble(used, rows, list(new), seeds=seeds, table=results, whole=whole)
    table["candidates"] = (["candidate", "axis"], designs.cpu().numpy())
    masks = candidate_masks(sensor, blank, designs).float().cpu().numpy()
    table["candidate_mask"] = (["candidate", "y", "x"], masks)
    times = {"seconds": seconds, "wall_seconds": time.monotonic() - began}
    if finished is not None:
        times = {each: seconds + finished.attrs.get(each, 0) for each, seconds in times.items()}
        table = with_more(finished, table).sel(policy=list(policies))
    return _recorded(table, {**recorded, "engine": str(engine), **times})


def _recorded(results: xr.Dataset, attributes: Mapping[str, Any]) -> xr.Dataset:
    """Results with what was run as attributes, as text or numbers."""
    results.attrs |= {
        key: value if isinstance(value, str | int | float) else json.dumps(value)
        for key, value in attributes.items()
    }
    return results


def scene_rows(available: int, number: int) -> NDArray[np.int64]:
    """Which scenes `number` of a split are: a fixed random choice, since files may be sorted.

    Fewer scenes are always the first of more.
    """
    return np.random.default_rng(derive("scenes")).permutation(available)[:number]


def check_run(
    dataset: Dataset,
    number: int,
    policies: Mapping[str, Policy],
    *,
    seeds: Sequence[int],
    steps: int,
) -> None:
    """Refuse a run that is not one.

    Args:
        dataset, policies, seeds, steps: see `benchmark`.
        number: of scenes.

    Raises:
        ValueError: more scenes than there are, no policies, duplicate seeds, steps below 1, or
            scenes of a single class.
    """
    dataset.check_question()
    if not 1 <= number <= len(dataset):
        raise ValueError(f"scenes is {number}; {dataset.name} ({dataset.split}) has {len(dataset)}")
    if not policies:
        raise ValueError("policies is empty, expected at least one")
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds is {seeds}, expected different numbers, at least one")
    COUNT.check("steps", steps)


def _run_all(
    jobs: Jobs,
    seeds: list[int],
    store: JobStore,
    *,
    engine: Engine,
    advance: Callable[[str, int], None] | None,
) -> tuple[dict[tuple[str, int], list[JobResult]], float]:
    """The results of each policy and seed in the order of the scenes, and the seconds they took.

    A policy that knows no chance is run for the first seed, which stands for all.
    """
    number = len(jobs.rows)
    parts = [
        range(start, min(start + SCENES_PER_JOB, number))
        for start in range(0, number, SCENES_PER_JOB)
    ]
    drawn = {
        name: seeds[:1] if attribute(policy, "deterministic", False) else seeds
        for name, policy in jobs.policies.items()
    }
    todo = [Job(name, seed, part) for name in drawn for seed in drawn[name] for part in parts]

    def progress(job: Job) -> None:
        if advance is not None:
            alike = len(seeds) // len(drawn[job.policy])
            advance(job.policy, len(job.scenes) * jobs.steps * alike)

    done = _results_of(jobs, todo, store, engine=engine, progress=progress)
    table = {
        (name, seed): [
            done[Job(name, seed if seed in drawn[name] else seeds[0], part)] for part in parts
        ]
        for name in jobs.policies
        for seed in seeds
    }
    return table, sum(float(result["seconds"]) for result in done.values())


def _results_of(
    jobs: Jobs,
    todo: list[Job],
    store: JobStore,
    *,
    engine: Engine,
    progress: Callable[[Job], None],
) -> dict[Job, JobResult]:
    """The results of all jobs: those stored before, then the others as they are finished."""
    done: dict[Job, JobResult] = {}
    for job in todo:
        if (result := store.load(job, jobs.steps)) is not None:
            done[job] = result
            progress(job)
    left = [job for job in todo if job not in done]
    if not left:
        return done
    if not isinstance(engine, Local):
        jobs = jobs.to_send({job.policy for job in left})
    with closing(engine.run(jobs, left, jobs.device)) as finished:
        for job, result in finished:
            store.save(job, result)
            done[job] = result
            progress(job)
    return done


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
    check_answers(whole.shape[1:], dataset, classifier)
    return whole
