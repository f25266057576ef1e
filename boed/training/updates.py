"""Updates of a model's weights and of their average; those that cannot be made are skipped."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from boed.foundation.randomness import derive
from boed.training.config import TrainingConfig
from boed.training.ranks import Ranks
from boed.training.state import Learner

Loss = Callable[[int], Tensor]
"""Loss of one device's share of a step's batch; the same step always means the same batch."""


@dataclass(frozen=True, kw_only=True)
class Update:
    """What became of one update.

    Attributes:
        loss: of the batch, the mean over all ranks.
        norm: of its gradient, before it was limited.
        rate: the learning rate.
        made: not skipped, as one is whose loss is not finite, or whose gradient is too large.
        reverted: too many were skipped in a row, and the weights are those of the last storing.
        stop: some rank is to stop; known with several of them alone.
    """

    loss: float
    norm: float
    rate: float
    made: bool
    reverted: bool
    stop: bool


class Updates:
    """Makes one update after the other.

    Args:
        learner: what is trained.
        training: how.
        ranks: which share the batch.
        loss: see `fit`.
        after_update: see `fit`.

    Attributes:
        rounded: compute in bfloat16 where torch's autocast does.
    """

    def __init__(
        self,
        learner: Learner,
        training: TrainingConfig,
        ranks: Ranks,
        *,
        loss: Loss,
        after_update: Callable[[], None] | None,
    ) -> None:
        self.learner, self.training, self.ranks = learner, training, ranks
        self.loss, self.after_update, self.rounded = loss, after_update, False
        self.failed = 0  # in a row
        self._buffers = dict(learner.model.named_buffers())
        self._own = ("rank", ranks.rank) if ranks.number > 1 else ()
        self.remember()

    def remember(self) -> None:
        """Let the present weights be those to go back to, unless updates are failing."""
        if self.failed == 0:
            self._good = _snapshot(self.learner.model, self.learner.optimiser)

    def make(self, step: int, *, stop: bool) -> Update:
        """The update of one step.

        Args:
            step: number of updates before.
            stop: whether this rank is to stop.
        """
        training, learner = self.training, self.learner
        rate = training.lr * _schedule(step, training)
        for group in learner.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        held = self._held()
        value = self._differentiated(step, rounded=self.rounded)
        if self.ranks.number > 1:
            value, stop = _averaged(
                self.ranks, learner.trained, self._buffers, held, value=value, stop=stop
            )
        amount = float(value.detach())
        norm = float(nn.utils.clip_grad_norm_(learner.trained.values(), training.clip))
        made = math.isfinite(norm) and norm <= training.skip and math.isfinite(amount)
        reverted = False
        if made:
            self._apply(step)
        else:
            reverted = self._skip(held)
        return Update(loss=amount, norm=norm, rate=rate, made=made, reverted=reverted, stop=stop)

    def try_out(self, step: int, *, rounded: bool) -> None:
        """Compute a step's gradient, for the time that it takes, and leave everything as it was."""
        held = self._held()
        with torch.random.fork_rng():
            self._differentiated(step, rounded=rounded)
        self.learner.optimiser.zero_grad(set_to_none=True)
        self._let_buffers_be(held)

    def check_are_made(self, steps: int, last: Update) -> None:
        """Refuse to go on if of so many updates, all that there were, none could be made.

        It is not known before weights were gone back to once, or the training is at its end.

        Raises:
            ValueError: the data or the settings are at fault.
        """
        if self.failed == 0 or steps >= self.training.steps:
            raise ValueError(
                f"none of the first {steps} updates could be made: the last loss was "
                f"{last.loss:.4g} and its gradient norm {last.norm:.4g}; updates need a finite "
                f"loss and a norm of at most skip = {self.training.skip:g}; check the data, lr and "
                "skip"
            )

    def _differentiated(self, step: int, *, rounded: bool) -> Tensor:
        """The loss of a step, whose gradient the weights have then."""
        torch.manual_seed(derive(self.training.seed, "step", step, *self._own))
        with torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=rounded):
            value = self.loss(step)
        self.learner.optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    def _held(self) -> dict[str, Tensor]:
        return {name: buffer.clone() for name, buffer in self._buffers.items()}

    def _let_buffers_be(self, held: dict[str, Tensor]) -> None:
        for name, buffer in self._buffers.items():
            buffer.copy_(held[name])

    def _apply(self, step: int) -> None:
        """Change the weights, and their average with them."""
        learner = self.learner
        learner.optimiser.step()
        if self.after_update is not None:
            self.after_update()
        self.failed = 0
        decay = min(self.training.ema, (1 + step) / (10 + step))
        weights = [each.detach() for each in learner.trained.values()]
        with torch.no_grad():
            torch._foreach_lerp_(list(learner.average.values()), weights, 1 - decay)

    def _skip(self, held: dict[str, Tensor]) -> bool:
        """Leave everything as it was; after too many in a row, go back. Whether that was done."""
        self._let_buffers_be(held)
        self.failed += 1
        if self.failed < self.training.patience:
            return False
        _revert(self.learner.model, self.learner.optimiser, self._good)
        self.failed = 0
        return True


def _averaged(
    ranks: Ranks,
    trained: dict[str, nn.Parameter],
    buffers: dict[str, Tensor],
    held: dict[str, Tensor],
    *,
    value: Tensor,
    stop: bool,
) -> tuple[Tensor, bool]:
    """Average gradients and changes of floating buffers in place.

    A parameter that has no gradient on any rank has none afterwards.

    Returns:
        The mean loss, and whether any rank is to stop, upon which all do after this step.
    """
    gradients = []
    moved = torch.tensor([p.grad is not None for p in trained.values()]).to(value)
    for parameter in trained.values():
        if parameter.grad is None:  # this rank's share did not need it
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    changes = {k: each - held[k] for k, each in buffers.items() if each.is_floating_point()}
    value = value.detach().clone()
    stopping = torch.full_like(value, stop)
    ranks.average_([*gradients, *changes.values(), value, stopping, moved])
    for parameter, share in zip(trained.values(), moved.tolist(), strict=True):
        if share == 0:
            parameter.grad = None
    for name, change in changes.items():
        buffers[name].copy_(held[name] + change)
    return value, float(stopping) > 0


def _schedule(step: int, training: TrainingConfig) -> float:
    """Linear warm-up, then a cosine to zero."""
    warm = min(1.0, (step + 1) / max(training.warmup, 1))
    return warm * 0.5 * (1 + math.cos(math.pi * step / training.steps))


def _snapshot(model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[Any, Any]:
    weights = {k: v.detach().clone() for k, v in model.state_dict().items()}
    moments = optimiser.state_dict()
    moments["state"] = {
        k: {name: x.clone() for name, x in entry.items()} for k, entry in moments["state"].items()
    }
    return weights, moments


def _revert(model: nn.Module, optimiser: torch.optim.Optimizer, good: tuple[Any, Any]) -> None:
    model.load_state_dict(good[0])
    optimiser.load_state_dict(copy.deepcopy(good[1]))  # it keeps, and changes, what it is given
