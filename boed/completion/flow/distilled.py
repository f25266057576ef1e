"""A flow distilled to a few steps: as many evaluations of the network, and no more."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from boed.completion.flow.matching import FlowConfig, FlowMatching
from boed.completion.learned import LearnedCompleter
from boed.data.observation import Observation
from boed.foundation.checks import check_fits
from boed.training.config import TrainingConfig


class DistilledFlow(FlowMatching):
    """Euler steps, each of which goes as far as several midpoint steps of a trained flow.

    Time is cut into `config.steps` windows. From a point on the path at the beginning of a window
    the teacher is integrated to its end, and the network learns the one step that leads there, as
    in progressive distillation (Salimans & Ho 2022) with the windows of PeRFlow (Yan et al. 2024).
    What is learnt is a function of its input, so that nothing is averaged away but what the network
    cannot hold.
    """

    name: ClassVar[str] = "flow-distilled"
    taught_by: ClassVar[str | None] = "flow"
    learns_from: ClassVar[tuple[str, ...]] = ("scenes",)
    lesson = 4
    """Midpoint steps of the teacher from 0 to 1, shared by the windows."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__(config)
        self._teacher: list[FlowMatching] = []  # a list: its weights are not this model's

    @classmethod
    def preset(cls, size: int, channels: int) -> tuple[FlowConfig, TrainingConfig]:
        """The flow's U-Net, with two steps up to 32 pixels and four above.

        Raises:
            ValueError: as for the flow.
        """
        config, training = super().preset(size, channels)
        return replace(config, steps=2 if size <= 32 else 4), replace(training, steps=2000, lr=5e-4)

    def learn_from(self, teacher: LearnedCompleter) -> None:
        """Keep a copy of the flow to learn from.

        Raises:
            ValueError: it is no flow, or for images of another size or standardised otherwise.
        """
        if not isinstance(teacher, FlowMatching):
            raise ValueError(f"teacher is {type(teacher).__name__}, expected FlowMatching")
        check_fits("teacher", teacher.config, self.config, name="the flow to distil")
        for key in ("mean", "std"):
            theirs, ours = getattr(teacher.config, key), getattr(self.config, key)
            if theirs != ours:
                raise ValueError(
                    f"teacher's images have {key} {theirs}, those to learn from {ours}; give a "
                    "flow that was trained on the same images"
                )
        self._teacher = [copy.deepcopy(teacher).eval().requires_grad_(False)]

    def loss(
        self,
        scene: Float[Tensor, "B C H W"],
        observation: Observation,
        progress: float = 1.0,
    ) -> Tensor:
        """Mean squared error of the step's velocity over all pixels.

        Raises:
            ValueError: there is no teacher; see `learn_from`.
        """
        if not self._teacher:
            raise ValueError("a distilled flow learns from a trained one; give it by learn_from")
        teacher = self._teacher[0].to(scene.device)
        windows = self.config.steps
        target = self.standardised(scene)
        noise = torch.randn_like(target)
        start = torch.randint(windows, (len(scene),), device=scene.device) / windows
        x = torch.lerp(noise, target, start[:, None, None, None])
        with torch.no_grad():
            steps = max(1, self.lesson // windows)
            end = teacher.carried(x, start, observation, duration=1 / windows, steps=steps)
        error: Tensor = self.velocity(x, start, observation) - (end - x) * windows
        return error.square().mean()

    def moved(
        self, x: Float[Tensor, "B C H W"], *, t: Float[Tensor, " B"], step: float, seen: Observation
    ) -> Float[Tensor, "B C H W"]:
        """One step from time t, by Euler's rule."""
        return x + step * self.velocity(x, t, seen)
