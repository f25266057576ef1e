"""Small worlds whose best look is known, with their exact completers and classifiers.

None of the classes inherits anything of ours: they are also the user's own plain classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.completion.vae.aipo import AIPO
from boed.completion.vae.vdvae import VDVAE, VDVAEConfig
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.randomness import per_scene
from boed.policies import Decision

LEVELS = torch.tensor([51.0, 102.0, 153.0]) / 255
BACKGROUND = 128 / 255
PATCH = 4
TILES = [(row, column) for row in range(0, 16, PATCH) for column in range(0, 16, PATCH)]
CLUE = (8, 4)
NOISY = (12, 12)


class Clues:
    """Scenes of 16 pixels: grey but for one 4-pixel clue, whose level is the class.

    The clue lies at one of `places`, each as likely; the tile at NOISY is white noise.
    """

    def __init__(self, places: Sequence[tuple[int, int]] = (CLUE,)) -> None:
        self.places = [place for place in places if place != NOISY]

    def draw(self, place: tuple[int, int], answer: int, generator: torch.Generator) -> Tensor:
        scene = torch.full((1, 16, 16), BACKGROUND)
        row, column = NOISY
        noise = torch.randint(0, 256, (PATCH, PATCH), generator=generator) / 255
        scene[0, row : row + PATCH, column : column + PATCH] = noise
        row, column = place
        scene[0, row : row + PATCH, column : column + PATCH] = LEVELS[answer]
        return scene

    def dataset(self, number: int, seed: int = 0, findings: bool = False) -> Dataset:
        """Scenes with their class, or two findings: level 0, and level 2."""
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        answers = torch.as_tensor(rng.integers(3, size=number))
        places = [self.places[k] for k in rng.integers(len(self.places), size=number)]
        scenes = [
            self.draw(*each, generator) for each in zip(places, answers.tolist(), strict=True)
        ]
        images = (torch.stack(scenes) * 255).round().to(torch.uint8)
        if findings:
            labels = torch.stack([answers == 0, answers == 2], dim=1).long()
            return Dataset(
                name="clues",
                split="test",
                images=images,
                labels=labels,
                label_names=("dark", "bright"),
            )
        return Dataset(
            name="clues",
            split="test",
            images=images,
            labels=answers,
            label_names=("dark", "middle", "bright"),
        )


class ClueClassifier:
    """Exact: certain once any of the clue has been seen, else the prior."""

    def levels_seen(self, observation: Observation) -> Tensor:
        """Whether each level has been seen, `[B, 3]`."""
        usable = observation.mask[:, 0].clone()
        usable[:, NOISY[0] :, NOISY[1] :] = 0
        near = (observation.values - LEVELS.view(3, 1, 1)).abs() < 0.01
        return (near & (usable[:, None] > 0)).flatten(2).any(2)

    def log_probs(self, observation: Observation) -> Tensor:
        seen = self.levels_seen(observation).float()
        unknown = seen.sum(1, keepdim=True) == 0
        return torch.where(unknown, torch.full_like(seen, 1 / 3), seen).log()


class FindingsClassifier:
    """The same for the two findings, `[B, 2, 2]`."""

    def log_probs(self, observation: Observation) -> Tensor:
        present = ClueClassifier().log_probs(observation).exp()[:, [0, 2]]
        return torch.stack([1 - present, present], dim=-1).log()


class ClueCompleter:
    """Exact: the clue at a place not yet seen, of any level, unless it has been found."""

    def __init__(self, clues: Clues) -> None:
        self.clues = clues

    def sample(self, observation: Observation, n: int, seed: int | Sequence[int] = 0) -> Tensor:
        seen = ClueClassifier().levels_seen(observation)
        columns = []
        for b, each in enumerate(per_scene(seed, len(observation))):
            generator = torch.Generator().manual_seed(each)
            levels = seen[b].nonzero()[:, 0].tolist()
            places = self.possible(observation[b : b + 1], levels)
            drawn = []
            for _ in range(n):
                place = places[int(torch.randint(len(places), (1,), generator=generator))]
                level = int(torch.randint(3, (1,), generator=generator))
                drawn.append(self.clues.draw(place, (*levels, level)[0], generator))
            columns.append(torch.stack(drawn))
        return observation.composite(torch.stack(columns, dim=1))

    def possible(self, one: Observation, levels: list[int]) -> list[tuple[int, int]]:
        """Where the clue can be: where its level was seen, else where nothing was."""
        matching = []
        for row, column in self.clues.places:
            tile = (0, 0, slice(row, row + PATCH), slice(column, column + PATCH))
            if levels:
                near = (one.values[tile] - LEVELS[levels[0]]).abs() < 0.01
                matches = bool((near & (one.mask[tile] > 0)).any())
            else:
                matches = not one.mask[tile].any()
            if matches:
                matching.append((row, column))
        return matching


class GaussianPixels:
    """Scenes of 2 x 2 pixels: the first two are N(v, 1) and N(2 v, 1), the others are empty.

    v is 0 or 1, each as likely; the classifier is Bayes' rule.
    """

    gain = torch.tensor([[1.0, 2.0], [0.0, 0.0]])

    def draw(self, number: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        answers = torch.randint(0, 2, (number,), generator=generator)
        noise = torch.randn(number, 1, 2, 2, generator=generator)
        return answers.view(-1, 1, 1, 1) * self.gain + noise * (self.gain > 0), answers

    def log_probs(self, observation: Observation) -> Tensor:
        odds = (self.gain * observation.values - self.gain**2 / 2) * observation.mask
        odds = odds.sum((1, 2, 3))
        return torch.stack([-odds, odds], dim=1).mul(0.5).log_softmax(1)


class RowSensor:
    """Sees one whole row at a time; a design is the row's number, `[D, 1]`."""

    def designs(self, observation: Observation) -> Tensor:
        return torch.arange(observation.size)[:, None]

    def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
        shown = torch.zeros_like(observation.mask)
        shown[torch.arange(len(scene)), :, design[:, 0]] = 1
        return observation.with_seen(scene, shown)

    def cost(self, design: Tensor) -> Tensor:
        return torch.ones(len(design))


@dataclass
class Fixed:
    """Looks at candidates 0, 1, 2, ... in turn, and counts how often it was asked."""

    deterministic: bool = False
    calls: int = field(default=0, compare=False)  # changes no result

    def choose(
        self,
        observation: Observation,
        sensor: object,
        seed: int | Sequence[int] = 0,
        truth: Tensor | None = None,
    ) -> Decision:
        self.calls += 1
        candidates = sensor.designs(observation)  # type: ignore[attr-defined]
        seen = observation.mask.flatten(1).mean(1)
        each = seen.new_tensor(1 / len(candidates))
        index = (seen / each).round().long() % len(candidates)
        return Decision(candidates[index], candidates=candidates)


class Constant:
    """A classifier that answers `value` for every scene."""

    def __init__(self, value: Sequence[float]) -> None:
        self.value = torch.tensor(value)

    def log_probs(self, observation: Observation) -> Tensor:
        return self.value.expand(len(observation), -1)


def tiny_classifier(answers: int = 3) -> DenseNetClassifier:
    """A small random network for 32-pixel colour scenes, folded, with decided opinions."""
    torch.manual_seed(0)
    config = DenseNetConfig(
        size=32, channels=3, outputs=answers, stem=4, width=8, growth=(8,), layers=(2,)
    )
    model = DenseNetClassifier(config, tuple(f"answer {k}" for k in range(answers))).eval()
    with torch.no_grad():
        model.network.output.weight.mul_(30)  # type: ignore[operator, union-attr]
    model.requires_grad_(False)
    model.network.fold()  # type: ignore[operator]
    return model


def tiny_aipo() -> AIPO:
    """A small random AIPO for 32-pixel colour scenes, whose samples depend on what was seen."""
    torch.manual_seed(1)
    config = VDVAEConfig(
        size=32,
        channels=3,
        encoder="8x1,8d8,1x1",
        decoder="1x1,8m1,8x1",
        width=16,
        stem=4,
        latent=4,
        components=3,
    )
    model = AIPO(VDVAE(config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 4:
                scale = 0.5 / parameter[0].numel() ** 0.5
                parameter.add_(torch.randn_like(parameter) * scale)
    return model
