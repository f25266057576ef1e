"""Neural Processes (Garnelo et al. 2018): pixels as points, of which a mean is what is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from boed.completion.learned import LearnedCompleter
from boed.completion.neural_process.points import Points, grid
from boed.data.observation import Observation
from boed.foundation.checks import at_least, attributes, more_than
from boed.foundation.randomness import SceneNoise, Seeds, per_scene
from boed.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class NeuralProcessConfig:
    """Architecture of a Neural Process.

    Attributes:
        size: width of the images in pixels.
        channels: image channels.
        resolution: width of the grid whose pixels are the points. Larger images are averaged
            down to it and completions interpolated up again, bilinearly.
        width: features of a point of the context.
        hidden: features of a point in the decoder.
        latent: dimensions of z.
        frequencies: octaves of sines and cosines beside each coordinate, and then products of all
            these with the value, which say what is where; 0 as published.
        context, targets: most seen and most hidden points that a training step keeps of a scene,
            chosen at random; 0 keeps all.
        floor: least standard deviation of a pixel, for values in [0, 1].
        noise: whether samples have pixel noise; without it they are the decoder's means, as in
            the papers' code, and know too little of what is hidden.
        mean, std: statistics of the training set that standardise the input.

    Raises:
        ValueError: a number out of range, or a resolution that does not divide the size.
    """

    size: int
    channels: int
    resolution: int = 32
    width: int = 512
    hidden: int = 512
    latent: int = 512
    frequencies: int = 0
    context: int = 0
    targets: int = 0
    floor: float = 0.1
    noise: bool = True
    mean: float = 0.5
    std: float = 0.25

    def __post_init__(self) -> None:
        counts = ("size", "channels", "resolution", "width", "hidden", "latent")
        at_least(1, **attributes(self, *counts))
        at_least(0, **attributes(self, "frequencies", "context", "targets"))
        more_than(0, **attributes(self, "floor", "std"))
        if self.size % self.resolution:
            raise ValueError(f"size {self.size} is not a multiple of resolution {self.resolution}")

    @property
    def place(self) -> int:
        """Numbers that say where a point is."""
        return 2 + 4 * self.frequencies

    @property
    def point(self) -> int:
        """Numbers that say where a point is and what is there."""
        return self.place + self.channels * (1 + (self.place if self.frequencies else 0))


def layers(*widths: int) -> nn.Sequential:
    """Linear layers with a ReLU between one and the next."""
    modules: list[nn.Module] = []
    for wide_in, wide_out in pairwise(widths):
        linear = nn.Linear(wide_in, wide_out)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


class NeuralProcess(LearnedCompleter):
    """A Neural Process over pixels, a baseline of Dupont & Suresha 2019.

    Seen pixels are the context, hidden ones the targets. The context's points are averaged, once
    for q(z | context) and once for what all targets are given beside z. A pixel is Gaussian given
    both. Trained on log p(targets | z, context) - KL(q(z | context and targets) || q(z | context)).
    It knows of the context its mean alone, so what is seen comes out blurred.

    The paper's own setting is not stated. `PUBLISHED` has the 512 features and the deviations of
    its author's Neural Process; the second mean beside z is that of Kim et al. 2019, where this
    model is the baseline. The likelihood is over hidden pixels, targets left out of a step being
    made up for. Above `resolution`, samples show what averages over blocks of pixels may be, and
    no finer detail. The small presets also see sines and cosines of the coordinates.
    """

    name: ClassVar[str] = "np"
    Config: ClassVar[type[Any]] = NeuralProcessConfig
    config: NeuralProcessConfig
    PUBLISHED: ClassVar[NeuralProcessConfig] = NeuralProcessConfig(size=32, channels=3)
    SMALL: ClassVar[dict[str, Any]] = {
        "width": 64,
        "hidden": 128,
        "latent": 64,
        "frequencies": 4,
        "context": 64,
        "targets": 128,
    }
    """What the presets have less, or more, than `PUBLISHED`."""

    def __init__(self, config: NeuralProcessConfig) -> None:
        super().__init__(config)
        self.make_latent_path()
        self.make_deterministic_path()
        # the decoder's first layer, split so that n latent variables share the place's part
        hidden = config.hidden
        self.from_place = nn.Linear(config.place + config.width, hidden)
        self.from_latent = nn.Linear(config.latent, hidden, bias=False)
        self.decoder = layers(hidden, hidden, hidden, hidden)
        self.output = nn.Linear(hidden, 2 * config.channels)
        self.register_buffer("places", grid(config.resolution, config.frequencies), False)

    def make_latent_path(self) -> None:
        """The layers from points to q(z | points)."""
        width = self.config.width
        self.latent_input = layers(self.config.point, width, width, width)
        self.latent_hidden = nn.Linear(width, width)
        self.latent_output = nn.Linear(width, 2 * self.config.latent)

    def make_deterministic_path(self) -> None:
        """The layers from the context to what a target is given beside z."""
        width = self.config.width
        self.point_input = layers(self.config.point, width, width, width)

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[Any, TrainingConfig]:
        """A configuration for 28 or 32 px, or a multiple of 64 px seen at 32, and its training.

        Raises:
            ValueError: another size.
        """
        if size not in (28, 32) and (size % 64 or size < 64):
            raise ValueError(f"size {size} has no preset; expected 28, 32 or a multiple of 64")
        shape: dict[str, Any] = {"size": size, "channels": channels, "resolution": min(size, 32)}
        config = replace(cls.PUBLISHED, **shape, **cls.SMALL)
        return config, TrainingConfig(steps=3000, batch=32, lr=4e-3, betas=(0.9, 0.99))

    def coarse(self, observation: Observation) -> tuple[Tensor, Tensor]:
        """Seen pixels averaged over blocks, standardised, and the seen fraction of each block."""
        block = self.config.size // self.config.resolution
        fraction = F.avg_pool2d(observation.mask, block)
        total = F.avg_pool2d(observation.values * observation.mask, block)
        value = self.standardised(total / fraction.clamp(min=1e-6))
        return value * (fraction > 0), fraction

    def points(
        self, image: Float[Tensor, "B C R R"], scores: Float[Tensor, "B R R"], most: int = 0
    ) -> Points:
        """The pixels of `image` where `scores` are positive, those of the highest if too many."""
        flat = scores.flatten(1)
        number = max(int((flat > 0).sum(1).max()), 1)
        number = min(number, most) if most else number
        index: Int64[Tensor, "B K"] = flat.argsort(dim=1, descending=True, stable=True)[:, :number]
        values = image.flatten(2).mT  # [B, R * R, C]
        return Points(
            self.places[index],  # type: ignore[index]
            values.gather(1, index[:, :, None].expand(-1, -1, values.shape[2])),
            flat.gather(1, index) > 0,
        )

    def latent(self, points: Points) -> Normal:
        """q(z | points); that of an empty set is learned, too."""
        s = points.mean(self.latent_features(points))
        raw = self.latent_output(self.latent_hidden(s).relu()).float()
        mean, raw_std = raw.chunk(2, dim=1)
        return Normal(mean, 0.1 + 0.9 * raw_std.sigmoid())

    def latent_features(self, points: Points) -> Float[Tensor, "B K D"]:
        """What each point says of z."""
        features: Tensor = self.latent_input(points.whole)
        return features

    def from_context(
        self, context: Points, place: Float[Tensor, "B T P"]
    ) -> Float[Tensor, "B T D"]:
        """The deterministic path: what each target takes from the context, zero from none."""
        mean = context.mean(self.point_input(context.whole))
        return mean[:, None].expand(-1, place.shape[1], -1)

    def decode(
        self,
        z: Float[Tensor, "B Z"],
        taken: Float[Tensor, "B T D"],
        place: Float[Tensor, "B T P"],
    ) -> Normal:
        """p(values at the targets | z, context), for values in [0, 1]."""
        hidden = self.from_place(torch.cat([place, taken], dim=2)) + self.from_latent(z)[:, None]
        raw = self.output(self.decoder(hidden.relu()).relu()).float()
        mean, raw_std = raw.chunk(2, dim=2)
        config = self.config
        return Normal(config.mean + config.std * mean, config.floor + 0.9 * F.softplus(raw_std))

    def terms(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
        """log p(hidden | z, seen), z ~ q(z | all), and KL(q(z | all) || q(z | seen)), in nats.

        Both over points drawn with torch's global generator if there are more than are used.

        Raises:
            ValueError: scene and observation do not fit the model or each other.
        """
        self.check(observation)
        if scene.shape != observation.values.shape:
            raise ValueError(
                f"scene is {tuple(scene.shape)}, expected that of the observation, "
                f"{tuple(observation.values.shape)}"
            )
        config = self.config
        seen, fraction = self.coarse(observation)
        truth = F.avg_pool2d(scene, config.size // config.resolution)
        truth = self.standardised(truth)
        looked, hidden = (fraction > 0)[:, 0], (fraction < 1)[:, 0]
        shuffled = 1 + torch.rand_like(fraction[:, 0])
        context = self.points(seen, shuffled * looked, config.context)
        targets = self.points(truth, shuffled * hidden, config.targets)
        q, prior = self.latent(context.joined(targets)), self.latent(context)
        p = self.decode(q.rsample(), self.from_context(context, targets.place), targets.place)
        value = config.mean + config.std * targets.value
        each = p.log_prob(value).sum(2) * targets.valid  # [B, K]
        number = targets.valid.sum(1).clamp(min=1)
        return each.sum(1) * hidden.flatten(1).sum(1) / number, kl_divergence(q, prior).sum(1)

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Negative bound on the log-density of hidden pixels, in nats per dimension of the grid."""
        likelihood, rate = self.terms(scene, observation)
        return (rate - likelihood).mean() / (self.config.channels * self.config.resolution**2)

    @torch.no_grad()
    def figures(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> dict[str, float]:
        """The loss and its rate, with noise of a fixed seed."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            likelihood, rate = self.terms(scene, observation)
        per = self.config.channels * self.config.resolution**2
        return {
            "val_loss": float((rate - likelihood).mean()) / per,
            "val_rate_nats": float(rate.mean()),
        }

    @torch.no_grad()
    def draw(self, observation: Observation, n: int, seed: Seeds = 0) -> Float[Tensor, "n B C H W"]:
        """`n` scenes of latent variables from q(z | seen), with the pixels' noise if it is on."""
        config, batch = self.config, len(observation)
        noise = SceneNoise(per_scene(seed, batch), observation.device)
        seen, fraction = self.coarse(observation)
        context = self.points(seen, fraction[:, 0])
        prior = self.latent(context)
        place = self.places.expand(batch, -1, -1)  # type: ignore[operator]
        taken = self.from_context(context, place)
        z = prior.mean + prior.stddev * noise.normal(n, config.latent)
        scenes = []
        for each in z:  # one at a time, for a batch of scenes has many points
            p = self.decode(each, taken, place)
            scenes.append(torch.stack([p.mean, p.stddev]).mT.unflatten(3, (config.resolution, -1)))
        mean, deviation = torch.stack(scenes, dim=1)  # [n, B, C, R, R] each
        if config.noise:
            mean = mean + deviation * noise.normal(n, *mean.shape[2:])
        drawn = mean.clamp(0, 1)
        if config.resolution == config.size:
            return drawn
        large = F.interpolate(
            drawn.flatten(0, 1), size=config.size, mode="bilinear", align_corners=False
        )
        return large.unflatten(0, (n, batch))
