"""A selector of looks that is trained with a predictor of the label, end to end."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from boed.classifiers.calibration import cross_entropy
from boed.classifiers.networks.densenet import FoldingNetwork, build
from boed.data.looking import EVERYTHING
from boed.data.observation import Observation
from boed.policies.learned.backbones import ValueConfig
from boed.policies.learned.looks import CandidateLooks
from boed.policies.learned.network import LookNet
from boed.sensors.random_looks import RandomLooks
from boed.sensors.sensor import Sensor, look
from boed.training.config import GreedyTrainingConfig


class Predictor(nn.Module):
    """The label from looks of which some may be taken in part, as a relaxed choice takes them.

    Of pictures it is a small network, which may begin with the weights of a folded classifier.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ValueConfig) -> None:
        super().__init__()
        self.answers = config.answers
        outputs, width = math.prod(config.answers), config.width
        self.network: nn.Module
        if config.encoder is not None:
            network = build(replace(config.encoder, outputs=outputs))
            assert isinstance(network, FoldingNetwork)
            network.fold()
            self.network = network.requires_grad_(True)
            statistics = torch.tensor([config.encoder.mean]), torch.tensor([config.encoder.std])
        else:
            self.network = nn.Sequential(
                nn.Linear(config.numbers + config.readings, width),
                nn.ReLU(),
                nn.Linear(width, width),
                nn.ReLU(),
                nn.Linear(width, outputs),
            )
            statistics = torch.zeros(config.numbers), torch.ones(config.numbers)
        self.register_buffer("mean", statistics[0])
        self.register_buffer("std", statistics[1])

    def forward(
        self, whole: Observation, share: Float[Tensor, "B R"], looks: CandidateLooks
    ) -> Float[Tensor, "B *L K"]:
        """Log-probabilities of the answers.

        Args:
            whole: everything that the looks can show of the scenes.
            share: how much of each reading, or pixel, is taken, from 0 to 1.
            looks: the candidates.
        """
        if isinstance(self.network, FoldingNetwork):
            mask = share.unflatten(1, whole.shape)[:, None]
            read = torch.cat([(whole.values - self.mean) / self.std * mask, mask], dim=1)
        else:
            numbers, _, _ = looks.read(whole)
            known = share.repeat(1, numbers.shape[1] // share.shape[1])
            read = torch.cat([(numbers - self.mean) / self.std * known, share], dim=1)
        logits = self.network(read).float()
        return logits.unflatten(1, self.answers).log_softmax(-1)


class GreedyNet(LookNet):
    """Which look to take: the logits of a choice that was trained with a predictor's loss."""

    name = "greedy"
    merit = "val_nll"
    logits = True

    def __init__(self, config: ValueConfig, *, looks: str, classifier: str) -> None:
        super().__init__(config, looks=looks, classifier=classifier)
        self.predictor = Predictor(config)


@dataclass(frozen=True, eq=False, kw_only=True)
class RelaxedChoice:
    """The loss of greedy dynamic feature selection (Covert et al. 2023, Algorithm 1).

    At each step the selector's logits make a relaxed choice among the new looks (the Concrete
    distribution: Maddison et al. 2017, Jang et al. 2017), the predictor sees what has been taken
    and of each look as much as was chosen of it, and its log loss trains both. The look of the
    largest share is then taken, without a gradient: no step learns from those after it.

    Attributes:
        looks: the candidates.
        sensor: that offers them.
        training: how many steps, and how warm.
    """

    looks: CandidateLooks
    sensor: Sensor
    training: GreedyTrainingConfig

    def __call__(
        self,
        network: GreedyNet,
        scenes: Float[Tensor, "B C H W"],
        labels: Int64[Tensor, "B *L"],
        step: int,
    ) -> Float[Tensor, ""]:
        """The predictor's loss in nats, the mean over scenes and steps."""
        looks, temperature = self.looks, self.training.cooled(step)
        seeds = torch.randint(2**31, (len(scenes),)).tolist()
        everything = torch.full((len(scenes),), EVERYTHING)
        whole = RandomLooks(self.sensor, looks.shape)(scenes, everything)
        seen, losses = Observation.nothing_of(scenes), []
        for _ in range(self.training.looks):
            new = looks.new_share(seen) > 0
            new = new | ~new.any(1, keepdim=True)
            logits = network(seen, looks).masked_fill(~new, -torch.inf)
            choice = F.gumbel_softmax(logits, temperature)
            _, _, taken = looks.read(seen)
            share = taken + (1 - taken) * (choice @ looks.shown)
            losses.append(cross_entropy(network.predictor(whole, share, looks), labels).mean())
            design = looks.designs[choice.argmax(1)]
            seen = look(self.sensor, seen, scenes, design=design, seeds=seeds)
        return torch.stack(losses).mean()
