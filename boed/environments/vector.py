"""Many scenes at once, in one batch through sensor and classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from boed.classifiers.classifier import Classifier
from boed.data.dataset import Dataset
from boed.environments.loss import Loss
from boed.environments.rendering import frames
from boed.environments.single import Seen, check_render_mode, draw, parts
from boed.environments.task import Episodes, Task
from boed.foundation.checks import at_least
from boed.sensors.sensor import Sensor

Step = tuple[Seen, NDArray, NDArray, NDArray, dict[str, Any]]


class VectorSensingEnv(VectorEnv[Seen, dict[str, Any], NDArray]):
    """`num_envs` episodes of `SensingEnv` side by side, each drawn with a seed of its own.

    With the same seeds it gives what as many single environments give. All episodes have the same
    number of looks, so they end together; the step after the last look starts new ones, whatever
    the action, with reward 0 (Gymnasium's next-step autoreset).

    Args:
        num_envs: number of scenes, B.
        dataset, sensor, looks, classifier, loss, cost_weight, continuous, device, render_mode:
            as in `SensingEnv`; `reset(options={"scene": rows})` takes B rows.

    Attributes:
        inner_action_space, prediction_space, prediction_target_space, loss_fn: as in
            `SensingEnv`, for the batch; those of one scene are called `single_...`.
        episode: what is going on, the whole scenes included.

    Raises:
        ValueError: `num_envs` below 1, or as `SensingEnv` does.
    """

    metadata = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 2,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int,
        dataset: Dataset,
        sensor: Sensor,
        *,
        looks: int,
        classifier: Classifier | None = None,
        loss: str | Loss = "cross_entropy",
        cost_weight: float = 0.0,
        continuous: bool = False,
        device: torch.device | str = "cpu",
        render_mode: str | None = None,
    ) -> None:
        at_least(1, num_envs=num_envs)
        check_render_mode(render_mode)
        task = Task(
            dataset,
            sensor,
            looks,
            classifier=classifier,
            loss=loss,
            cost_weight=cost_weight,
            continuous=continuous,
            device=device,
        )
        self.task, self.num_envs, self.render_mode = task, num_envs, render_mode
        self.loss_fn = task.loss
        self.single_action_space = task.action_space
        self.single_inner_action_space = task.action_space["action"]
        self.single_prediction_space = task.action_space["prediction"]
        self.single_prediction_target_space = task.target_space
        self.single_observation_space = task.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.inner_action_space = batch_space(self.single_inner_action_space, num_envs)
        self.prediction_space = batch_space(self.single_prediction_space, num_envs)
        self.prediction_target_space = batch_space(self.single_prediction_target_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._generators: list[np.random.Generator] = []
        self._seeds: list[int] = []
        self._episode: Episodes | None = None

    @property
    def episode(self) -> Episodes:
        if self._episode is None:
            raise ResetNeeded("reset the environment before its first episode")
        return self._episode

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each scene."""
        self._seed([None] * self.num_envs)
        return tuple(self._generators)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """What each generator was seeded with."""
        self._seed([None] * self.num_envs)
        return tuple(self._seeds)

    def reset(  # type: ignore[override]
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Seen, dict[str, Any]]:
        """Start all episodes anew.

        Args:
            seed: one for each scene; a single one stands for seed, seed + 1, ...
            options: `scene`, the rows of the data set to look at.

        Raises:
            ValueError: another number of seeds or rows than scenes, or a `reset_mask`: episodes
                start together.
        """
        options = options or {}
        if "reset_mask" in options:
            raise ValueError("options['reset_mask'] is given, but all episodes start together")
        number = self.num_envs
        if seed is None or isinstance(seed, int):
            seed = [None if seed is None else seed + index for index in range(number)]
        self._seed(seed)
        drawn = [draw(generator, len(self.task.dataset)) for generator in self._generators]
        rows = [int(row) for row in options.get("scene", [row for row, _ in drawn])]
        for name, given in (("seed", seed), ("options['scene']", rows)):
            if len(given) != number:
                raise ValueError(f"{name} has {len(given)} entries for {number} scenes")
        self._episode = self.task.begin(rows, [noise for _, noise in drawn])
        return self.task.shown(self.episode), self._info()

    def step(self, actions: dict[str, Any]) -> Step:
        """State a prediction for each scene, then look; or start anew after the last look.

        Raises:
            ValueError: actions outside the action space.
            ResetNeeded: no episode was started.
        """
        never = np.zeros(self.num_envs, dtype=np.bool_)
        if self.episode.looks == self.task.looks:
            seen, info = self.reset()
            return seen, np.zeros(self.num_envs), never, never.copy(), info
        inner, prediction = parts(actions)
        loss = self.task.losses(prediction, self.episode.target)
        self._episode, base = self.task.after(self.episode, inner)
        info = self._info()
        info["base_reward"], info["prediction"]["loss"] = base, loss
        ended = np.full(self.num_envs, self.episode.looks == self.task.looks)
        return self.task.shown(self.episode), base - loss, never, ended, info

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """What has been seen of each scene, uint8 `[height, width, 3]`."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs render_mode='rgb_array'")
            return None
        return frames(self.episode.observation)

    def _info(self) -> dict[str, Any]:
        episode = self.episode
        kind = np.int8 if self.task.dataset.multi_label else np.int64
        target = episode.target.astype(kind)
        return {"prediction": {"target": target}, "scene": np.array(episode.rows)}

    def _seed(self, seeds: Sequence[int | None]) -> None:
        """Seed the generators anew where a seed is given, or where there is none yet."""
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed has {len(seeds)} entries for {self.num_envs} scenes")
        for index, seed in enumerate(seeds):
            if seed is None and index < len(self._generators):
                continue
            generator, used = seeding.np_random(seed)
            self._generators[index : index + 1] = [generator]
            self._seeds[index : index + 1] = [used]


class VectorClassifierPredicts(VectorWrapper):
    """`ClassifierPredicts` for a `VectorSensingEnv`.

    Raises:
        ValueError: `env` is something else, or has no classifier.
    """

    def __init__(self, env: VectorEnv[Seen, dict[str, Any], NDArray]) -> None:
        super().__init__(env)
        inner = env.unwrapped
        if not isinstance(inner, VectorSensingEnv):
            raise ValueError(f"env is {type(inner).__name__}, expected a VectorSensingEnv")
        if inner.task.classifier is None:
            raise ValueError(
                "env has no classifier; make it with VectorSensingEnv(..., classifier=...)"
            )
        self.inner = inner
        self.action_space = inner.inner_action_space
        self.single_action_space = inner.single_inner_action_space

    def step(self, actions: Any) -> Step:
        """Look; the reward is that of the belief after it."""
        before = self.inner.episode.prediction
        both = {"action": actions, "prediction": before}
        seen, reward, terminated, truncated, info = self.env.step(both)
        if "base_reward" in info:
            after = self.inner.episode.prediction
            assert after is not None
            loss = self.inner.task.losses(after, self.inner.episode.target)
            info["prediction"]["loss"], reward = loss, info["base_reward"] - loss
        return seen, reward, terminated, truncated, info
