"""The posterior of an unconditional VAE, sampled in its latent space: slow, exact in the limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from boed.completion.vae.vdvae import VDVAE
from boed.data.observation import Observation, check_scenes
from boed.foundation.checks import at_least
from boed.foundation.randomness import SceneNoise, Seeds, derive, per_scene
from boed.foundation.registry import check_known

Method = Literal["importance", "nuts"]


class LatentPosterior:
    """p(scene | observation) of a VAE: latent variables given the seen pixels, then the rest.

    The target is p(z | seen) proportional to p(seen | z) p(z), which needs no partial encoder and
    has no variational error; it is the yardstick for those that do, as far as the VAE itself is
    right. `importance` weights draws of the prior by the likelihood of what was seen and resamples;
    it needs few latent variables (`presets.latent`). `nuts` runs Pyro's No-U-Turn sampler
    (Hoffman & Gelman 2014) on the noise that z is made of, one chain for each scene.

    Args:
        vae: trained.
        method: `importance` or `nuts`.
        particles: draws of the prior, for `importance`.
        warmup, thinning: steps before the first sample, and from one to the next, for `nuts`.
        memory: bound on the images that are compared at once, MiB.

    Raises:
        ValueError: an unknown method, or a number that is not positive.
    """

    def __init__(
        self,
        vae: VDVAE,
        method: Method = "importance",
        particles: int = 4096,
        *,
        warmup: int = 100,
        thinning: int = 5,
        memory: int = 256,
    ) -> None:
        check_known("method", method, get_args(Method))
        at_least(1, particles=particles, warmup=warmup, thinning=thinning, memory=memory)
        self.vae = vae.eval().requires_grad_(False)
        self.method = method
        self.particles, self.warmup, self.thinning = particles, warmup, thinning
        self.memory = memory

    @classmethod
    def load(cls, path: Path | str) -> LatentPosterior:
        """Of a checkpoint that `boed train completer vae` wrote; by importance sampling.

        Raises:
            ValueError: the file is missing, damaged, or holds something else.
        """
        return cls(VDVAE.load(path))

    @property
    def config(self) -> Any:
        """The VAE's."""
        return self.vae.config

    @property
    def provenance(self) -> dict[str, Any]:
        """The VAE's."""
        return self.vae.provenance

    def to(self, device: torch.device | str) -> LatentPosterior:
        """Move the VAE, in place."""
        self.vae.to(device)
        return self

    @torch.no_grad()
    def sample(
        self, observation: Observation, n: int, seed: Seeds = 0
    ) -> Float[Tensor, "n B C H W"]:
        """`n` completions of each observation, the seen pixels composited in.

        Raises:
            ValueError: n is less than 1, or the observation does not fit the VAE.
        """
        return observation.composite(self.draw(observation, n, seed))

    @torch.no_grad()
    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """`n` scenes decoded from the posterior, seen pixels not put back in.

        Raises:
            ValueError: as `sample` does.
        """
        at_least(1, n=n)
        self._check(observation)
        chosen = [
            self._draw(observation[row : row + 1], n, derive(each, "latent"))
            for row, each in enumerate(per_scene(seed, len(observation)))
        ]
        return torch.stack(chosen, dim=1)

    @torch.no_grad()
    def effective_sample_size(
        self, observation: Observation, seed: Seeds = 0
    ) -> Float[Tensor, " B"]:
        """How many equal draws the weighted particles of `importance` are worth."""
        self._check(observation)
        sizes = []
        for row, each in enumerate(per_scene(seed, len(observation))):
            noise = self._prior(derive(each, "latent"), self.particles)
            weights = self._log_likelihood(noise, observation[row : row + 1]).softmax(0)
            sizes.append(1 / weights.square().sum())
        return torch.stack(sizes)

    def _draw(self, observation: Observation, n: int, seed: int) -> Float[Tensor, "n C H W"]:
        """Scenes of one observation."""
        sampler = self._importance if self.method == "importance" else self._nuts
        noise = sampler(observation, n, seed)
        likelihood, size = self.vae.likelihood, self.vae.config.size
        pixels = SceneNoise([derive(seed, "pixels")], observation.device)
        uniform = pixels.uniform(n, likelihood.n_uniform, size, size)[:, 0]
        return likelihood.sample(self.vae.decode(noise), uniform)

    def _importance(self, observation: Observation, n: int, seed: int) -> list[Tensor]:
        """Particles of the prior, resampled by the likelihood of what was seen."""
        noise = self._prior(seed, self.particles)
        weights = self._log_likelihood(noise, observation).softmax(0).cpu()
        generator = torch.Generator().manual_seed(derive(seed, "resample"))
        rows = torch.multinomial(weights, n, replacement=True, generator=generator)
        return [each[rows.to(each.device)] for each in noise]

    def _nuts(self, observation: Observation, n: int, seed: int) -> list[Tensor]:
        """States of a chain in the space of the noise, `thinning` steps apart."""
        import pyro
        from pyro.distributions import Normal
        from pyro.infer import MCMC, NUTS

        shapes = [(1, *shape) for shape in self.vae.latent_shapes]

        def model() -> None:
            noise = []
            for level, shape in enumerate(shapes):
                zero = torch.zeros(shape, device=observation.device)
                standard = Normal(zero, 1.0).to_event(len(shape))  # type: ignore[attr-defined]
                noise.append(pyro.sample(f"noise_{level}", standard))
            pyro.factor("seen", self._log_likelihood(noise, observation).sum())

        with torch.random.fork_rng(), torch.enable_grad():
            pyro.set_rng_seed(seed % 2**32)
            chain = MCMC(
                NUTS(model),
                num_samples=n * self.thinning,
                warmup_steps=self.warmup,
                disable_progbar=True,
            )
            chain.run()
            samples = chain.get_samples()
        thinned = slice(self.thinning - 1, None, self.thinning)
        return [samples[f"noise_{level}"][thinned, 0] for level in range(len(shapes))]

    def _prior(self, seed: int, number: int) -> list[Tensor]:
        """Noise of so many latent variables, drawn from p(z)."""
        drawn = SceneNoise([seed], self.vae.gain.device)
        return [drawn.normal(number, *shape)[:, 0] for shape in self.vae.latent_shapes]

    def _log_likelihood(
        self, noise: list[Float[Tensor, "M ..."]], observation: Observation
    ) -> Float[Tensor, " M"]:
        """log p(seen pixels | z) in nats, of each of M latent variables and one observation."""
        likelihood = self.vae.likelihood
        per_image = 4 * 8 * likelihood.n_parameters * self.vae.config.size**2
        together = max(1, (self.memory << 20) // per_image)
        sums = []
        for start in range(0, len(noise[0]), together):
            parameters = self.vae.decode([each[start : start + together] for each in noise])
            image = observation.values.expand(len(parameters), -1, -1, -1)
            each = likelihood.log_prob(parameters, image) * observation.mask[:, 0]
            sums.append(each.flatten(1).sum(1))
        return torch.cat(sums)

    def _check(self, observation: Observation) -> None:
        self.vae.check_scene(observation.values)
        check_scenes(observation.values, "observation")
