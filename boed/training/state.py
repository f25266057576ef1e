"""The running state of a training: what changes with its steps, stored and gone on with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from boed.foundation.files import load_weights, save_weights
from boed.foundation.identity import check_same
from boed.training.config import TrainingConfig


@dataclass(kw_only=True)
class Progress:
    """Where a training stands; `history` has a row of figures per validation.

    `seconds` have passed, in which this process kept its cores busy for `cpu_seconds`, and computed
    in `precision`, chosen where the training began. `best` is the row of the history whose figure
    of merit is the lowest; it is empty where there is none, or its weights have not been kept.
    """

    step: int = 0
    skipped: int = 0
    restored: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    precision: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)

    def at_best(self) -> Self | None:
        """As it stood at the best validation; None if that is the present step, or unknown."""
        step = int(self.best.get("step", self.step))
        if step == self.step:
            return None
        return replace(self, step=step, history=[r for r in self.history if r["step"] <= step])


@dataclass(kw_only=True)
class Learner:
    """What of a training changes with its steps.

    Attributes:
        model: with the present weights.
        trained: its parameters that require gradients, by name.
        average: of them over the steps.
        optimiser: with its moments.
        best: averaged parameters and buffers of the best validation; empty before.
    """

    model: nn.Module
    trained: dict[str, nn.Parameter]
    average: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    best: dict[str, Tensor] = field(default_factory=dict)

    def with_average(self, validate: Callable[[nn.Module], dict[str, float]]) -> dict[str, float]:
        """Figures of merit with the averaged weights in place of the present ones."""
        current = {name: p.detach().clone() for name, p in self.trained.items()}
        self.use_average()
        was_training = self.model.training
        with torch.no_grad():
            self.model.eval()
            figures = validate(self.model)
            self.model.train(was_training)
            for name, parameter in self.trained.items():
                parameter.copy_(current[name])
        return figures

    @torch.no_grad()
    def use_average(self) -> None:
        """Let the averaged weights be the present ones."""
        for name, parameter in self.trained.items():
            parameter.copy_(self.average[name])

    def keep_best(self, progress: Progress, row: dict[str, float], merit: str) -> bool:
        """Keep the averaged weights if a validation's figure of merit is the lowest so far.

        Raises:
            ValueError: the validation has no such figure.
        """
        if merit not in row:
            raise ValueError(f"merit is {merit!r}, expected a figure of the validation: {set(row)}")
        if not math.isfinite(row[merit]) or row[merit] >= progress.best.get(merit, math.inf):
            return False
        fixed = {name for name, _ in self.model.named_parameters()} - self.trained.keys()
        averaged = self.model.state_dict() | self.average
        self.best = {k: v.detach().clone() for k, v in averaged.items() if k not in fixed}
        progress.best = row
        return True

    def store(
        self,
        path: Path,
        training: TrainingConfig,
        *,
        progress: Progress,
        about: dict[str, Any] | None,
    ) -> None:
        """Write everything that the training needs to go on."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for index, entry in self.optimiser.state_dict()["state"].items():
            tensors |= {f"moment.{index}.{name}": torch.as_tensor(x) for name, x in entry.items()}
        header = {"kind": "fit", "settings": comparable(training), "progress": asdict(progress)}
        if about is not None:
            header["about"] = about
        save_weights(path, tensors, header)

    def restore(
        self, path: Path, training: TrainingConfig, about: dict[str, Any] | None
    ) -> Progress:
        """Go on from what `store` wrote.

        Raises:
            ValueError: the state belongs to another model, or was made with other settings or data.
        """
        tensors, header = load_weights(path)
        known, asked = header.get("about", {}), about or {}
        both = [name for name in asked if name in known]
        check_same(
            f"state {path} is of another training",
            {"settings": header.get("settings"), **{name: known[name] for name in both}},
            {"settings": comparable(training), **{name: asked[name] for name in both}},
            advice="give the same settings and data, or remove the file to start anew",
        )
        try:
            self.model.load_state_dict(_part(tensors, "model."))
        except RuntimeError as error:
            raise ValueError(f"{path} belongs to another model: {error}") from error
        for name, average in self.average.items():
            average.copy_(tensors[f"average.{name}"])
        device = next(iter(self.average.values())).device
        self.best = {k: v.to(device) for k, v in _part(tensors, "best.").items()}
        moments = self.optimiser.state_dict()
        for index in range(len(self.trained)):
            moments["state"][index] = _part(tensors, f"moment.{index}.")
        self.optimiser.load_state_dict(moments)
        return Progress(**header["progress"])


def best_weights(path: Path) -> dict[str, Tensor]:
    """The averaged parameters and buffers of the best validation that a running state holds."""
    return _part(load_weights(path)[0], "best.")


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def comparable(training: TrainingConfig) -> dict[str, Any]:
    """What must not change between the parts of one training, as JSON holds it."""
    fixed = training.table()
    for name in ("minutes", "every", "device"):
        del fixed[name]
    ranks = fixed.pop("devices") * fixed.pop("nodes")
    if ranks > 1:  # they draw other numbers than one
        fixed["ranks"] = ranks
    fixed["betas"] = list(training.betas)
    return fixed
