"""One scene at a time."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from boed.classifiers.classifier import Classifier
from boed.data.dataset import Dataset
from boed.environments.loss import Loss
from boed.environments.rendering import frames
from boed.environments.task import Episodes, Task
from boed.sensors.sensor import Sensor

Seen = dict[str, NDArray]


class SensingEnv(gymnasium.Env[Seen, dict[str, Any]]):
    """Recognise a scene with few looks, in the convention of ap_gym (Schneider et al. 2025).

    Every step takes a look and states a prediction: the action is `{"action": look,
    "prediction": logits}`. The prediction is scored on what is known when it is made, before the
    look of the same step; the reward is -cost_weight * cost(look) - loss(prediction, label). The
    episode is truncated after `looks` looks. `info["prediction"]` has the `target` and the
    `loss`, `info["base_reward"]` the rest of the reward, `info["scene"]` the row of the data set.

    An observation is a dictionary of float32 arrays: `image` `[C, H, W]` and `mask` `[1, H, W]`,
    the values and mask of `Observation` (a dictionary of torch modules can have no key `values`);
    `looks` `[1]`, the fraction of looks used; for sensors that see no pixels `readings` and
    `taken` `[R]`; with a classifier `belief`, its probabilities `[P]`.

    Args:
        dataset: scenes and their labels. Each episode draws one, or takes the row given as
            `reset(options={"scene": row})`.
        sensor: what a look returns and costs.
        looks: number of looks in an episode.
        classifier: its belief becomes part of the observation.
        loss: `cross_entropy`, in nats, or a function of logits, labels and the batch's shape.
        cost_weight: nats that stand for one unit of the sensor's cost.
        continuous: the look is a point of [-1, 1]^K, mapped onto `sensor.bounds`, and not the
            index of a candidate.
        device: where scenes are looked at; the classifier must be there too.
        render_mode: `rgb_array`: what has been seen, and what not in blue.

    Attributes:
        inner_action_space, prediction_space: the two parts of the action space. Logits are `[K]`
            for K classes and `[2 L]`, (absent, present) for each, for L findings.
        prediction_target_space: the labels.
        loss_fn: the loss.
        episode: what is going on, the whole scene included.

    Raises:
        ValueError: an empty data set, `looks` below 1, a cost weight below 0, an unknown loss,
            `continuous` without bounds, or a sensor that does not keep to its protocol.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 2}  # noqa: RUF012

    def __init__(
        self,
        dataset: Dataset,
        sensor: Sensor,
        looks: int,
        *,
        classifier: Classifier | None = None,
        loss: str | Loss = "cross_entropy",
        cost_weight: float = 0.0,
        continuous: bool = False,
        device: torch.device | str = "cpu",
        render_mode: str | None = None,
    ) -> None:
        check_render_mode(render_mode)
        self.task = Task(
            dataset,
            sensor,
            looks,
            classifier=classifier,
            loss=loss,
            cost_weight=cost_weight,
            continuous=continuous,
            device=device,
        )
        self.render_mode = render_mode
        self.action_space = self.task.action_space
        self.observation_space: spaces.Space[Any] = self.task.observation_space
        self.prediction_target_space = self.task.target_space
        self.loss_fn = self.task.loss
        self._episode: Episodes | None = None

    @property
    def inner_action_space(self) -> spaces.Space[Any]:
        return self.task.action_space["action"]

    @property
    def prediction_space(self) -> spaces.Space[Any]:
        return self.task.action_space["prediction"]

    @property
    def episode(self) -> Episodes:
        if self._episode is None:
            raise ResetNeeded("reset the environment before its first episode")
        return self._episode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Seen, dict[str, Any]]:
        """Start an episode: nothing seen of a scene."""
        super().reset(seed=seed)
        row, noise = draw(self.np_random, len(self.task.dataset))
        row = int((options or {}).get("scene", row))
        self._episode = self.task.begin([row], [noise])
        return self._shown(), {"prediction": {"target": self._target()}, "scene": row}

    def step(self, action: dict[str, Any]) -> tuple[Seen, float, bool, bool, dict[str, Any]]:
        """State a prediction, then look.

        Raises:
            ValueError: an action outside the action space.
            ResetNeeded: the episode has ended, or none was started.
        """
        inner, prediction = parts(action)
        if self.episode.looks == self.task.looks:
            raise ResetNeeded(f"the episode ended after {self.task.looks} looks; reset it")
        loss = float(self.task.losses(prediction[None], self.episode.target)[0])
        self._episode, (base,) = self.task.after(self.episode, inner[None])
        info = {
            "base_reward": float(base),
            "prediction": {"target": self._target(), "loss": loss},
            "scene": self.episode.rows[0],
        }
        truncated = self.episode.looks == self.task.looks
        return self._shown(), float(base) - loss, False, truncated, info

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """What has been seen, uint8 `[height, width, 3]`."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs render_mode='rgb_array'")
            return None
        return frames(self.episode.observation)[0]

    def _shown(self) -> Seen:
        return {name: part[0] for name, part in self.task.shown(self.episode).items()}

    def _target(self) -> Any:
        target = self.episode.target[0]
        return target.astype(np.int8) if target.ndim else int(target)


class ClassifierPredicts(gymnasium.Wrapper[Seen, Any, Seen, dict[str, Any]]):
    """The environment's classifier states the predictions, so that only looks are left to choose.

    The action is the look alone, as any reinforcement-learning library expects. The prediction is
    the classifier's belief after the look: reward = -cost_weight * cost(look) - loss(belief).

    Args:
        env: a `SensingEnv` with a classifier, wrapped or not.

    Raises:
        ValueError: it is something else, or has no classifier.
    """

    def __init__(self, env: gymnasium.Env[Seen, dict[str, Any]]) -> None:
        super().__init__(env)
        inner = env.unwrapped
        if not isinstance(inner, SensingEnv):
            raise ValueError(f"env is {type(inner).__name__}, expected a SensingEnv")
        if inner.task.classifier is None:
            raise ValueError("env has no classifier; make it with SensingEnv(..., classifier=...)")
        self.inner = inner
        self.action_space = inner.inner_action_space

    def step(self, action: Any) -> tuple[Seen, float, bool, bool, dict[str, Any]]:
        """Look; the reward is that of the belief after it."""
        before = self.inner.episode.prediction
        assert before is not None
        both = {"action": action, "prediction": before[0]}
        seen, _, terminated, truncated, info = self.env.step(both)
        after = self.inner.episode.prediction
        assert after is not None
        loss = float(self.inner.task.losses(after, self.inner.episode.target)[0])
        info["prediction"]["loss"] = loss
        return seen, info["base_reward"] - loss, terminated, truncated, info


def parts(action: dict[str, Any]) -> tuple[NDArray, NDArray]:
    """The look and the prediction of an action.

    Raises:
        ValueError: it is not a dictionary with just these two.
    """
    if not isinstance(action, dict) or set(action) != {"action", "prediction"}:
        given = sorted(map(str, action)) if isinstance(action, dict) else type(action).__name__
        raise ValueError(f'action must be {{"action": ..., "prediction": ...}}, got {given}')
    return np.asarray(action["action"]), np.asarray(action["prediction"], dtype=np.float32)


def draw(generator: np.random.Generator, number: int) -> tuple[int, int]:
    """A scene of the data set, and a seed for the sensor's noise."""
    return int(generator.integers(number)), int(generator.integers(2**62))


def check_render_mode(render_mode: str | None) -> None:
    """Refuse a render mode that there is not."""
    if render_mode not in (None, *SensingEnv.metadata["render_modes"]):
        raise ValueError(f"render_mode is {render_mode!r}, expected 'rgb_array' or None")
