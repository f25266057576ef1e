"""The Attentive Neural Process of Kim et al. 2019: pixels as points, completed by attention."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from boed.completion.learned import LearnedCompleter
from boed.data.observation import Observation
from boed.foundation.checks import at_least, attributes, more_than
from boed.foundation.randomness import SceneNoise, Seeds, per_scene
from boed.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class NeuralProcessConfig:
    """Architecture of an Attentive Neural Process.

    Attributes:
        size: width of the images in pixels.
        channels: image channels.
        resolution: width of the grid whose pixels are the points. Larger images are averaged
            down to it and completions interpolated up again, bilinearly.
        width: features of a point in attention.
        hidden: features of a point in the decoder.
        latent: dimensions of z.
        heads: of every attention layer.
        self_layers: self-attention layers of the context in the deterministic path.
        latent_layers: self-attention layers in the latent path.
        cross_layers: attention layers from targets to context.
        frequencies: octaves of sines and cosines beside each coordinate, and then products of all
            these with the value, which say what is where; 0 as published.
        context, targets: most seen and most hidden points that a training step keeps of a scene,
            chosen at random; 0 keeps all.
        floor: least standard deviation of a pixel, for values in [0, 1].
        noise: whether samples have pixel noise; without it they are the decoder's means, as in
            the paper's code, and know too little of what is hidden.
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
    heads: int = 8
    self_layers: int = 2
    latent_layers: int = 2
    cross_layers: int = 2
    frequencies: int = 0
    context: int = 0
    targets: int = 0
    floor: float = 0.1
    noise: bool = True
    mean: float = 0.5
    std: float = 0.25

    def __post_init__(self) -> None:
        counts = ("size", "channels", "resolution", "width", "hidden", "latent", "heads")
        at_least(1, **attributes(self, *counts, "cross_layers"))
        at_least(
            0,
            **attributes(self, "self_layers", "latent_layers", "frequencies", "context", "targets"),
        )
        more_than(0, **attributes(self, "floor", "std"))
        if self.size % self.resolution:
            raise ValueError(f"size {self.size} is not a multiple of resolution {self.resolution}")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")

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


class Attention(nn.Module):
    """Attention with several heads, then two layers, each with a residual and layer norm.

    That of the Image Transformer (Parmar et al. 2018) as the neural-process literature has it,
    without a projection of the heads' output. The norms have no parameters.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.inner = layers(width, width, width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def forward(
        self,
        query: Float[Tensor, "B Q D"],
        key: Float[Tensor, "B K D"],
        value: Float[Tensor, "B K D"],
        valid: Bool[Tensor, "B K"],
    ) -> Float[Tensor, "B Q D"]:
        q, k, v = (
            each.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for each in (self.query(query), self.key(key), self.value(value))
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=valid[:, None, None])
        out = self.norm(query + attended.transpose(1, 2).flatten(2))
        return self.norm(out + self.inner(out))


@dataclass(frozen=True)
class Points:
    """Some pixels of each scene as points, padded to one number K.

    Attributes:
        place: where, in features of the coordinates, `[B, K, P]`.
        value: what, standardised, `[B, K, C]`.
        valid: which of them are points and not padding, `[B, K]`.
    """

    place: Float[Tensor, "B K P"]
    value: Float[Tensor, "B K C"]
    valid: Bool[Tensor, "B K"]

    @property
    def whole(self) -> Float[Tensor, "B K W"]:
        """Place and value, and if the place has waves also their products with the value."""
        place, value = self.place, self.value
        if place.shape[2] == 2:
            return torch.cat([place, value], dim=2)
        return torch.cat([place, value, *(place * each for each in value.split(1, dim=2))], dim=2)

    @property
    def some(self) -> Bool[Tensor, " B"]:
        """Which scenes have any points."""
        return self.valid.any(1)

    @property
    def keys(self) -> Bool[Tensor, "B K"]:
        """What attention may look at: the points, or in a scene without any its padding.

        A softmax over no keys is NaN; what comes of padding is replaced by zeros.
        """
        return self.valid | ~self.some[:, None]

    def joined(self, other: Points) -> Points:
        """The points of both."""
        return Points(
            torch.cat([self.place, other.place], dim=1),
            torch.cat([self.value, other.value], dim=1),
            torch.cat([self.valid, other.valid], dim=1),
        )


class AttentiveNeuralProcess(LearnedCompleter):
    """An ANP over pixels (Kim et al. 2019), set up as a baseline by Harvey et al. 2021, App. B.2.

    Seen pixels are the context, hidden ones the targets. The deterministic path lets the context
    attend to itself and each target to the context; the latent path averages the context to
    q(z | context). A pixel is Gaussian given both. Trained on
    log p(targets | z, context) - KL(q(z | context and targets) || q(z | context)).

    Differences: norms without parameters, which give the number of parameters that the paper
    states exactly, where its code as published has 12,288 more; every scene of a batch has a mask
    of its own; the likelihood is over hidden pixels, as the paper says, while its code has all;
    targets left out of a training step are made up for in the likelihood. Above `resolution`,
    samples show what averages over blocks of pixels may be, and no finer detail.

    The small presets also see sines and cosines of the coordinates and average the latent path
    without attention: with the published layers z stays unused for the first thousands of steps.
    """

    name: ClassVar[str] = "anp"
    Config = NeuralProcessConfig
    config: NeuralProcessConfig
    PUBLISHED: ClassVar[NeuralProcessConfig] = NeuralProcessConfig(size=32, channels=3)
    """That of Harvey et al. 2021 for CIFAR-10; 256 px had `resolution=64`."""

    def __init__(self, config: NeuralProcessConfig) -> None:
        super().__init__(config)
        place, width, heads = config.place, config.width, config.heads
        point = config.point

        def attention(number: int) -> nn.ModuleList:
            return nn.ModuleList(Attention(width, heads) for _ in range(number))

        self.latent_input = layers(point, width, width, width)
        self.latent_attention = attention(config.latent_layers)
        self.latent_hidden = nn.Linear(width, width)
        self.latent_output = nn.Linear(width, 2 * config.latent)
        self.point_input = layers(point, width, width, width)
        self.point_attention = attention(config.self_layers)
        self.key_input = layers(place, width, width)
        self.query_input = layers(place, width, width)
        self.cross_attention = attention(config.cross_layers)
        # the decoder's first layer, split so that n latent variables share the place's part
        hidden = config.hidden
        self.from_place = nn.Linear(place + width, hidden)
        self.from_latent = nn.Linear(config.latent, hidden, bias=False)
        self.decoder = layers(hidden, hidden, hidden, hidden)
        self.output = nn.Linear(hidden, 2 * config.channels)
        self.register_buffer("places", grid(config.resolution, config.frequencies), False)

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[NeuralProcessConfig, TrainingConfig]:
        """A configuration for 28 or 32 px, or a multiple of 64 px seen at 32, and its training.

        Raises:
            ValueError: another size.
        """
        if size not in (28, 32) and (size % 64 or size < 64):
            raise ValueError(f"size {size} has no preset; expected 28, 32 or a multiple of 64")
        config = replace(
            cls.PUBLISHED,
            size=size,
            channels=channels,
            resolution=min(size, 32),
            width=64,
            hidden=128,
            latent=64,
            heads=2,
            self_layers=1,
            latent_layers=0,
            frequencies=4,
            context=64,
            targets=128,
        )
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
        x = self.latent_input(points.whole)
        for layer in self.latent_attention:
            x = layer(x, x, x, points.keys)
        weight = points.valid[:, :, None].float()
        s = (x.float() * weight).sum(1) / weight.sum(1).clamp(min=1)  # zero if there are none
        raw = self.latent_output(self.latent_hidden(s).relu()).float()
        mean, raw_std = raw.chunk(2, dim=1)
        return Normal(mean, 0.1 + 0.9 * raw_std.sigmoid())

    def attended(self, context: Points, place: Float[Tensor, "B T P"]) -> Float[Tensor, "B T D"]:
        """The deterministic path: what each target takes from the context, zero from none."""
        r = self.point_input(context.whole)
        for layer in self.point_attention:
            r = layer(r, r, r, context.keys)
        key, query = self.key_input(context.place), self.query_input(place)
        for layer in self.cross_attention:
            query = layer(query, key, r, context.keys)
        return torch.where(context.some[:, None, None], query, 0)

    def decode(
        self,
        z: Float[Tensor, "B Z"],
        attended: Float[Tensor, "B T D"],
        place: Float[Tensor, "B T P"],
    ) -> Normal:
        """p(values at the targets | z, context), for values in [0, 1]."""
        hidden = self.from_place(torch.cat([place, attended], dim=2)) + self.from_latent(z)[:, None]
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
        p = self.decode(q.rsample(), self.attended(context, targets.place), targets.place)
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
        attended = self.attended(context, place)
        z = prior.mean + prior.stddev * noise.normal(n, config.latent)
        scenes = []
        for each in z:  # one at a time, for a batch of scenes has many points
            p = self.decode(each, attended, place)
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


def grid(resolution: int, frequencies: int) -> Float[Tensor, "R*R P"]:
    """Row and column of each pixel's centre in [-1, 1], with sines and cosines of octaves."""
    centre = (2 * torch.arange(resolution) + 1) / resolution - 1
    place = torch.cartesian_prod(centre, centre)  # [R * R, 2]
    angles = [place * math.pi * 2.0**octave for octave in range(frequencies)]
    waves = [wave for angle in angles for wave in (angle.sin(), angle.cos())]
    return torch.cat([place, *waves], dim=1)
