"""Whether a model's priors are such that something can be drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor


class ImproperPriorError(ValueError):
    """A prior that does not integrate to 1, so that nothing can be drawn from it."""


class Proper(Messenger):  # type: ignore[misc]
    """Refuses sites of laws that nothing can be drawn from.

    Those are `ImproperUniform`, and laws whose draws come out infinite or NaN, as of infinite
    scale or bounds. What an observation site does is judged elsewhere.
    """

    def __init__(self, observation: Sequence[str]) -> None:
        super().__init__()
        self.observation = observation

    def _pyro_sample(self, msg: Any) -> None:
        law = msg["fn"]
        while isinstance(law, dist.Independent | dist.MaskedDistribution):
            law = law.base_dist
        if isinstance(law, dist.ImproperUniform):
            self._refuse(msg["name"], law)

    def _pyro_post_sample(self, msg: Any) -> None:
        value = msg["value"]
        latent = not (msg["is_observed"] or site_is_subsample(msg))
        latent = latent and msg["name"] not in self.observation
        if latent and isinstance(value, Tensor) and not bool(torch.isfinite(value).all()):
            self._refuse(msg["name"], msg["fn"])

    def _refuse(self, site: str, law: Any) -> None:
        raise ImproperPriorError(
            f"model: site {site!r} draws from {type(law).__name__}, which is improper (what comes "
            "out is infinite, NaN or nothing); an EIG needs a prior that can be drawn from, with "
            "finite scale and bounds"
        )
