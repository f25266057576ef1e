"""A small network that guesses the classifier's belief after every candidate look in one pass."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.classifiers.classifier import Classifier
from boed.classifiers.networks.densenet import ConvNormReLU, DenseNetConfig, SmallDenseNet
from boed.classifiers.trained import checksum
from boed.data.observation import Observation
from boed.foundation.files import read_model, save_model

LOWEST = -10.0
"""Log-probabilities that the network is shown are not lower than this."""


@dataclass(frozen=True, kw_only=True)
class ScreenConfig:
    """An encoder as the small classifiers have it, and a decoder to a map of looks.

    Attributes:
        encoder: small network on cat(values, mask); its `outputs` is not used.
        answers: number of answers K; 2 for findings.
        findings: number of findings L, 0 where the classifier has one question.
        patch: side of a look over the width of the scene.
        width: channels of the decoder at the coarsest resolution, halved at the finer ones, and
            of the layers that read a look off the map.
    """

    encoder: DenseNetConfig
    answers: int
    findings: int = 0
    patch: float = 0.25
    width: int = 64

    @property
    def outputs(self) -> int:
        """Logits of one belief."""
        return max(self.findings, 1) * self.answers


class ModulatedBlock(nn.Module):
    """Two 3x3 convolutions added to their input, scaled and shifted by the context between."""

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(context, 2 * width)  # Perez et al. 2018
        for module in (self.second, self.film):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "P W h w"], context: Float[Tensor, "P E"]) -> Tensor:
        scale, shift = self.film(context)[..., None, None].chunk(2, dim=1)
        return x + self.second(F.relu(self.first(F.relu(x)) * (1 + scale) + shift))


class ScreenNet(nn.Module):
    """Guesses log g(v | f_c(I)) for one completion I and every look c of a patch sensor.

    One encoder reads the observation and the whole completion; a decoder, given the current belief
    g(v | observation) and the answer g(v | I), makes maps of both. A look is read off them twice,
    at its centre and in the mean over its footprint, since classifiers pool features over the
    scene, and two layers turn that into

        logits(c) = log g(v | observation) + gate(c) (log g(v | I) - log g(v | observation))
                    + change(c),

    so that untrained it says that no look changes anything. One pass costs a few of the
    classifier's, whatever the number of candidates.

    Args:
        config: the network.
        classifier: `checksum` of the classifier that it stands for.

    Attributes:
        merit: the validation's figure that says how good it is, lower is better.
    """

    merit: ClassVar[str] = "val_kl"

    def __init__(self, config: ScreenConfig, classifier: str) -> None:
        super().__init__()
        self.config, self.classifier = config, classifier
        self.provenance: dict[str, Any] = {}
        width = config.width
        encoder = SmallDenseNet(config.encoder)
        encoder.fold()  # no norms: a screen is trained from a folded classifier
        self.encoder = encoder.features.requires_grad_(True)
        self.context = nn.Linear(4 * config.outputs, width)
        depths = config.encoder.depths[::-1]
        widths = [max(width >> level, min(width, 32)) for level in range(len(depths))]
        self.enter = nn.ModuleList(
            nn.Conv2d(2 * depth, each, 1) for depth, each in zip(depths, widths, strict=True)
        )
        self.blocks = nn.ModuleList(ModulatedBlock(each, width) for each in widths)
        self.finer = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1) for coarse, fine in itertools.pairwise(widths)
        )
        self.last = ModulatedBlock(widths[-1], width)
        self.at_centre = nn.Conv2d(widths[-1], width, 1)
        self.over_footprint = nn.Conv2d(widths[-1], width, 1)
        self.everywhere = nn.Linear(widths[0] + width, width)
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, 2 * config.outputs)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def log_beliefs(
        self,
        observation: Observation,
        completion: Float[Tensor, "P C H W"],
        belief: Float[Tensor, "P *L K"],
        *,
        answer: Float[Tensor, "P *L K"],
        corners: Float[Tensor, "#P D 2"],
    ) -> Float[Tensor, "P D *L K"]:
        """Guessed beliefs after each look, one row for each completion.

        Args:
            observation: what was seen before the look.
            completion: whole scenes that agree with it.
            belief: log g(v | observation).
            answer: log g(v | completion), all of it seen.
            corners: top-left (row, column) of each look in pixels; one row where all completions
                have the same looks.

        Raises:
            ValueError: scenes of another size, or beliefs about another question.
        """
        self._check(observation, completion, belief, answer)
        known = torch.stack([belief, answer]).clamp(min=LOWEST).flatten(2)  # [2, P, outputs]
        both = torch.cat([known / -LOWEST, known.exp()]).transpose(0, 1).flatten(1)
        context = F.relu(self.context(both))
        x, everywhere = self._decoded(observation, completion, context)
        looks = self._read(self.at_centre(x), self.over_footprint(x), corners)
        looks = F.relu(looks + everywhere[:, None])
        gate, change = self.output(F.relu(self.hidden(looks))).chunk(2, dim=-1)
        before, whole = known[:, :, None]
        logits = (before + gate * (whole - before) + change).float()
        return F.log_softmax(logits.unflatten(-1, belief.shape[1:]), dim=-1)

    def _decoded(
        self, observation: Observation, completion: Tensor, context: Tensor
    ) -> tuple[Float[Tensor, "P W h w"], Float[Tensor, "P E"]]:
        """The map at the finest resolution, and what holds for every look."""
        config = self.config.encoder
        seen, whole = (
            each.network_input(config.mean, config.std)
            for each in (observation, Observation.everything(completion))
        )
        x = F.pixel_unshuffle(torch.cat([seen, whole]), config.stem)
        levels = []
        for number, part in enumerate(self.encoder):
            if number and isinstance(part, ConvNormReLU):  # between dense blocks
                levels.append(x)
            x = part(x)
        levels.append(x)
        pairs = [torch.cat(level.chunk(2), dim=1) for level in levels[::-1]]
        x = self.blocks[0](self.enter[0](pairs[0]), context)
        pooled = F.relu(x).mean((2, 3))
        everywhere = self.everywhere(torch.cat([pooled, context], dim=1))
        rest = zip(self.finer, self.enter[1:], self.blocks[1:], pairs[1:], strict=True)
        for finer, enter, block, pair in rest:
            coarse = F.interpolate(finer(F.relu(x)), size=pair.shape[-2:])
            x = block(enter(pair) + coarse, context)
        return F.relu(self.last(x, context)), everywhere

    def _read(
        self,
        at_centre: Float[Tensor, "P E h w"],
        over_footprint: Float[Tensor, "P E h w"],
        corners: Float[Tensor, "#P D 2"],
    ) -> Float[Tensor, "P D E"]:
        """One map at the centre of each look, the other averaged over its footprint; added."""
        size, (height, width) = self.config.encoder.size, at_centre.shape[-2:]
        side = round(self.config.patch * size)
        where = (2 * (corners + side / 2) / size - 1).flip(-1)[:, :, None]  # (x, y) in [-1, 1]
        where = where.to(at_centre).expand(len(at_centre), -1, -1, -1)
        centre = F.grid_sample(at_centre, where, padding_mode="border", align_corners=False)
        covered = [
            _overlap(corners[..., axis], side, size, cells) / side
            for axis, cells in enumerate((height, width))
        ]
        footprint = (covered[0][..., :, None] * covered[1][..., None, :]).flatten(2)
        mean = footprint.to(over_footprint) @ over_footprint.flatten(2).transpose(1, 2)
        return centre[..., 0].transpose(1, 2) + mean

    def _check(
        self, observation: Observation, completion: Tensor, belief: Tensor, answer: Tensor
    ) -> None:
        config, size = self.config, self.config.encoder.size
        scene = (config.encoder.channels, size, size)
        for name, given in (("observation", observation.values), ("completion", completion)):
            if tuple(given.shape) != (len(completion), *scene):
                raise ValueError(
                    f"{name} is {tuple(given.shape)}, expected [P, *{scene}]: the scenes that "
                    "this screen was trained for"
                )
        question = (config.findings, config.answers) if config.findings else (config.answers,)
        for name, given in (("belief", belief), ("answer", answer)):
            if tuple(given.shape) != (len(completion), *question):
                raise ValueError(
                    f"{name} is {tuple(given.shape)}, expected {(len(completion), *question)}"
                )

    def check(self, classifier: Classifier, patch: float) -> None:
        """Refuse another classifier or patch than this screen was distilled for.

        Args:
            classifier: whose beliefs are to be guessed.
            patch: side of a look over the width of the scene.

        Raises:
            ValueError: it was distilled for another.
        """
        if (given := checksum(classifier)) != self.classifier:
            raise ValueError(
                f"screen: it was distilled from the classifier {self.classifier[:12]}, not from "
                f"this one, {given[:12]}; train one for it with `boed train screen`"
            )
        size = self.config.encoder.size
        pixels = [round(fraction * size) for fraction in (self.config.patch, patch)]
        if pixels[0] != pixels[1]:
            raise ValueError(
                f"screen: it was trained for looks of {pixels[0]} x {pixels[0]} pixels, not of "
                f"{pixels[1]} x {pixels[1]}; train one for them with `boed train screen`"
            )

    def save(self, path: Path | str, provenance: dict[str, Any]) -> None:
        """Write the weights, rounded to half precision, with configuration and provenance."""
        header = {
            **provenance,
            "kind": "screen",
            "config": asdict(self.config),
            "classifier": self.classifier,
        }
        save_model(path, self, header)

    @classmethod
    def load(cls, path: Path | str) -> ScreenNet:
        """Read a checkpoint that `save` wrote.

        Raises:
            ValueError: the file is missing, damaged, or holds something else.
        """
        model = read_model(path, cls._built, "screen").requires_grad_(False)
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def _built(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> ScreenNet:
        given = dict(header["config"])
        encoder = DenseNetConfig.read(given.pop("encoder"))
        return cls(ScreenConfig(encoder=encoder, **given), header["classifier"])


def _overlap(
    start: Float[Tensor, "P D"], side: int, size: int, cells: int
) -> Float[Tensor, "P D c"]:
    """How many pixels of each cell along an axis an interval of `side` pixels covers."""
    edges = torch.linspace(0, size, cells + 1, device=start.device)
    low = torch.maximum(start[..., None], edges[:-1])
    return (torch.minimum(start[..., None] + side, edges[1:]) - low).clamp(min=0)
