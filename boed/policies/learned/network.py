"""Networks that read an observation once and value every candidate look at the scene."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.classifiers.classifier import Classifier
from boed.classifiers.networks.densenet import ConvNormReLU, DenseNetConfig, SmallDenseNet
from boed.classifiers.screen import ModulatedBlock, fingerprint
from boed.classifiers.trained import TrainedClassifier
from boed.data.observation import Observation
from boed.foundation.checks import at_least
from boed.foundation.files import read_model, save_model
from boed.foundation.identity import DIGITS, identity
from boed.policies.learned.looks import CandidateLooks
from boed.sensors.sensor import Sensor


@dataclass(frozen=True, kw_only=True)
class ValueConfig:
    """A network for pictures, or one for anything else that is read.

    Attributes:
        encoder: of pictures: a small network on cat(values, mask); its `outputs` is not used. None
            for tables and readings.
        numbers: that can be read of a scene that is no picture.
        readings: that they are of, R.
        entries: of a design, K.
        width: channels of the layers that value looks.
        fine: how often a cell of the encoder's map is divided along each axis, so that looks
            which lie within one cell can be told apart.
        answers: of the classifier, `(K,)` or `(L, 2)`, for a network that learns to answer, too.
    """

    encoder: DenseNetConfig | None = None
    numbers: int = 0
    readings: int = 0
    entries: int = 0
    width: int = 64
    fine: int = 1
    answers: tuple[int, ...] = ()

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


class PictureNet(nn.Module):
    """A convolutional network whose map is read at each look's footprint.

    An encoder as the small classifiers have it, and a decoder that its pooled features modulate. A
    look's features are the mean of the map over its footprint, so that the weights do not depend
    on how many looks there are, nor on their form.
    """

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


class LookNet(nn.Module):
    """A number for every candidate look from one pass: the look of the highest one is taken.

    Args:
        config: the network.
        looks: `CandidateLooks.name` of those that it is for.
        classifier: `classifier_name` of the one whose belief the looks are for.

    Attributes:
        name: of the policy.
        merit: the validation's figure that says how good it is, lower is better.
        expects: whether the numbers are gains of looks in nats.
        logits: whether they are logits; else they are nats, of the look or of what follows, too.
        costs: `CandidateLooks.costs` of what it was trained for; None if costs were nothing to it.
        first: the numbers `[D]` where nothing has been seen, which are the same for all scenes, if
            they are known otherwise (`boed.policies.learned.lessons.first_gains`); else the
            network's own.
    """

    costs: str | None = None
    first: tuple[float, ...] | None = None
    name: ClassVar[str]
    merit: ClassVar[str]
    expects: ClassVar[bool] = False
    logits: ClassVar[bool] = False

    def __init__(self, config: ValueConfig, *, looks: str, classifier: str) -> None:
        super().__init__()
        self.config, self.looks, self.classifier = config, looks, classifier
        self.provenance: dict[str, Any] = {}
        encoder = config.encoder
        self.network = SetNet(config) if encoder is None else PictureNet(config, encoder)

    def forward(self, observation: Observation, looks: CandidateLooks) -> Float[Tensor, "B D"]:
        """A number for each look, `[B, D]`."""
        values: Tensor = self.network(observation, looks)
        return values

    @classmethod
    def kind(cls) -> str:
        """What headers of checkpoints call it."""
        return f"{cls.name} policy"

    def check_looks(self, looks: CandidateLooks) -> None:
        """Refuse other looks, or scenes of another size, than it was trained for.

        Raises:
            ValueError: naming both.
        """
        if looks.name != self.looks:
            raise ValueError(
                f"policy: it was trained for {self.looks}, not for {looks.name}; train one for "
                f"these with `boed train policy {self.name} --sensor ...`"
            )

    def check_costs(self, sensor: Sensor, looks: CandidateLooks) -> None:
        """Refuse other costs of looks than it was trained for, if it was trained for any.

        Raises:
            ValueError: naming both.
        """
        if self.costs is not None and (given := looks.costs(sensor)) != self.costs:
            raise ValueError(
                f"policy: it was trained for {self.costs}, not for {given}; train one for these "
                f"with `boed train policy {self.name} --sensor ...`"
            )

    def check_classifier(self, classifier: Classifier) -> None:
        """Refuse another classifier than it was trained for.

        Raises:
            ValueError: naming both.
        """
        if (given := classifier_name(classifier)) != self.classifier:
            raise ValueError(
                f"policy: it was trained for the classifier {self.classifier}, not for {given}; "
                f"train one for that with `boed train policy {self.name} --classifier ...`"
            )

    def save(self, path: Path | str, provenance: dict[str, Any]) -> None:
        """Write the weights, rounded to half precision, with configuration and provenance."""
        header = {
            **provenance,
            "kind": self.kind(),
            "config": asdict(self.config),
            "looks": self.looks,
            "classifier": self.classifier,
            **({} if self.costs is None else {"costs": self.costs}),
            **({} if self.first is None else {"first": self.first}),
        }
        save_model(path, self, header)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a checkpoint that `save` wrote.

        Raises:
            ValueError: the file is missing, damaged, or holds something else.
        """
        return read_model(path, cls._built, cls.kind()).requires_grad_(False)

    @classmethod
    def _built(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> Self:
        config = ValueConfig.read(header["config"])
        network = cls(config, looks=header["looks"], classifier=header["classifier"])
        network.costs = header.get("costs")
        if header.get("first") is not None:
            network.first = tuple(map(float, header["first"]))
        return network


class ValueNet(LookNet):
    """The expected information gain of every candidate look, in nats.

    Attributes:
        scale: by which all values are multiplied; 1 until `corrected`.
    """

    name = "value"
    merit = "val_nll"
    expects = True
    scale: Tensor

    def __init__(self, config: ValueConfig, *, looks: str, classifier: str) -> None:
        super().__init__(config, looks=looks, classifier=classifier)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, observation: Observation, looks: CandidateLooks) -> Float[Tensor, "B D"]:
        """Expected fall of the classifier's log loss by each look, `[B, D]`, nats."""
        values = super().forward(observation, looks)
        if self.first is not None:
            seen = (observation.seen > 0).any(1, keepdim=True)
            values = values.where(seen, values.new_tensor(self.first))
        return values * self.scale

    def corrected(self, expected: float, gained: float) -> float:
        """Multiply all values so that what was expected of the looks chosen is what they gained.

        The best of many values is too high, and what is learned from the scenes that a classifier
        was trained on is, too. The order of the looks stays.

        Args:
            expected: mean value of the looks chosen, on scenes that nothing was learned from.
            gained: their mean gain.

        Returns:
            The factor, from 1/4 to 4; 1 where nothing was expected. Beyond that a warning says so.
        """
        if expected > 0:
            factor = gained / expected
            self.scale.mul_(min(max(factor, 0.25), 4.0))
            if not 0.25 <= factor <= 4:
                warnings.warn(
                    f"scale: the looks taken on val gained {gained:.3g} nats where {expected:.3g} "
                    f"were expected; values are multiplied by {float(self.scale):g}, the most that "
                    "is done, and do not say what looks gain: train longer, or on other scenes "
                    "than the classifier's",
                    stacklevel=2,
                )
        return float(self.scale)


class NonmyopicNet(LookNet):
    """What every candidate look and the best looks after it are expected to gain, in nats."""

    name = "nonmyopic"
    merit = "val_end"


def classifier_name(classifier: Classifier) -> str:
    """What tells a classifier from others: its class, and a checksum of what it holds."""
    if isinstance(classifier, TrainedClassifier):
        return f"{type(classifier).__name__} {fingerprint(classifier)[:DIGITS]}"
    return identity(classifier)
