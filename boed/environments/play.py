"""Our policies inside the environments, to compare them with learnt ones on equal terms."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from boed.environments.single import SensingEnv
from boed.environments.vector import VectorSensingEnv
from boed.foundation.randomness import derive
from boed.policies.policy import Policy, decide


def play(
    env: gymnasium.Env[Any, Any] | VectorEnv[Any, Any, Any],
    policy: Policy,
    seed: int | None = None,
    *,
    options: dict[str, Any] | None = None,
) -> NDArray[np.float64]:
    """One episode of `env`, or one of each of its scenes, in which `policy` says where to look.

    Args:
        env: a single or vectorised sensing environment with a classifier, whose belief is the
            prediction; wrapped or not.
        policy: chooses the looks. It is shown the whole scene as `truth`, as in `acquire`.
        seed, options: for `env.reset`.

    Returns:
        The rewards, `[looks]`, or `[looks, B]` of a vectorised environment.

    Raises:
        ValueError: another kind of environment, one without a classifier, or a look that is none
            of its candidates.
    """
    inner = env.unwrapped
    if not isinstance(inner, SensingEnv | VectorSensingEnv):
        raise ValueError(f"env is {type(inner).__name__}, expected a sensing environment")
    task = inner.task
    if task.classifier is None:
        raise ValueError("env has no classifier, whose belief would be the prediction")
    env.reset(seed=seed, options=options)
    both = env.action_space == inner.action_space  # else only looks are asked for
    rewards = []
    for step in range(task.looks):
        now = inner.episode
        seeds = [derive(each, "look", step) for each in now.seeds]
        decision = decide(policy, now.observation, task.sensor, seeds=seeds, truth=now.scene)
        action, prediction = task.actions(decision), now.prediction
        assert prediction is not None
        if isinstance(inner, SensingEnv):
            action, prediction = action[0], prediction[0]
        reward = env.step({"action": action, "prediction": prediction} if both else action)[1]
        rewards.append(reward)
    return np.array(rewards, dtype=np.float64)
