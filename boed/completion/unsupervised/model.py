"""Adversarial inpainting from observations alone (Pajot, de Bezenac & Gallinari 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boed.completion.adversarial.attention import activation, block, first_halving, halving
from boed.completion.adversarial.losses import evaluating, frozen
from boed.completion.flow import unet
from boed.completion.flow.unet import UNet, UNetConfig
from boed.completion.learned import LearnedCompleter
from boed.data.observation import Observation
from boed.foundation.checks import at_least, attributes
from boed.foundation.randomness import SceneNoise, Seeds, per_scene
from boed.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class UnsupervisedConfig(UNetConfig):
    """Architecture of the three networks, and what they are trained by.

    Attributes:
        latent: dimensions of z.
        critic: channels of discriminator and encoder after the first halving; they double with
            each until `most`.
        most: channels of these at most.
        encode_z: weight of the loss of Eq. 6; 0 leaves it out.
        encode_y: weight of the loss of Eq. 7; 0 leaves it out, its adversarial part, too.
        critic_steps: of the discriminator before each one of generator and encoder.
    """

    latent: int = 16
    critic: int = 24
    most: int = 96
    encode_z: float = 1.0
    encode_y: float = 1.0
    critic_steps: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, **attributes(self, "latent", "critic", "most", "critic_steps"))
        at_least(0, **attributes(self, "encode_z", "encode_y"))


class Trunk(nn.Module):
    """An observation to some numbers: spectrally normalised residual blocks, summed over pixels."""

    def __init__(self, config: UnsupervisedConfig, outputs: int) -> None:
        super().__init__()
        width, size = config.critic, config.size // 2
        layers: list[nn.Module] = [first_halving(config.channels + 1, width)]
        while size > 4 and size % 2 == 0:
            wider = min(2 * width, config.most)
            layers.append(halving(width, wider))
            width, size = wider, size // 2
        self.layers = nn.Sequential(*layers, block(width, width, width), activation())
        self.head = nn.utils.parametrizations.spectral_norm(nn.Linear(width, outputs))

    def forward(self, seen: Float[Tensor, "B C+1 H W"]) -> Float[Tensor, "B outputs"]:
        out: Tensor = self.head(self.layers(seen).float().mean((2, 3)))
        return out


class Unsupervised(LearnedCompleter):
    """A generator that a discriminator of observations cannot tell from the sensor.

    G makes a scene of an observation y and of z ~ N(0, I); what was seen is put back in. D judges y
    against that scene seen under another mask of the same law (Eq. 5), in the non-saturating form
    of the hinge loss. Two losses keep z from being ignored: an encoder E finds z again in the
    pixels that were made (Eq. 6); and with z = E(y), y is restored from the other observation
    (Eq. 7). Of whole scenes (`loss`), D judges those against completions: the paper's baseline
    without pairs, which has no encoder.

    Differences from the paper: masks are those of other scenes in the batch, which have the law of
    the data whatever it is; hidden pixels enter as the mean grey with the mask as a channel, to D
    and E, too, so that true pixels of that grey are not taken for hidden; the networks are small,
    without batch norm, so that a scene's completions depend on nothing else in its batch; E is
    deterministic, as in the authors' code, and is trained, which it is not there.
    """

    name: ClassVar[str] = "unsup"
    merit = "val_mse_hidden"
    learns_from: ClassVar[tuple[str, ...]] = ("scenes", "observations")
    Config = UnsupervisedConfig
    config: UnsupervisedConfig

    def __init__(self, config: UnsupervisedConfig) -> None:
        super().__init__(config)
        self.generator = UNet(config, extra=1 + config.latent)
        self.discriminator = Trunk(config, 1)
        self.encoder = Trunk(config, config.latent)
        self.critic_turn = True

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[UnsupervisedConfig, TrainingConfig]:
        """A small U-Net and small trunks.

        Raises:
            ValueError: the size is neither 28 nor a multiple of 16.
        """
        training = TrainingConfig(
            steps=6000, batch=32, lr=2e-4, weight_decay=0.0, betas=(0.0, 0.99), ema=0.99
        )
        return UnsupervisedConfig(**vars(unet.small(size, channels))), training

    def take_turn(self, step: int) -> None:
        """The discriminator's first, then one of generator and encoder."""
        self.critic_turn = step % (self.config.critic_steps + 1) < self.config.critic_steps

    def made(self, observation: Observation, z: Float[Tensor, "B Z"]) -> Float[Tensor, "B C H W"]:
        """Scenes in [0, 1] as G has them, what was seen not put back in."""
        config = self.config
        seen = observation.network_input(config.mean, config.std)
        wide = z[:, :, None, None].expand(-1, -1, *seen.shape[2:])
        image = self.generator(torch.cat([seen, wide], dim=1), z.new_zeros(len(z)))
        scene: Tensor = 0.5 + 0.5 * image.float().tanh()
        return scene

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Hinge loss of whole scenes against completions, of the network whose turn it is."""
        with torch.set_grad_enabled(not self.critic_turn):
            x = observation.composite(self.made(observation, self._noise(observation)))
        return self.adversarial(Observation.everything(scene), [Observation.everything(x)])

    def partial_loss(
        self, measured: Observation, observation: Observation, progress: float = 1.0
    ) -> Tensor:
        """Their Eq. 8, of the network whose turn it is; what is shown is all that was measured."""
        config, y = self.config, measured
        z = self._noise(y)
        mask = y.mask[torch.randperm(len(y)).to(y.device)]  # of the same law
        with torch.set_grad_enabled(not self.critic_turn):
            x = y.composite(self.made(y, z))
            other = Observation.of(x, mask)  # y~ = F(x~, m~)
            judged = [other]
            if config.encode_y:
                again = other.composite(self.made(other, self.encoded(y)))
                judged.append(Observation.of(again, y.mask))  # y^ = F(x^, m_y)
        total = self.adversarial(y, judged)
        if self.critic_turn:
            return total
        if config.encode_z:
            hidden = Observation.of(x, 1 - y.mask)
            total = total + config.encode_z * (z - self.encoded(hidden)).square().mean()  # Eq. 6
        if config.encode_y:
            missed = ((y.values - again).square() * y.mask).sum()
            total = total + config.encode_y * missed / (y.mask.sum() * y.channels)  # Eq. 7
        return total

    def adversarial(self, real: Observation, made: Sequence[Observation]) -> Tensor:
        """The hinge loss of D, or what G minimises through a D that rests."""
        inputs = [each.network_input(self.config.mean, self.config.std) for each in (real, *made)]
        if self.critic_turn:
            first, *rest = (self.discriminator(each) for each in inputs)
            return hinge(first, rest)
        with evaluating(self.discriminator):
            return -torch.stack([frozen(self.discriminator, x).mean() for x in inputs[1:]]).sum()

    def encoded(self, observation: Observation) -> Float[Tensor, "B Z"]:
        """z as E finds it in what is seen."""
        z: Tensor = self.encoder(observation.network_input(self.config.mean, self.config.std))
        return z

    @torch.no_grad()
    def figures(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> dict[str, float]:
        """Mean squared error of one sample on what is not shown."""
        return self._figures(scene, observation, 1 - observation.mask)

    @torch.no_grad()
    def partial_figures(self, measured: Observation, observation: Observation) -> dict[str, float]:
        """The same of what was measured and is not shown."""
        return self._figures(measured.values, observation, measured.mask - observation.mask)

    def _figures(
        self, scene: Tensor, observation: Observation, counted: Tensor
    ) -> dict[str, float]:
        error = (self.draw(observation, 1)[0] - scene).square() * counted
        number = float(counted.sum()) * self.config.channels
        return {"val_mse_hidden": float(error.sum()) / max(number, 1)}

    @torch.no_grad()
    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """`n` scenes of as many z."""
        noise = SceneNoise(per_scene(seed, len(observation)), observation.device)
        z = noise.normal(n, self.config.latent).flatten(0, 1)
        return self.made(observation.repeat(n), z).unflatten(0, (n, len(observation)))

    def _noise(self, observation: Observation) -> Float[Tensor, "B Z"]:
        return torch.randn(len(observation), self.config.latent, device=observation.device)


def hinge(real: Tensor, made: Sequence[Tensor]) -> Tensor:
    """What a discriminator minimises: mean max(0, 1 - D(real)) + mean max(0, 1 + D(made)).

    >>> float(hinge(torch.tensor([2.0, 0.5]), [torch.tensor([-3.0, 0.0])]))
    0.75

    Args:
        real: scores of what the sensor recorded.
        made: scores of each kind of what was made; their mean counts as one.
    """
    against = torch.stack([(1 + each).relu().mean() for each in made]).mean()
    return (1 - real).relu().mean() + against
