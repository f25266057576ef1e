"""What the single and the vectorised environment share: looks, spaces and rewards of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.eig.completions.beliefs import log_beliefs
from boed.environments.loss import CrossEntropy, Loss
from boed.foundation.checks import at_least
from boed.policies.policy import Decision, rows_of
from boed.sensors.sensor import Sensor, candidates, costs, look

LEAST = float(np.log(np.finfo(np.float32).tiny))
"""Log-probability, in nats, that stands for zero: predictions stay finite."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Episodes:
    """Episodes under way at a batch of scenes.

    Attributes:
        rows: which scenes of the data set.
        seeds: of the sensor's noise, one for each scene.
        scene: the whole scenes, which the agent does not see.
        target: their labels, `[B]`, or findings `[B, L]`.
        observation: what was seen so far.
        looks: how many looks were taken.
        prediction: the classifier's log-beliefs now, `[B, P]`, if there is a classifier.
    """

    rows: list[int]
    seeds: list[int]
    scene: Float[Tensor, "B C H W"]
    target: NDArray
    observation: Observation
    looks: int
    prediction: NDArray | None


class Task:
    """Scenes to be recognised with few looks. Arguments and errors as in `SensingEnv`."""

    def __init__(
        self,
        dataset: Dataset,
        sensor: Sensor,
        looks: int,
        *,
        classifier: Classifier | None,
        loss: str | Loss,
        cost_weight: float,
        continuous: bool,
        device: torch.device | str,
    ) -> None:
        if len(dataset) == 0:
            raise ValueError(f"dataset {dataset.name} ({dataset.split}) has no scenes")
        at_least(1, looks=looks)
        if not 0 <= cost_weight < float("inf"):
            raise ValueError(f"cost_weight is {cost_weight}, expected a number of 0 or more")
        if isinstance(loss, str) and loss != "cross_entropy":
            raise ValueError(f"loss is {loss!r}, expected 'cross_entropy' or a function")
        self.dataset, self.sensor, self.looks = dataset, sensor, looks
        self.classifier, self.cost_weight = classifier, cost_weight
        self.device = torch.device(device)
        self.loss = CrossEntropy(dataset.multi_label) if isinstance(loss, str) else loss
        self.candidates = candidates(sensor, self._nothing(1))
        self.bounds = _bounds(sensor, self.candidates) if continuous else None
        self.question = dataset.question
        self._make_spaces()

    def begin(self, rows: Sequence[int], seeds: Sequence[int]) -> Episodes:
        """Nothing seen yet of the scenes `rows`.

        Raises:
            ValueError: a row that the data set does not have.
        """
        for row in rows:
            if not 0 <= row < len(self.dataset):
                raise ValueError(
                    f"options['scene'] is {row}, expected 0..{len(self.dataset) - 1}, a scene of "
                    f"{self.dataset.name} ({self.dataset.split})"
                )
        scene = self.dataset.scenes(list(rows)).to(self.device)
        target = self.dataset.labels[list(rows)].numpy()
        blank = self._nothing(len(rows))
        prediction = self._believed(blank)
        return Episodes(
            rows=list(rows),
            seeds=list(seeds),
            scene=scene,
            target=target,
            observation=blank,
            looks=0,
            prediction=prediction,
        )

    @torch.no_grad()
    def after(self, now: Episodes, actions: NDArray) -> tuple[Episodes, NDArray]:
        """The episodes after one look each, and the base reward of the look, `[B]`.

        Raises:
            ValueError: actions outside the action space, or a sensor or classifier that does not
                keep to its protocol.
        """
        design = self.designs(actions, len(now.rows))
        seen = look(self.sensor, now.observation, now.scene, design=design, seeds=now.seeds)
        cost = costs(self.sensor, design, before=now.observation).double().cpu().numpy()
        base = 0.0 - self.cost_weight * cost
        prediction = self._believed(seen)
        return replace(now, observation=seen, looks=now.looks + 1, prediction=prediction), base

    def designs(self, actions: NDArray, batch: int) -> Float[Tensor, "B K"]:
        """The looks that actions stand for.

        Raises:
            ValueError: actions outside the action space.
        """
        if self.bounds is None:
            last = len(self.candidates) - 1
            if actions.shape != (batch,) or not np.issubdtype(actions.dtype, np.integer):
                raise ValueError(
                    f"action must be the index of a candidate look for each of {batch} scenes, "
                    f"got {actions.dtype} of shape {actions.shape}"
                )
            if actions.min() < 0 or actions.max() > last:
                outside = actions[(actions < 0) | (actions > last)][0]
                raise ValueError(f"action is {outside}, expected a candidate look, 0..{last}")
            return self.candidates[torch.as_tensor(actions, dtype=torch.int64).to(self.device)]
        low, high = self.bounds
        if actions.shape != (batch, len(low)):
            raise ValueError(
                f"action must be {len(low)} numbers for each of {batch} scenes, "
                f"got shape {actions.shape}"
            )
        if not (np.abs(actions) <= 1).all():
            outside = actions[~(np.abs(actions) <= 1)][0]
            raise ValueError(f"action has {outside}, expected numbers within [-1, 1]")
        unit = (torch.as_tensor(actions, dtype=torch.float32).to(self.device) + 1) / 2
        return torch.lerp(low.expand_as(unit), high.expand_as(unit), unit).clamp(low, high)

    def actions(self, decision: Decision) -> NDArray:
        """The actions that stand for the chosen looks: the inverse of `designs`.

        Raises:
            ValueError: a look that is none of the candidates, where the actions are their indices.
        """
        designs = decision.designs.to(self.device)
        if self.bounds is not None:
            low, high = self.bounds
            unit = (designs - low) / (high - low).clamp(min=torch.finfo(low.dtype).tiny)
            return (2 * unit - 1).clamp(-1, 1).float().cpu().numpy()
        offered = decision.candidates.to(self.candidates)
        same = torch.equal(offered, self.candidates)  # a fixed scan has candidates of its own
        index = decision.chosen if same else rows_of(designs, self.candidates)
        if (index < 0).any():
            missing = designs[index.to(designs.device) < 0][0].tolist()
            raise ValueError(f"design {missing} is none of the environment's candidates")
        return index.cpu().numpy()

    def losses(self, prediction: NDArray, target: NDArray) -> NDArray:
        """The loss of each row's prediction.

        Raises:
            ValueError: predictions of another shape or not finite, or a loss that is not finite.
        """
        expected = (len(target), int(np.prod(self.question)))
        if prediction.shape != expected:
            raise ValueError(
                f"prediction must be {expected[1]} logits for each of {expected[0]} scenes, "
                f"got shape {prediction.shape}"
            )
        if not np.isfinite(prediction).all():
            raise ValueError("prediction has NaN or infinite entries, expected finite logits")
        loss = np.asarray(self.loss(prediction, target, (len(target),)), dtype=np.float64)
        if loss.shape != (len(target),) or not np.isfinite(loss).all():
            raise ValueError(
                f"loss returned {loss} for {len(target)} predictions, expected a finite number each"
            )
        return loss

    def shown(self, now: Episodes) -> dict[str, NDArray]:
        """What the agent is shown: arrays of its own, `[B, ...]` float32."""
        values = now.observation.values
        if self._pixels:
            values = values.clamp(0, 1)  # but for rounding they are
        parts = {"image": values, "mask": now.observation.mask}
        if now.observation.readings is not None and now.observation.taken is not None:
            parts |= {"readings": now.observation.readings, "taken": now.observation.taken}
        elif self._readings:
            nothing = torch.zeros(len(now.rows), self._readings)
            parts |= {"readings": nothing, "taken": nothing}
        shown = {name: part.cpu().numpy().astype(np.float32) for name, part in parts.items()}
        shown["looks"] = np.full((len(now.rows), 1), now.looks / self.looks, dtype=np.float32)
        if now.prediction is not None:
            shown["belief"] = np.exp(now.prediction).clip(0, 1)
        return shown

    def _make_spaces(self) -> None:
        inner: spaces.Space[Any] = spaces.Discrete(len(self.candidates))
        if self.bounds is not None:
            inner = spaces.Box(-1, 1, (self.bounds.shape[1],), np.float32)
        length = int(np.prod(self.question))
        logits = spaces.Box(-np.inf, np.inf, (length,), np.float32)
        self.action_space = spaces.Dict({"action": inner, "prediction": logits})
        self.target_space: spaces.Space[Any] = (
            spaces.MultiBinary(self.question[0])
            if self.dataset.multi_label
            else spaces.Discrete(self.question[0])
        )
        scene = self.dataset.scenes([0]).to(self.device)
        probe = look(self.sensor, self._nothing(1), scene, design=self.candidates[:1], seeds=[0])
        self._readings = 0 if probe.readings is None else probe.readings.shape[1]
        self._pixels = not self._readings and not getattr(self.sensor, "noise", 0) > 0
        lowest, highest = (0.0, 1.0) if self._pixels else (-np.inf, np.inf)
        values, mask = probe.values.shape[1:], probe.mask.shape[1:]
        parts: dict[str, spaces.Space[Any]] = {
            "image": spaces.Box(lowest, highest, values, np.float32),
            "mask": spaces.Box(0, 1, mask, np.float32),
            "looks": spaces.Box(0, 1, (1,), np.float32),
        }
        if self._readings:
            parts["readings"] = spaces.Box(-np.inf, np.inf, (self._readings,), np.float32)
            parts["taken"] = spaces.Box(0, 1, (self._readings,), np.float32)
        if self.classifier is not None:
            parts["belief"] = spaces.Box(0, 1, (length,), np.float32)
        self.observation_space = spaces.Dict(parts)

    def _nothing(self, batch: int) -> Observation:
        height, width = self.dataset.images.shape[-2:]
        return Observation.nothing(
            batch, self.dataset.channels, (height, width), device=self.device
        )

    @torch.no_grad()
    def _believed(self, observation: Observation) -> NDArray | None:
        """The classifier's finite log-beliefs, flattened to predictions `[B, P]`."""
        if self.classifier is None:
            return None
        belief = log_beliefs(observation, self.classifier)
        expected = (len(observation), *self.question)
        if tuple(belief.shape) != expected:
            name = f"{type(self.classifier).__name__}.log_probs"
            raise ValueError(f"{name} returned {tuple(belief.shape)}, expected {expected}")
        return belief.clamp(min=LEAST).flatten(1).float().cpu().numpy()


def _bounds(sensor: Sensor, designs: Float[Tensor, "D K"]) -> Float[Tensor, "2 K"]:
    bounds = getattr(sensor, "bounds", None)
    width = designs.shape[1]
    if bounds is None or tuple(bounds.shape) != (2, width):
        given = "has none" if bounds is None else f"has {tuple(bounds.shape)}"
        raise ValueError(
            f"continuous needs sensor.bounds, lowest and highest design [2, {width}]; "
            f"{type(sensor).__name__} {given}"
        )
    return bounds.float().to(designs.device)
