"""Time the environment: one batch of scenes against as many single environments, in one run.

    python benchmarks/environment.py --scenes 64

Steps (looks) per second at digits with random looks, with and without the shipped classifier
predicting, and their ratio.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import gymnasium
import torch
from gymnasium.vector import SyncVectorEnv

from boed.environments import ClassifierPredicts, VectorClassifierPredicts
from boed.environments.digits import single, vector


def steps_per_second(env: gymnasium.vector.VectorEnv[Any, Any, Any], steps: int) -> float:
    """Looks per second over `steps` steps, after one to warm up."""
    env.reset(seed=0)
    env.action_space.seed(0)
    env.step(env.action_space.sample())
    began = time.perf_counter()
    for _ in range(steps):
        env.step(env.action_space.sample())
    return steps * env.num_envs / (time.perf_counter() - began)


def predicted() -> ClassifierPredicts:
    """One environment in which the classifier predicts."""
    return ClassifierPredicts(single(belief=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30)
    given = parser.parse_args()
    print(f"{given.scenes} scenes, {torch.get_num_threads()} threads")
    for belief in (False, True):
        many = vector(given.scenes, belief=belief)
        alone = SyncVectorEnv([predicted if belief else single] * given.scenes)
        together = VectorClassifierPredicts(many) if belief else many
        slow = steps_per_second(alone, max(given.steps // 5, 1))
        fast = steps_per_second(together, given.steps)
        print(f"{'classifier predicts' if belief else 'agent predicts'}")
        print(f"  one by one       {slow:10.0f} looks/s")
        print(f"  one batch        {fast:10.0f} looks/s")
        print(f"  ratio            {fast / slow:10.2f}")


if __name__ == "__main__":
    main()
