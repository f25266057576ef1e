"""Importance weights: means of the target whatever proposes, equal ones for its own samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from boed.completion import AIPO, VDVAE
from boed.completion.autoregressive.pixel_constrained import (
    PixelConstrained,
    PixelConstrainedConfig,
)
from boed.completion.completer import Completions, complete
from boed.completion.importance import Proposal, Weighted
from boed.data.observation import Observation

HIDDEN = [(0, 0), (3, 4), (7, 7)]
SHARES = torch.tensor([0.2, 0.5, 0.9])
"""How often each hidden pixel is white under the target."""


def seen(batch: int = 1) -> Observation:
    mask = torch.ones(batch, 1, 8, 8)
    for y, x in HIDDEN:
        mask[..., y, x] = 0
    return Observation.of(torch.full((batch, 1, 8, 8), 0.4), mask)


def hidden(scenes: Tensor) -> Tensor:
    """The hidden pixels, `[..., 3]`."""
    return torch.stack([scenes[..., 0, y, x] for y, x in HIDDEN], dim=-1)


class Coins:
    """Each hidden pixel is white with its own probability: the truth of all that is tested."""

    log_prob_is, levels, counts = "exact", 2, "hidden"

    def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
        torch.manual_seed(seed[0])
        white = (torch.rand(n, len(observation), 3) < SHARES).float()
        scenes = observation.values.repeat(n, 1, 1, 1, 1)
        for i, (y, x) in enumerate(HIDDEN):
            scenes[..., 0, y, x] = white[..., i]
        return scenes

    def log_prob(self, scene: Tensor, observation: Observation) -> Tensor:
        white = hidden(scene)
        return (white * SHARES.log() + (1 - white) * (1 - SHARES).log()).sum(-1)


class Fair(Coins):
    """Draws each by a fair coin, and says so."""

    def propose(self, observation: Observation, n: int, seed: Any = 0) -> tuple[Tensor, Tensor]:
        torch.manual_seed(seed[0])
        scenes = observation.values.repeat(n, 1, 1, 1, 1)
        for y, x in HIDDEN:
            scenes[..., 0, y, x] = (torch.rand(n, len(observation)) < 0.5).float()
        return scenes, torch.zeros(n, len(observation))  # constant


def mean(completions: Completions) -> Tensor:
    return torch.einsum("nb,nbp->bp", completions.weights, hidden(completions.scenes))[0]


def test_weighted_means_are_the_target_s() -> None:
    found = complete(Weighted(Fair(), Coins()), seen(), 8000)
    assert torch.allclose(mean(found), SHARES, atol=0.03)
    assert 1000 < float(found.effective_sample_size) < 7000


@pytest.mark.parametrize("couplings", [0, 2])
def test_aipo_knows_how_probable_its_completions_are_through_its_latents(
    config: Any, couplings: int
) -> None:
    torch.manual_seed(3)
    model = AIPO(VDVAE(config(likelihood="bernoulli", latent=2, couplings=couplings))).eval()
    with torch.no_grad():
        for each in model.parameters():  # away from the start, where some layers are zero
            each.add_(0.03 * torch.randn(each.shape))
    assert isinstance(model, Proposal)
    observation = seen()
    scenes, log_q = model.propose(observation, 7, seed=5)
    assert torch.equal(scenes, model.sample(observation, 7, seed=5))
    assert log_q.shape == (7, 1)
    plain = hidden(model.sample(observation, 6000)).mean((0, 1))
    found = complete(Weighted(model, Coins()), observation, 6000)
    assert (plain - SHARES).abs().max() > 0.15  # what there is to mend
    assert torch.allclose(mean(found), SHARES, atol=0.05)


def test_own_samples_have_equal_weights() -> None:
    own = Coins()
    found = complete(Weighted(own, own), seen(), 16)
    assert torch.equal(found.weights, torch.full((16, 1), 1 / 16))
    assert torch.equal(found.scenes, complete(own, seen(), 16).scenes)


def test_without_a_known_proposal_the_target_weighs_what_was_drawn() -> None:
    class Blind:
        sample = Coins.sample

        def complete(self, observation: Observation, n: int, seed: Any = 0) -> Completions:
            weights = torch.arange(1.0, n + 1)[:, None]
            return Completions(self.sample(observation, n, [0]), weights / weights.sum())

    found = complete(Weighted(Blind(), Coins()), seen(), 12)
    expected = Coins().log_prob(found.scenes[:, 0], seen()).exp() * torch.arange(1.0, 13)
    assert torch.allclose(found.weights[:, 0], expected / expected.sum(), atol=1e-6)


def test_an_exact_likelihood_of_the_proposal_is_its_own_density() -> None:
    class Fairer(Fair):
        propose = None  # type: ignore[assignment]

        def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
            return Fair().propose(observation, n, seed)[0]

        def log_prob(self, scene: Tensor, observation: Observation) -> Tensor:
            return torch.full((len(scene),), 0.5).log() * 3

    assert torch.allclose(
        mean(complete(Weighted(Fairer(), Coins()), seen(), 8000)), SHARES, atol=0.03
    )


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_samples_of_another_temperature_are_weighed_by_it(temperature: float) -> None:
    """Those of the same network, too: weights are p over what its temperature draws by."""
    torch.manual_seed(3)
    small = {"filters": 4, "blocks": 1, "dilations": (1,)}
    cold = PixelConstrained(PixelConstrainedConfig(size=8, channels=1, levels=2, **small))
    with torch.no_grad():
        for each in cold.parameters():
            each.add_(0.3 * torch.randn_like(each))
    hot = PixelConstrained(replace(cold.config, temperature=temperature))
    hot.load_state_dict(cold.state_dict())
    cold, hot = cold.eval(), hot.eval()
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    scenes = seen().values.repeat(8, 1, 1, 1)
    for i, (y, x) in enumerate(HIDDEN):
        scenes[:, 0, y, x] = every[:, i]
    truth = cold.log_prob(scenes, seen().repeat(8)).exp() @ every
    plain, found = (complete(each, seen(), 6000) for each in (hot, Weighted(hot, cold)))
    assert (mean(plain) - truth).abs().max() > 0.03  # what there is to mend
    assert torch.allclose(mean(found), truth, atol=0.025)
    again = complete(Weighted(hot, hot), seen(), 6000)
    assert torch.allclose(mean(again), truth, atol=0.025)
    own = complete(Weighted(cold, cold), seen(), 8)
    assert torch.equal(own.weights, torch.full((8, 1), 1 / 8))


def test_rounded_pixels_are_no_other_scene() -> None:
    """A completer may give seen pixels back to three digits, across the border of a level too."""

    class Rounding(Coins):
        def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
            return super().sample(observation, n, seed) + 5e-4

    class Strict(Coins):
        def log_prob(self, scene: Tensor, observation: Observation) -> Tensor:
            assert torch.equal(observation.composite(scene), scene)
            return super().log_prob(scene, observation)

    complete(Weighted(Rounding(), Strict()), seen(), 4)


def test_a_target_that_finds_all_impossible_is_named() -> None:
    class Never(Coins):
        def log_prob(self, scene: Tensor, observation: Observation) -> Tensor:
            return torch.full((len(scene),), -torch.inf)

    with pytest.raises(ValueError, match=r"target Never: all 4 completions .* are impossible"):
        complete(Weighted(Fair(), Never()), seen(), 4)


def test_a_target_without_a_likelihood_is_refused() -> None:
    with pytest.raises(ValueError, match="has no log_prob; expected one with a likelihood"):
        Weighted(Fair(), object())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="completer is an object"):
        Weighted(object(), Coins())  # type: ignore[arg-type]
