"""Networks from what has been seen of a scene to a number for each candidate look."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.classifiers.networks.densenet import ConvNormReLU, DenseNetConfig, SmallDenseNet
from boed.classifiers.networks.fully_connected import FullyConnected
from boed.classifiers.screen import ModulatedBlock
from boed.data.observation import Observation
from boed.foundation.checks import at_least
from boed.policies.learned.looks import CandidateLooks


@dataclass(frozen=True, kw_only=True)
class ValueConfig:
    """A network for pictures, or one for anything else that is read.

    Attributes:
        encoder: of pictures: a `small` network on cat(values, mask), or an `mlp`; its `outputs` is
            not used. None for tables and readings.
        numbers: that can be read of a scene that is no picture.
        readings: that they are of, R.
        entries: of a design, K.
        width: channels of the layers that value looks.
        fine: how often a cell of the encoder's map is divided along each axis, so that looks
            which lie within one cell can be told apart.
        answers: of the classifier, `(K,)` or `(L, 2)`, for a network that learns to answer, too.
        candidates: D, of an `mlp`, which has an output for each.
    """

    encoder: DenseNetConfig | None = None
    numbers: int = 0
    readings: int = 0
    entries: int = 0
    width: int = 64
    fine: int = 1
    answers: tuple[int, ...] = ()
    candidates: int = 0

    def __post_init__(self) -> None:
        at_least(1, width=self.width, fine=self.fine)

    @classmethod
    def read(cls, header: dict[str, Any]) -> ValueConfig:
        """From what a checkpoint's header says."""
        given = {**header, "answers": tuple(header.get("answers", ()))}
        encoder = given.pop("encoder")
        return cls(encoder=None if encoder is None else DenseNetConfig.read(encoder), **given)


class LookValues(nn.Module):
    """From what is known of each look and of the scene to a number for each look.

    The number is the share of the look that is new times what two layers make of it: a look that
    shows nothing new has no value, whatever was learned.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.new = nn.Parameter(torch.zeros(width))
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(
        self, known: Float[Tensor, "B D W"], new: Float[Tensor, "B D"]
    ) -> Float[Tensor, "B D"]:
        hidden = F.relu(self.hidden(F.relu(known + new[..., None] * self.new)))
        return self.output(hidden)[..., 0].float() * new


class FlatNet(nn.Module):
    """Fully connected layers from all pixels to a number for each look.

    They know nothing of where looks lie, which the network of pictures is told: for some hundred
    single pixels they are as good, and many times as fast.

    Attributes:
        gives: of each such network, the name of the layer that gives the numbers.
    """

    gives = "output"

    def __init__(self, config: ValueConfig, encoder: DenseNetConfig) -> None:
        super().__init__()
        self.config = encoder
        layers, _ = FullyConnected.layers(encoder, dropout=0.0)  # it looks where it says
        self.encoder = nn.Sequential(*layers)
        self.output = nn.Linear(encoder.width, config.candidates)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, observation: Observation, looks: CandidateLooks) -> Float[Tensor, "B D"]:
        read = observation.network_input(self.config.mean, self.config.std)
        return self.output(self.encoder(read)).float() * looks.new_share(observation)


class PictureNet(nn.Module):
    """A convolutional network whose map is read at each look's footprint.

    An encoder as the small classifiers have it, and a decoder that its pooled features modulate. A
    look's features are the mean of the map over its footprint, so that the weights do not depend
    on how many looks there are, nor on their form.
    """

    gives = "values.output"

    def __init__(self, config: ValueConfig, encoder: DenseNetConfig) -> None:
        super().__init__()
        self.config, width, depths = encoder, config.width, encoder.depths[::-1]
        network = SmallDenseNet(encoder)
        network.fold()  # no norms: it may begin with the weights of a folded classifier
        self.encoder = network.features.requires_grad_(True)
        self.fine = config.fine
        self.context = nn.Linear(2 * depths[0], width)
        self.enter = nn.ModuleList(nn.Conv2d(depth, width, 1) for depth in depths)
        self.blocks = nn.ModuleList(ModulatedBlock(width, width) for _ in depths)
        self.finer = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in depths[1:])
        self.position = nn.Conv2d(4, width, 1)
        self.last = ModulatedBlock(width, width)
        self.places = nn.Conv2d(width, width * config.fine**2, 1)
        self.everywhere = nn.Linear(width, width)
        self.values = LookValues(width)

    def forward(self, observation: Observation, looks: CandidateLooks) -> Float[Tensor, "B D"]:
        read = observation.network_input(self.config.mean, self.config.std)
        levels = self._levels(F.pixel_unshuffle(read, self.config.stem))[::-1]
        deepest = levels[0]
        pooled = torch.cat([deepest.mean((2, 3)), deepest.amax((2, 3))], dim=1)
        context = F.relu(self.context(pooled))
        x = self.blocks[0](self.enter[0](deepest), context)
        rest = zip(self.finer, self.enter[1:], self.blocks[1:], levels[1:], strict=True)
        for finer, enter, block, level in rest:
            coarse = F.interpolate(finer(F.relu(x)), size=level.shape[-2:])
            x = block(enter(level) + coarse, context)
        x = F.relu(self.last(x + self.position(_coordinates(x)), context))
        places = F.pixel_shuffle(self.places(x), self.fine)
        known = looks.mean_of(places) + self.everywhere(context)[:, None]
        return self.values(known, looks.new_share(observation))

    def places_of(self, fine: int) -> dict[str, Tensor]:
        """The weights that divide each cell by another `fine`, by name in a `LookNet`.

        All parts of a cell begin with the mean of what its parts were.
        """
        weights = self.places.state_dict(prefix="network.places.")
        if fine == self.fine:
            return weights
        return {
            name: weight.unflatten(0, (-1, self.fine**2)).mean(1).repeat_interleave(fine**2, dim=0)
            for name, weight in weights.items()
        }

    def _levels(self, x: Tensor) -> list[Tensor]:
        """The encoder's map at the end of each dense block, finest resolution first."""
        starts = [
            number
            for number, part in enumerate(self.encoder)
            if number and isinstance(part, ConvNormReLU)  # between dense blocks
        ]
        levels = []
        for begin, end in itertools.pairwise((0, *starts, len(self.encoder))):
            x = self.encoder[begin:end](x)
            levels.append(x)
        return levels


def _coordinates(picture: Float[Tensor, "B W h w"]) -> Float[Tensor, "1 4 h w"]:
    """Row and column of each cell from -1 to 1, and their squares: how far off the middle."""
    ends = [torch.linspace(-1, 1, side, device=picture.device) for side in picture.shape[-2:]]
    rows, columns = torch.meshgrid(*ends, indexing="ij")
    return torch.stack([rows, columns, rows**2, columns**2])[None].to(picture)


class SetNet(nn.Module):
    """Reads a set of numbers, such as features of a table row, and each look by what it takes.

    The numbers that are known are pooled: the first layer is a sum over them of what each one and
    its value stand for.
    """

    gives = "values.output"
    mean: Tensor
    std: Tensor

    def __init__(self, config: ValueConfig) -> None:
        super().__init__()
        width = config.width
        self.register_buffer("mean", torch.zeros(config.numbers))
        self.register_buffer("std", torch.ones(config.numbers))
        self.pooled = nn.Linear(config.numbers + config.readings, width)
        self.code = nn.Linear(width, width)
        self.look = nn.Linear(config.readings + config.entries, width)
        self.values = LookValues(width)

    def forward(self, observation: Observation, looks: CandidateLooks) -> Float[Tensor, "B D"]:
        numbers, known, taken = looks.read(observation)
        given = torch.cat([(numbers - self.mean) / self.std * known, taken], dim=1)
        code = self.code(F.relu(self.pooled(given)))
        span = looks.designs.float().abs().amax(0).clamp(min=1)
        each = self.look(torch.cat([looks.shown, looks.designs / span], dim=1).float())
        return self.values(code[:, None] + each, looks.new_share(observation))


def backbone(config: ValueConfig) -> FlatNet | PictureNet | SetNet:
    """The network that a configuration describes."""
    if config.encoder is None:
        return SetNet(config)
    kind = FlatNet if config.encoder.kind == "mlp" else PictureNet
    return kind(config, config.encoder)
