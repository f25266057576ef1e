"""Which lines to look at, by zea's greedy selection and by ours, from the same particles.

Scenes are Gaussian fields of 128 x 128 pixels whose columns vary unequally, so that the posterior
after any columns is known: particles are exact draws from it, and what a choice is worth, the part
of the scene's variance that the chosen columns explain, is computed, not estimated.

The criteria differ. zea sums over a line's pixels the entropy of each pixel's own mixture of
particles (Nolan et al. 2024); it counts a line's pixels as independent. `PredictiveEntropy` takes
the mixture of whole lines, as the reading is one: with little noise and few particles it is ln N
for every line, and then tells nothing. Noise of 1 is zea's default and used for both; there both
follow the particles' variance, which `Variance` is.

zea can choose several lines together: it multiplies the entropies of the two lines on either side
of one chosen by fixed factors. Ours as offered judges one look: together it takes the best lines
of one map, or, by hand, the joint entropy of the lines' readings (greedy on unions of footprints).
After every look come new particles, so that the usual case is one line at a time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig.completions.estimate import estimate
from boed.eig.completions.estimators import Estimator, PredictiveEntropy, Variance
from boed.eig.completions.problem import DesignProblem
from boed.foundation.randomness import derive
from boed.sensors import Lines

SIDE, PARTICLES, LOOKS, SIGMA = 128, 16, 10, 1.0
WORKER = Path(__file__).with_name("zea_worker.py")
SENSOR = Lines(SIDE, "column")

Choose = Callable[[Tensor, Observation, int], tuple[list[int], float]]
"""Lines chosen from particles `[N, H, W]`, and the processor seconds that it took."""


@dataclass
class Choices:
    """One chooser's rows: what its lines explain, and processor seconds per call."""

    name: str
    single: list[float] = field(default_factory=list)
    """Part of the variance explained by `LOOKS` lines one at a time, per scene."""
    together: list[float] = field(default_factory=list)
    """The same for lines chosen together."""
    seconds: list[float] = field(default_factory=list)
    """Per line, one at a time."""
    seconds_together: list[float] = field(default_factory=list)
    """Of choosing all lines together."""
    first: list[int] = field(default_factory=list)
    """The first line, per scene."""

    def __str__(self) -> str:
        def mean(values: list[float]) -> str:
            if not values:
                return "-"
            error = np.std(values, ddof=1) / len(values) ** 0.5
            return f"{np.mean(values):.3f} ± {error:.3f}"

        def median(values: list[float]) -> str:
            return f"{1e3 * statistics.median(values):.1f}" if values else "-"

        return (
            f"| {self.name} | {median(self.seconds)} | {mean(self.single)} "
            f"| {median(self.seconds_together)} | {mean(self.together)} |"
        )


@dataclass
class Comparison:
    """All choosers, and what there is to say of them."""

    rows: list[Choices]
    notes: list[str]

    def __str__(self) -> str:
        head = (
            f"Choice of lines, {SIDE} x {SIDE} pixels, {PARTICLES} particles, {SIDE} columns\n"
            f"| chooser | ms per line | explained by {LOOKS} | ms for {LOOKS} together "
            "| explained by them |\n|---|---|---|---|---|"
        )
        return "\n".join([head, *map(str, self.rows), "", *self.notes])


class Field:
    """A Gaussian field with separable covariance; columns far from three centres vary little."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        x = torch.arange(SIDE).double()
        smooth = torch.exp(-0.5 * ((x[:, None] - x) / 4) ** 2) + 1e-6 * torch.eye(SIDE)
        centres = SIDE * torch.rand(3, generator=self.generator).double()
        scale = 0.05 + torch.exp(-0.5 * ((x - centres[:, None]) / 12) ** 2).sum(0)
        self.columns = 0.15**2 * scale[:, None] * smooth * scale
        self.rows = torch.linalg.cholesky(smooth)
        self.scene = 0.5 + self._draw(1, self.columns)[0]

    def _draw(self, number: int, columns: Tensor) -> Tensor:
        noise = torch.randn(number, SIDE, SIDE, generator=self.generator, dtype=torch.float64)
        values, vectors = torch.linalg.eigh(columns)
        return self.rows @ noise @ (vectors * values.clamp(min=0).sqrt()).T

    def particles(self, seen: list[int]) -> Tensor:
        """Exact posterior draws given some columns of the scene, `[N, H, W]`."""
        drawn = self._draw(PARTICLES, self._left(seen))
        mean = torch.full_like(self.scene, 0.5)
        if seen:
            mean = mean + (self.scene[:, seen] - 0.5) @ self._gain(seen)
        return (mean + drawn).float()

    def explained(self, seen: list[int]) -> float:
        """Part of the variance of the scene that goes when these columns are seen."""
        return float(1 - self._left(seen).trace() / self.columns.trace())

    def _gain(self, seen: list[int]) -> Tensor:
        inside = self.columns[seen][:, seen] + 1e-9 * torch.eye(len(seen))
        return torch.linalg.solve(inside, self.columns[seen])

    def _left(self, seen: list[int]) -> Tensor:
        return self.columns - self.columns[:, seen] @ self._gain(seen)


class NoQuestion:
    """The criteria here are about the scene; nobody asks the classifier."""

    def log_probs(self, observation: Observation) -> Tensor:
        raise NotImplementedError


def problem(particles: Tensor, observation: Observation) -> DesignProblem:
    """The particles as completions of the scene."""
    weights = torch.full((len(particles), 1), 1 / len(particles))
    completions = Completions(particles[:, None, None], weights)
    return DesignProblem(
        observation=observation,
        completions=completions,
        sensor=SENSOR,
        classifier=NoQuestion(),
        designs=SENSOR.designs(observation),
    )


def best_of_map(estimator: Estimator) -> Choose:
    """The best lines of one map."""

    def choose(particles: Tensor, observation: Observation, looks: int) -> tuple[list[int], float]:
        began = time.process_time()
        eig = estimate(problem(particles, observation), estimator).eig[0]
        lines = eig.topk(looks).indices.tolist()
        return lines, time.process_time() - began

    return choose


def greedy_union(estimator: Estimator) -> Choose:
    """Line after line by what all chosen so far would read together."""

    def choose(particles: Tensor, observation: Observation, looks: int) -> tuple[list[int], float]:
        began = time.process_time()
        footprints = problem(particles, observation).footprints
        lines: list[int] = []
        taken = torch.zeros_like(footprints[0])
        for _ in range(looks):
            now = problem(particles, observation)
            vars(now)["footprints"] = torch.maximum(footprints, taken)
            eig = estimate(now, estimator).eig[0]
            eig[lines] = -torch.inf
            lines.append(int(eig.argmax()))
            taken = torch.maximum(taken, footprints[lines[-1]])
        return lines, time.process_time() - began

    return choose


class Zea:
    """A zea process on one backend."""

    def __init__(self, python: str, backend: str) -> None:
        environment = {**os.environ, "KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [python, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        self._folder = tempfile.TemporaryDirectory()
        line = self._process.stdout.readline() if self._process.stdout else ""
        self.about: dict[str, str] | None = json.loads(line) if line else None

    def __call__(
        self, particles: Tensor, observation: Observation, looks: int
    ) -> tuple[list[int], float]:
        path = Path(self._folder.name) / "particles.npy"
        np.save(path, particles.numpy())
        request = {"particles": str(path), "looks": looks, "sigma": SIGMA}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found["lines"], found["seconds"]

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()


def compare(python: str, scenes: int, seed: int) -> Comparison:
    """Every chooser on every scene, alternating."""
    entropy = PredictiveEntropy(SIGMA)
    choosers: dict[str, tuple[Choose, Choose]] = {
        "ours, predictive entropy": (best_of_map(entropy), greedy_union(entropy)),
        "ours, variance": (best_of_map(Variance()), best_of_map(Variance())),
    }
    notes, workers = [], []
    for backend in ("torch", "jax"):
        worker = Zea(python, backend)
        workers.append(worker)
        if worker.about is None:
            notes.append(f"zea on {backend}: not installed in {python}")
            continue
        name = f"zea {worker.about['zea']}, {backend}{' jit' if backend == 'jax' else ''}"
        choosers[name] = (worker, worker)
    rows = {name: Choices(name) for name in choosers}
    references = {"equally spaced": Choices("equally spaced"), "best known": Choices("best known")}
    blank = Observation.nothing(1, 1, SIDE)
    for choose, together in choosers.values():
        particles = Field(derive(seed, "warm")).particles([])
        choose(particles, blank, 1), together(particles, blank, LOOKS)
    ranks = []
    for scene in range(scenes):
        start = Field(derive(seed, "lines", scene))
        particles = start.particles([])
        ranks.append(_rank_agreement(particles, blank))
        for name, (_, together) in choosers.items():
            lines, seconds = together(particles, blank, LOOKS)
            rows[name].seconds_together.append(seconds)
            rows[name].together.append(start.explained(lines))
        seen: dict[str, list[int]] = {name: [] for name in choosers}
        for _ in range(LOOKS):
            for name, (choose, _) in choosers.items():
                one_line(start, choose, rows[name], seen[name])
        for name, lines in seen.items():
            rows[name].single.append(start.explained(lines))
            rows[name].first.append(lines[0])
        for name, lines in (("equally spaced", _spaced()), ("best known", _best_known(start))):
            references[name].together.append(start.explained(lines))
    for worker in workers:
        worker.close()
    notes += _agreement(rows, ranks)
    return Comparison([*rows.values(), *references.values()], notes)


def one_line(scene: Field, choose: Choose, row: Choices, seen: list[int]) -> None:
    """Another line for the scene, from particles that know those seen; all choosers' are alike."""
    scene.generator.manual_seed(derive(len(seen), "particles"))
    observation = Observation.nothing(1, 1, SIDE)
    if seen:
        mask = torch.zeros(1, 1, SIDE, SIDE)
        mask[..., seen] = 1
        observation = Observation(scene.scene.float()[None, None] * mask, mask)
    lines, seconds = choose(scene.particles(seen), observation, 1)
    seen += lines
    row.seconds.append(seconds)


def _rank_agreement(particles: Tensor, blank: Observation) -> float:
    """Spearman's correlation of the two criteria over the lines, zea's as printed."""
    ours = estimate(problem(particles, blank), PredictiveEntropy(SIGMA)).eig[0]
    near = torch.exp(-((particles[:, None] - particles) ** 2) / (2 * SIGMA**2))
    theirs = -near.mean(0).log().mean(0).sum(0)
    return float(spearmanr(ours, theirs).statistic)


def _agreement(rows: dict[str, Choices], ranks: list[float]) -> list[str]:
    """How far the first line is the same."""
    notes = [
        "rank correlation of our predictive entropy with zea's over the lines: "
        f"{np.mean(ranks):.3f} (least {min(ranks):.3f})"
    ]
    own = [name for name in rows if name.startswith("ours")]
    for name in rows:
        for ours in own if name.startswith("zea") else ():
            pairs = list(zip(rows[name].first, rows[ours].first, strict=True))
            same = sum(a == b for a, b in pairs)
            near = sum(abs(a - b) <= 2 for a, b in pairs)
            time_ratio = statistics.median(rows[name].seconds) / statistics.median(
                rows[ours].seconds
            )
            notes.append(
                f"{name} and {ours}: same first line in {same} of {len(pairs)} scenes, "
                f"at most 2 apart in {near}; zea's time per line is {time_ratio:.1f} times ours"
            )
    return notes


def _spaced() -> list[int]:
    """Lines in the middles of equal parts."""
    return [int((k + 0.5) * SIDE / LOOKS) for k in range(LOOKS)]


def _best_known(scene: Field) -> list[int]:
    """Greedily by the true covariance."""
    lines: list[int] = []
    for _ in range(LOOKS):
        others = [line for line in range(SIDE) if line not in lines]
        lines.append(max(others, key=lambda line: scene.explained([*lines, line])))
    return lines
