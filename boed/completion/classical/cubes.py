"""What can be known of a row of CUBE or CUBE-NM: the exact belief, and exact completions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from boed.data.observation import Observation
from boed.data.readers.cubes import LAWS, CubeLaw
from boed.foundation.randomness import SceneNoise, Seeds, per_scene


@dataclass(frozen=True)
class CubePosterior:
    """The posterior given some of the features: a classifier and a completer in one.

    Every context and label has a Gaussian of its own, all with the same diagonal covariance, so
    that the posterior is a softmax of a quadratic.

    Attributes:
        law: of the rows.
    """

    law: CubeLaw

    def log_probs(self, observation: Observation) -> Float[Tensor, "B K"]:
        """The belief about the label; of no answer less than e^-80, so that no loss is infinite."""
        return self._log_causes(observation).logsumexp(1).clamp(min=-80)

    def log_contexts(self, observation: Observation) -> Float[Tensor, "B C"]:
        """The belief about which block holds the bits."""
        return self._log_causes(observation).logsumexp(2)

    def sample(
        self, observation: Observation, n: int, seed: Seeds = 0
    ) -> Float[Tensor, "n B 1 1 F"]:
        """Rows drawn from the posterior, with the features that were read as they are."""
        noise = SceneNoise(per_scene(seed, len(observation)), observation.device)
        share = self._log_causes(observation).flatten(1).exp().cumsum(1)  # [B, C * K]
        drawn = noise.uniform(n).T.contiguous()  # [B, n]
        cause = torch.searchsorted(share, drawn).clamp(max=share.shape[1] - 1).T  # [n, B]
        means = self.law.means.flatten(0, 1).to(observation.values)
        rows = means[cause] + noise.normal(n, means.shape[1]) * self.law.spread.to(means)
        return observation.composite(rows.clamp(0, 1)[:, :, None, None])

    def _log_causes(self, observation: Observation) -> Float[Tensor, "B C K"]:
        """log p(context, label | what was read)."""
        means = self.law.means.flatten(0, 1).double().to(observation.device)  # [C * K, F]
        known = (observation.mask[:, 0, 0] > 0) / self.law.spread.double().to(means) ** 2
        value = observation.values[:, 0, 0].double()
        joint = (known * value) @ means.T - known @ (means**2).T / 2
        log_causes = joint.log_softmax(1).to(observation.values.dtype)
        return log_causes.unflatten(1, (self.law.contexts, self.law.labels))


class ExactCube(CubePosterior):
    """That of `cube`: `--classifier boed.completion.classical.cubes:ExactCube`."""

    def __init__(self) -> None:
        super().__init__(LAWS["cube"])


class ExactCubeNM(CubePosterior):
    """That of `cube_nm`: `--classifier boed.completion.classical.cubes:ExactCubeNM`."""

    def __init__(self) -> None:
        super().__init__(LAWS["cube_nm"])
