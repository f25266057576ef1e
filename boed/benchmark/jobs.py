"""The jobs that a benchmark is made of: some scenes under one policy with one seed."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from boed.acquire import acquire
from boed.acquisition import Budget
from boed.classifiers.classifier import Classifier
from boed.classifiers.evaluation.out_of_distribution import knows_looks, relative_distance
from boed.classifiers.trained import TrainedClassifier
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.randomness import derive
from boed.policies import Policy
from boed.policies.policy import decide
from boed.sensors.sensor import Sensor

JobResult = dict[str, NDArray[Any]]
"""What came out of one job: `ARRAYS` by name."""

ARRAYS = (
    "log_belief", "design", "score", "winners_curse", "effective", "cost", "looks", "distance",
    "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """Some scenes, in the order of the run, under one policy with one seed."""

    policy: str
    seed: int
    scenes: range


@dataclass(frozen=True, eq=False, kw_only=True)
class Jobs:
    """Everything that any job of a run needs; calling it does one.

    Attributes:
        dataset: the scenes of the run.
        rows: their rows in the whole data set, to which their random numbers belong.
        policies: by name.
    """

    dataset: Dataset
    rows: NDArray[np.int64]
    sensor: Sensor
    classifier: Classifier
    policies: Mapping[str, Policy]
    steps: int
    memory: int
    device: str
    budget: Budget | None

    def __call__(self, job: Job) -> JobResult:
        began = time.monotonic()
        where = slice(job.scenes.start, job.scenes.stop)
        trajectory = acquire(
            self.dataset.scenes(where).to(self.device),
            self.sensor,
            self.policies[job.policy],
            steps=self.steps,
            classifier=self.classifier,
            seed=[derive(job.seed, "scene", row) for row in self.rows[where]],
            memory=self.memory,
            keep=False,
            budget=self.budget,
        )
        return {
            "log_belief": trajectory.log_beliefs.float().cpu().numpy(),
            "design": trajectory.designs.cpu().numpy(),
            "score": trajectory.scores.float().cpu().numpy(),
            "winners_curse": trajectory.winners_curses.float().cpu().numpy(),
            "effective": trajectory.effective_sample_sizes.float().cpu().numpy(),
            "cost": trajectory.costs.float().cpu().numpy(),
            "looks": trajectory.looks.cpu().numpy(),
            "distance": self._distances(trajectory.observations),
            "seconds": np.array(time.monotonic() - began),
        }

    def _distances(self, observations: list[Observation]) -> NDArray[np.float32]:
        """How far what was seen is from the training data, `[B, T + 1]`; NaN where unknown."""
        judge = self.classifier
        if not (isinstance(judge, TrainedClassifier) and knows_looks(judge)):
            return np.full((len(observations[0]), len(observations)), np.nan, np.float32)
        far = [relative_distance(judge, each) for each in observations]
        return torch.stack(far, 1).float().numpy()

    @torch.no_grad()
    def to_send(self, names: Collection[str]) -> Jobs:
        """This with only some of the policies, each asked where it looks first.

        What a policy keeps of that for all scenes then goes to the workers with it, rather than
        being found by each of them.
        """
        policies = {name: each for name, each in self.policies.items() if name in names}
        scene = self.dataset.scenes([0]).to(self.device)
        blank = Observation.nothing_of(scene)
        for policy in policies.values():
            decide(policy, blank, self.sensor, seeds=[derive("to send")], truth=scene)
        return replace(self, policies=policies)
