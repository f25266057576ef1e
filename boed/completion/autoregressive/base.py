"""What all completers share that draw one pixel after another: exact likelihoods, and sampling."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from boed.completion.adversarial.losses import evaluating
from boed.completion.autoregressive.configuration import AutoregressiveConfig
from boed.completion.autoregressive.sampling import (
    Steps,
    Unfilled,
    fixed_point,
    incremental,
    naive,
)
from boed.completion.learned import LearnedCompleter
from boed.completion.levels import from_level, to_level
from boed.completion.log_probability import Counted, Kind
from boed.data.observation import Observation, check_scenes
from boed.foundation.checks import at_least
from boed.foundation.randomness import SceneNoise, Seeds, per_scene
from boed.foundation.registry import check_known
from boed.training.config import TrainingConfig

Route = Literal["incremental", "naive", "fixed point"]
ROUTES: tuple[Route, ...] = ("incremental", "naive", "fixed point")
"""Ways to draw the same scenes; see `boed.completion.autoregressive.sampling`."""

AT_ONCE = 512
"""Most scenes that are drawn at once: more take memory and are no faster."""

SCORED = 128
"""Most scenes whose probability is computed at once."""


def hidden(observation: Observation) -> Bool[Tensor, "B 1 H W"]:
    """The pixels that are to be drawn: all that were not measured."""
    if observation.readings is not None:
        return torch.ones_like(observation.mask, dtype=torch.bool)
    return observation.mask == 0


class Autoregressive(LearnedCompleter):
    """p(hidden | seen): the product over hidden pixels in raster order of p(pixel | before, seen).

    What stands before a pixel are all pixels before it, seen or drawn, and the channels before it
    of its own pixel. A model knows pixels as `levels` alone: seen pixels, too, are quantised.
    A subclass has `condition`, `logits` and `steps`. Always in single precision: a level that flips
    changes all that come after it.

    Of what an indirect sensor shows no pixel counts as seen: all are drawn.
    """

    log_prob_is: ClassVar[Kind] = "exact"
    counts: ClassVar[Counted] = "hidden"
    merit: ClassVar[str] = "val_nats_hidden"
    config: Any

    def __init__(self, config: AutoregressiveConfig) -> None:
        super().__init__(config)
        self.deterministic = config.temperature == 0

    @property
    def levels(self) -> int:
        """How many levels a channel of a pixel has."""
        number: int = self.config.levels
        return number

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[Any, TrainingConfig]:
        """A configuration of 16 levels, or of 32 in colour and above 32 px.

        Raises:
            ValueError: there is none for that size.
        """
        small: tuple[Any, TrainingConfig] = cls.Config.small(size, channels)
        return small

    @abstractmethod
    def condition(self, observation: Observation) -> Tensor:
        """What the logits depend on of what is seen, the batch first; computed once."""

    @abstractmethod
    def logits(
        self, image: Float[Tensor, "B C H W"], condition: Tensor
    ) -> Float[Tensor, "B L C H W"]:
        """Of all pixels at once, each given those before it; `image` has levels as pixels."""

    @abstractmethod
    def steps(self, image: Float[Tensor, "N C H W"], condition: Tensor) -> Steps:
        """The same logits one after another; row i of `image` goes with row i modulo B."""

    def quantised(self, image: Tensor) -> Tensor:
        """Pixels in [0, 1], each that of its level."""
        return from_level(to_level(image, self.levels), self.levels)

    def network_input(self, observation: Observation) -> Float[Tensor, "B C+1 H W"]:
        """What networks read of what is seen: levels, standardised, and the mask."""
        values = self.quantised(observation.values)
        return torch.cat([self.standardised(values) * observation.mask, observation.mask], dim=1)

    def cross_entropy(
        self, logits: Float[Tensor, "B L C H W"], scene: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "B C H W"]:
        """-log p of the level of each channel of each pixel, in nats."""
        return F.cross_entropy(logits.float(), to_level(scene, self.levels), reduction="none")

    def log_prob(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> Float[Tensor, " B"]:
        """log p(hidden levels | seen levels) in nats, exact; 0 where everything is seen.

        Only between scenes of one observation do these compare: they count its hidden pixels.
        The temperature of samples does not change it.

        Raises:
            ValueError: scene and observation do not fit the model or each other, the scene is NaN
                or not in [0, 1], or its seen pixels have other levels than the observation's.
        """
        self.check(observation)
        check_scenes(scene, "scene")
        self._check_same(scene, observation)
        return self._log_prob(scene, observation)

    @torch.no_grad()
    def propose(
        self, observation: Observation, n: int, seed: Seeds = 0
    ) -> tuple[Float[Tensor, "n B C H W"], Float[Tensor, "n B"]]:
        """What `sample` returns, and the log-probability of each at the model's temperature.

        It is 0 of what a temperature of 0 makes.
        """
        scenes = self.sample(observation, n, seed)
        if self.temperature == 0:
            return scenes, scenes.new_zeros(scenes.shape[:2])
        each = self._log_prob(scenes.flatten(0, 1), observation.repeat(n), self.temperature)
        return scenes, each.unflatten(0, scenes.shape[:2])

    @property
    def temperature(self) -> float:
        """Of samples; 1 is the model itself."""
        number: float = self.config.temperature
        return number

    def _log_prob(
        self, scene: Tensor, observation: Observation, temperature: float = 1.0
    ) -> Float[Tensor, " B"]:
        parts = (slice(start, start + SCORED) for start in range(0, len(scene), SCORED))
        with evaluating(self):
            nats = [
                self._nats(scene[part], observation[part], temperature).sum(1) for part in parts
            ]
        return -torch.cat(nats or [scene.new_zeros(0)]).float()

    def _nats(self, scene: Tensor, observation: Observation, temperature: float = 1.0) -> Tensor:
        """-log p of each number of the scene, 0 where it is seen, `[B, C * H * W]`."""
        logits = self.logits(self.quantised(scene), self.condition(observation))
        each = self.cross_entropy(logits / temperature, scene) * hidden(observation)
        return each.double().flatten(1)

    def _check_same(self, scene: Tensor, observation: Observation) -> None:
        """Refuse a scene that is not one that was seen."""
        if scene.shape != observation.values.shape:
            raise ValueError(
                f"scene is {tuple(scene.shape)}, expected that of the observation, "
                f"{tuple(observation.values.shape)}"
            )
        ours, seen = (to_level(each, self.levels) for each in (scene, observation.values))
        differ = (ours != seen) & ~hidden(observation)
        if differ.any():
            raise ValueError(
                f"scene differs from the observation at {int(differ.sum())} seen values, which "
                f"have other levels of {self.levels}; expected a scene with the pixels that were "
                "seen, as observation.composite(scene) makes one"
            )

    @torch.no_grad()
    def figures(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> dict[str, float]:
        """The loss; nats of the hidden pixels of a scene, and bits of one channel of one of them.

        Bits are of as many levels as the model has: they compare between models of the same.
        """
        with evaluating(self), torch.random.fork_rng():
            torch.manual_seed(0)  # some losses are of pixels chosen at random
            loss = float(self.loss(scene, observation))
            nats = self._nats(scene, observation).sum(1)
        numbers = scene.shape[1] * hidden(observation).sum()
        bits = nats.sum() / numbers.clamp(min=1) / torch.log(torch.tensor(2.0))
        return {
            "val_loss": loss,
            "val_nats_hidden": float(nats.mean()),
            f"val_bits_hidden_of_{self.levels}": float(bits),
        }

    @torch.no_grad()
    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """`n` scenes, whose hidden pixels are drawn one after another; seen ones are quantised."""
        return self.drawn(observation, n, seed)

    @torch.no_grad()
    def drawn(
        self,
        observation: Observation,
        n: int,
        seed: Seeds = 0,
        *,
        route: Route = "incremental",
    ) -> Float[Tensor, "n B C H W"]:
        """`draw` by one of `ROUTES`; the pixels are those of levels, k / (levels - 1).

        Raises:
            ValueError: an unknown route, n below 1, or an observation that does not fit the model.
        """
        check_known("route", route, ROUTES)
        at_least(1, n=n)
        self.check(observation)
        batch, channels = observation.values.shape[:2]
        noise = SceneNoise(per_scene(seed, batch), observation.device)
        uniform = noise.uniform(n, channels, *observation.shape)
        scenes = max(AT_ONCE // n, 1)
        parts = []
        with evaluating(self), torch.inference_mode():
            for start in range(0, batch, scenes):
                some = observation[start : start + scenes]
                condition = self.condition(some)
                numbers = uniform[:, start : start + scenes].split(AT_ONCE)
                copies = [self._filled(some, each, condition, route) for each in numbers]
                parts.append(torch.cat(copies))
        return torch.cat(parts, dim=1)  # outside of inference mode: a tensor like others

    def _filled(
        self,
        observation: Observation,
        uniform: Float[Tensor, "n B C H W"],
        condition: Tensor,
        route: Route,
    ) -> Float[Tensor, "n B C H W"]:
        """Scenes drawn with these numbers, all at once."""
        n = len(uniform)
        where = hidden(observation)
        unfilled = Unfilled(
            image=self.quantised(observation.values).masked_fill(where, 0).repeat(n, 1, 1, 1),
            hidden=where.repeat(n, 1, 1, 1),
            uniform=uniform.flatten(0, 1),
            levels=self.levels,
            temperature=self.config.temperature,
        )
        if route == "incremental":
            image = incremental(self.steps(unfilled.image, condition), unfilled)
        else:
            each = condition.repeat(n, *(1,) * (condition.ndim - 1))
            sampler = naive if route == "naive" else fixed_point
            image = sampler(lambda image: self.logits(image, each), unfilled)
        return image.unflatten(0, (n, len(observation)))
