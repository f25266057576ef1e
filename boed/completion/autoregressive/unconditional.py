"""Completers of the CIFAR-10 inpainting report: of what is seen they know the pixels before."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from boed.completion.autoregressive.base import Autoregressive
from boed.data.observation import Observation


class Unconditional(Autoregressive):
    """p(pixel | before): a model of whole images that is stopped at seen pixels.

    A hidden pixel depends on those before it in raster order, seen or drawn. What is seen later,
    below a hole or on its right, is not looked at, as in the report, which names it as why the
    seams there are visible. So what is drawn is the product of these conditionals and no posterior
    of the model of whole images; of what is drawn `log_prob` is exact.
    """

    def condition(self, observation: Observation) -> Float[Tensor, "B 0"]:
        """Nothing: what is before a pixel is read as image."""
        return observation.values.new_zeros(len(observation), 0)

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Cross entropy of all pixels, seen or not, in nats per channel of a pixel."""
        logits = self.logits(self.quantised(scene), self.condition(observation))
        return self.cross_entropy(logits, scene).mean()
