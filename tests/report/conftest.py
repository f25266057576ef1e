"""Made-up Results and examples whose properties are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

QUALITY = {"boed": 1.6, "boed-entropy": 1.2, "random": 0.5, "oracle": 2.5}
"""How fast a made-up policy learns."""


def patches(size: int, patch: int, grid: int) -> tuple[np.ndarray, np.ndarray]:
    """Top-left pixels `[D, 2]` and masks `[D, size, size]` of a grid of patches."""
    places = np.round(np.linspace(0, size - patch, grid)).astype(int)
    candidates = np.stack(np.meshgrid(places, places, indexing="ij"), -1).reshape(-1, 2)
    masks = np.zeros((len(candidates), size, size))
    for mask, (row, column) in zip(masks, candidates, strict=True):
        mask[row : row + patch, column : column + patch] = 1
    return candidates, masks


def make_results(
    policies: tuple[str, ...] = ("boed", "random"),
    seeds: int = 2,
    scenes: int = 120,
    looks: int = 3,
    answers: int = 3,
    findings: int = 0,
    size: int = 32,
    patch: int = 8,
    rng_seed: int = 0,
) -> xr.Dataset:
    """Results in which a policy's belief in the truth grows with its quality and the looks."""
    rng = np.random.default_rng(rng_seed)
    question = (findings, answers) if findings else (answers,)
    label = rng.integers(answers, size=(scenes, *question[:-1]))
    truth = np.eye(answers)[label]
    noise = rng.normal(size=(seeds, scenes, 1, *question))

    def believed(strength: Any) -> np.ndarray:
        logits = strength * (truth[None, :, None] + 0.8 * noise)
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))

    steps = np.arange(looks + 1).reshape(1, 1, -1, *[1] * len(question))
    belief = [believed(steps * QUALITY.get(name, 0.8 + 0.1 * i)) for i, name in enumerate(policies)]
    candidates, masks = patches(size, patch, 5)
    chosen = rng.integers(len(candidates), size=(len(policies), seeds, scenes, looks))
    design = candidates[chosen]
    pictures = rng.integers(256, size=(scenes, 1, 8, 8), dtype=np.uint8)
    asked = ["finding", "answer"] if findings else ["answer"]
    results = xr.Dataset(
        {
            "log_belief": (
                ["policy", "seed", "scene", "look", *asked],
                np.array(belief, np.float32),
            ),
            "label": (["scene", *asked[:-1]], label.astype(np.int64)),
            "design": (["policy", "seed", "scene", "step", "axis"], design.astype(np.int32)),
            "score": (
                ["policy", "seed", "scene", "step"],
                np.full(design.shape[:-1], np.nan, np.float32),
            ),
            "cost": (["policy", "seed", "scene", "step"], np.full(chosen.shape, 0.0625)),
            "looks": (["policy", "seed", "scene"], np.full(chosen.shape[:-1], looks)),
            "candidates": (["candidate", "axis"], candidates),
            "candidate_mask": (["candidate", "y", "x"], masks),
            "full_image_log_belief": (["scene", *asked], believed(8.0)[0, :, 0].astype("float32")),
            "seconds": (["policy", "seed"], np.full((len(policies), seeds), 12.5)),
            "thumbnail": (["scene", "channel", "v", "u"], pictures),
        },
        coords={
            "policy": list(policies),
            "seed": np.arange(seeds),
            "scene": np.arange(scenes),
            "look": np.arange(looks + 1),
            "step": np.arange(1, looks + 1),
            "axis": ["row", "column"],
            "answer": [f"answer {k}" for k in range(answers)],
        },
        attrs={
            "data": "made-up",
            "split": "test",
            "sha256": "0123456789abcdef" * 4,
            "size": size,
            "sensor": json.dumps({"kind": "PatchSensor", "candidates": 25, "noise": 0.0}),
            "primary": f"accuracy@{min(looks, 2)}",
            "baseline": "random" if "random" in policies else "",
            "completions": 10,
            "first_completions": 100,
            "question": "which answer",
            "policies": json.dumps({name: f"what {name} does" for name in policies}),
            "checkpoints": json.dumps({"classifier": {"name": "tiny", "steps": 100}}),
            "versions": json.dumps({"torch": "2.13.0", "numpy": "2.0"}),
            "command": "boed benchmark --data made-up",
            "started": "2026-01-02T03:04:05",
            "seconds": 75.0,
        },
    )
    if findings:
        results = results.assign_coords(finding=[f"finding {k}" for k in range(findings)])
    return results


def make_examples(
    number: int = 1,
    looks: int = 2,
    size: int = 32,
    patch: int = 8,
    grid: int = 7,
    findings: int = 0,
) -> xr.Dataset:
    """Worked scenes: a bright blob, noisy completions of it, and an EIG map with one peak."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:size, :size]
    scene = np.exp(-((y - size / 2) ** 2 + (x - size / 3) ** 2) / (size / 5) ** 2)
    scenes = np.repeat(scene[None, None], number, 0)
    candidates, masks = patches(size, patch, grid)
    chosen = rng.integers(len(candidates), size=(number, looks))
    design = candidates[chosen]
    mask = np.zeros((number, looks + 1, size, size))
    for example, step in np.ndindex(number, looks):
        row, column = design[example, step]
        mask[example, step + 1 :, row : row + patch, column : column + patch] = 1
    samples = scene + 0.2 * rng.normal(size=(number, looks, 6, 1, size, size))
    middle = (candidates - (size - patch) / 2) / size
    gain = 1 - 6 * (middle**2).sum(-1) + 0.4 * rng.normal(size=(number, looks, 6, len(candidates)))
    answers = ["absent", "present"] if findings else ["zero", "one", "two", "three"]
    asked = ["finding", "answer"] if findings else ["answer"]
    shape = (number, looks + 1, findings) if findings else (number, looks + 1)
    belief = np.log(rng.dirichlet(np.ones(len(answers)), size=shape))
    label = np.zeros((number, findings) if findings else number, int)
    made = xr.Dataset(
        {
            "scene": (["example", "channel", "y", "x"], scenes),
            "values": (
                ["example", "look", "channel", "y", "x"],
                (mask * scene)[:, :, None],
            ),
            "mask": (["example", "look", "y", "x"], mask),
            "completions": (
                ["example", "step", "completion", "channel", "y", "x"],
                samples.clip(0, 1),
            ),
            "gain": (["example", "step", "completion", "candidate"], gain),
            "eig": (["example", "step", "candidate"], gain.mean(2)),
            "candidates": (["candidate", "axis"], candidates),
            "candidate_mask": (["candidate", "y", "x"], masks),
            "design": (["example", "step", "axis"], design),
            "chosen": (["example", "step"], chosen),
            "log_belief": (["example", "look", *asked], belief),
            "label": (["example", *asked[:-1]], label),
        },
        coords={"answer": answers},
        attrs={"policy": "boed"},
    )
    return (
        made.assign_coords(finding=[f"finding {k}" for k in range(findings)]) if findings else made
    )


@pytest.fixture
def results() -> Callable[..., xr.Dataset]:
    """See `make_results`."""
    return make_results


@pytest.fixture
def examples() -> Callable[..., xr.Dataset]:
    """See `make_examples`."""
    return make_examples
