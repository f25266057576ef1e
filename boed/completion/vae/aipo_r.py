"""AIPO-R: the partial encoder trained by the reverse KL (Harvey et al. 2021, Sec. 3.1.2)."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

from boed.completion.vae.aipo import AIPO
from boed.completion.vae.vdvae import VDVAE, StochasticBlock, draw, kl_divergence
from boed.data.observation import Observation


class AIPOR(AIPO):
    """AIPO trained on what was seen alone: likelihood of the seen pixels, and KL to the prior.

    O_rev (Eq. 15) seeks a mode of p(z | observation), where AIPO's O_for covers it. Extending a
    trained VD-VAE, the partial encoder starts as a copy of the full one with an input channel of
    zero weight for the mask, which the paper found to steady the training. The likelihood's
    temperature falls from `hottest` to 1 over the first half of the training, geometrically; the
    paper's code anneals it too, its schedule is not published.
    """

    name: ClassVar[str] = "aipo-r"
    merit = "val_seen_nats_per_dim"
    hottest = 10.0

    def __init__(self, vae: VDVAE, frozen: bool = False) -> None:
        if vae.config.couplings:
            raise ValueError(
                f"couplings is {vae.config.couplings}, but aipo-r's partial posterior is Gaussian, "
                "expected 0"
            )
        super().__init__(vae, frozen)

    @classmethod
    def from_vae(cls, vae: VDVAE) -> Self:
        """Extend a copy of a trained VAE, whose weights stay frozen and begin the encoder's."""
        model = super().from_vae(vae)
        model.start_at_full_posterior()
        return model

    def seen_rate(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
        """log p(seen pixels | z) and KL(partial posterior || prior), z from the partial one.

        Raises:
            ValueError: scene and observation do not fit the model.
        """
        vae, batch = self.vae, len(observation)
        vae.check_scene(scene)
        self.check(observation)
        partial = self.partial_activations(observation)
        states = vae.start(batch)
        rate = torch.zeros(batch, device=scene.device)
        for level, block in enumerate(vae.blocks):
            assert isinstance(block, StochasticBlock)
            resolution = vae.decoder_blocks[level].resolution
            state = vae.mixed(states, level)
            prior, feature = block.prior_head(state)
            q = block.partial_head(state, partial[resolution])
            rate = rate + kl_divergence(q, prior)
            states[resolution] = block.merge(state, feature, draw(q, None))
        each = vae.likelihood.log_prob(vae.pixel_parameters(states), scene)  # [B, H, W]
        return (each * observation.mask[:, 0]).flatten(1).sum(1), rate

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Negative O_rev in nats per dimension, the likelihood at its temperature."""
        likelihood, rate = self.seen_rate(scene, observation)
        temperature = self.hottest ** max(0.0, 1 - 2 * progress)
        return (rate - likelihood / temperature).mean() / self.vae.dimensions

    @torch.no_grad()
    def figures(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> dict[str, float]:
        """Negative O_rev, a bound on -log p(seen pixels), in nats per dimension of the scene."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            likelihood, rate = self.seen_rate(scene, observation)
        per = self.vae.dimensions
        return {
            "val_seen_nats_per_dim": float((rate - likelihood).mean()) / per,
            "val_rate_nats_per_dim": float(rate.mean()) / per,
        }
