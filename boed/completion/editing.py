"""Image editing by completion: regions of a scene drawn anew, one after another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from boed.completion.completer import Completer, complete
from boed.data.observation import Observation, check_scenes
from boed.foundation.arguments import checked
from boed.foundation.randomness import derive


@checked
@torch.no_grad()
def resample(
    completer: Completer,
    scene: Float[Tensor, "B C H W"],
    regions: Sequence[Float[Tensor, "H W"]],
    *,
    seed: int = 0,
) -> list[Float[Tensor, "B C H W"]]:
    """Draw regions of a scene anew one after another, each given the scene as it is by then.

    As Dupont & Suresha 2019, Fig. 8, edit a face: the eyes, then the nose, then the mouth.

    Args:
        completer: draws what is hidden.
        scene: what to begin with, values in [0, 1].
        regions: of each step, 1 or true where the scene is drawn anew.
        seed: of all steps.

    Returns:
        The scenes after each step.

    Raises:
        ValueError: no regions, one of another shape or with values other than 0 and 1, or
            scenes that the completer is not made for.
    """
    check_scenes(scene, "scene")
    if not regions:
        raise ValueError("regions is empty, expected at least one")
    steps = []
    for step, given in enumerate(regions):
        region = torch.as_tensor(given).to(scene)
        if tuple(region.shape) != tuple(scene.shape[2:]):
            raise ValueError(
                f"regions: {step} is {tuple(region.shape)}, expected {tuple(scene.shape[2:])}"
            )
        if not ((region == 0) | (region == 1)).all():
            raise ValueError(f"regions: {step} has values other than 0 and 1")
        mask = (1 - region).expand(len(scene), 1, -1, -1).to(scene)
        seen = Observation.of(scene, mask)
        scene = complete(completer, seen, 1, seed=derive(seed, "resample", step)).scenes[0]
        steps.append(scene)
    return steps
