"""The one training loop: AdamW, EMA, skipping that recovers, bf16, resume, several GPUs."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from boed.data.dataset import Dataset
from boed.foundation.checks import at_least, attributes, more_than
from boed.foundation.files import load_weights, save_weights
from boed.foundation.randomness import derive
from boed.foundation.registry import check_known
from boed.training.ranks import Ranks, join


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train.

    Attributes:
        steps: updates in all; the learning rate follows a cosine to zero over them.
        batch: images per update, over all devices; each takes its `share`.
        lr: highest learning rate, reached after `warmup` steps.
        weight_decay, betas: of AdamW.
        ema: decay of the running average of weights, which is what comes out.
        clip: gradients of a larger norm are scaled down to it.
        skip: an update whose gradient norm is larger than this, or NaN, is not made.
            Buffers such as batch-norm statistics then stay as they were, too.
        patience: so many skipped updates in a row go back to the last good state.
        seed: for batches, masks and latent variables.
        bf16: run the forward pass under bfloat16 autocast.
        minutes: stop, resumably, after so much time in this call; 0 is no limit.
        every: steps between checkpoints and validations.
        device: cpu or cuda.
        devices: processes that train together on each machine, one for each GPU.
        nodes: machines that train together.
    """

    steps: int
    batch: int = 64
    lr: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.9)
    ema: float = 0.999
    clip: float = 200.0
    skip: float = math.inf
    patience: int = 50
    seed: int = 0
    bf16: bool = False
    minutes: float = 0.0
    every: int = 500
    device: str = "cpu"
    devices: int = 1
    nodes: int = 1

    def __post_init__(self) -> None:
        at_least(1, **attributes(self, "steps", "batch", "patience", "every", "devices", "nodes"))
        more_than(0, **attributes(self, "lr", "clip", "skip"))
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema is {self.ema}, expected 0 <= ema < 1")
        check_known("device", self.device, ("cpu", "cuda"))
        if self.batch % (self.devices * self.nodes):
            raise ValueError(
                f"batch is {self.batch}, expected a multiple of the {self.devices * self.nodes} "
                "devices that share it"
            )

    @property
    def share(self) -> int:
        """Images per update that one device takes."""
        return self.batch // (self.devices * self.nodes)

    def ranks(self) -> Ranks:
        """This process among those that train together; starts them if there are to be several."""
        return join(self.device, self.devices, self.nodes)


@dataclass(kw_only=True)
class Progress:
    """Where a training stands; `history` has a row of figures per validation.

    `seconds` have passed, in which this process kept its cores busy for `cpu_seconds`.
    """

    step: int = 0
    skipped: int = 0
    restored: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def provenance(train: Dataset, settings: TrainingConfig, progress: Progress) -> dict[str, Any]:
    """What a checkpoint's header says of how its weights came about."""
    return {
        "data": {
            "name": train.name,
            "split": train.split,
            "images": len(train),
            "sha256": train.sha256,
        },
        "fit": {**asdict(settings), "skip": str(settings.skip)},
        "steps": progress.step,
        "cpu_seconds": round(progress.cpu_seconds),
        "history": progress.history,
    }


Loss = Callable[[int], Tensor]
"""Loss of one device's share of a step's batch; the same step always means the same batch."""


def fit(
    model: nn.Module,
    loss: Loss,
    settings: TrainingConfig,
    *,
    state: Path | str | None = None,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    on_step: Callable[[int, float], None] | None = None,
    about: dict[str, Any] | None = None,
) -> tuple[dict[str, Tensor], Progress]:
    """Minimise `loss` over the parameters of `model` that require gradients.

    With several ranks (`devices`, `nodes`) each calls `loss` with random numbers of its own, for
    its share of the batch. Gradients, the loss, and what the batch did to floating buffers such
    as batch-norm statistics are averaged over the ranks before the update, so that all of them
    make, clip or skip the same one. Batch norm itself normalises each share on its own.

    Args:
        model: what is trained, on its rank's device; it ends with the averaged weights loaded.
        loss: step number to a scalar loss. Torch's global generator is seeded from
            (seed, step) before each call, with several ranks from (seed, step, rank), so a
            resumed run repeats the very same numbers.
        settings: how.
        state: file that holds the running state; if it exists the training goes on from it.
            All ranks read it, the first one writes it.
        validate: figures of merit of the averaged model, shown and kept in the history; called
            on the first rank.
        on_step: told the step number and loss after each update, on the first rank.
        about: what else must not change between the parts of a training, such as the data's
            checksum. A state that says nothing of one of these is accepted.

    Returns:
        The averaged weights (all buffers included) and the progress.

    Raises:
        ValueError: `state` belongs to another model or was made with other settings or data, not
            all ranks see it, or not one update could be made: the data or the settings are at
            fault.
    """
    ranks = settings.ranks()
    ranks.copy_first(model)
    trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(
        trained.values(),
        lr=settings.lr,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
    )
    average = {k: p.detach().clone() for k, p in trained.items()}
    progress = Progress()
    if state is not None and Path(state).exists():
        progress = _restore(Path(state), model, trained, average, optimiser, settings, about)
    if not ranks.agree(progress.step):
        raise ValueError(f"state {state} is not the same for all machines; use a shared folder")
    good = _snapshot(model, optimiser)
    buffers = dict(model.named_buffers())
    bad_in_a_row = 0
    own = ("rank", ranks.rank) if ranks.number > 1 else ()
    before, began = progress.seconds, time.monotonic()
    cpu_before, cpu_began = progress.cpu_seconds, time.process_time()
    while progress.step < settings.steps:
        step = progress.step
        torch.manual_seed(derive(settings.seed, "step", step, *own))
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * _schedule(step, settings)
        held = {name: buffer.clone() for name, buffer in buffers.items()}
        device = next(model.parameters()).device.type
        with torch.autocast(device, torch.bfloat16, enabled=settings.bf16):
            value = loss(step)
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        if ranks.number > 1:
            value = _averaged(ranks, trained, buffers, held, value)
        amount = float(value.detach())
        norm = float(nn.utils.clip_grad_norm_(trained.values(), settings.clip))
        if math.isfinite(norm) and norm <= settings.skip and math.isfinite(amount):
            optimiser.step()
            bad_in_a_row = 0
            decay = min(settings.ema, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(
                    list(average.values()), [p.detach() for p in trained.values()], 1 - decay
                )
        else:
            for name, buffer in buffers.items():
                buffer.copy_(held[name])
            progress.skipped += 1
            bad_in_a_row += 1
            if bad_in_a_row >= settings.patience:
                _revert(model, optimiser, good)
                progress.restored += 1
                bad_in_a_row = 0
        progress.step += 1
        progress.seconds = before + time.monotonic() - began
        progress.cpu_seconds = cpu_before + time.process_time() - cpu_began
        stuck = bad_in_a_row == 0 or progress.step >= settings.steps
        if progress.skipped == progress.step and stuck:
            raise ValueError(
                f"none of the first {progress.step} updates could be made: the last loss was "
                f"{amount:.4g} and its gradient norm {norm:.4g}; updates need a finite loss and a "
                f"norm of at most skip = {settings.skip:g}; check the data, lr and skip"
            )
        if on_step is not None and ranks.first:
            on_step(progress.step, amount)
        ended = progress.step >= settings.steps or (
            settings.minutes > 0
            and ranks.first_says(time.monotonic() - began > 60 * settings.minutes)
        )
        if progress.step % settings.every == 0 or ended:
            if bad_in_a_row == 0:
                good = _snapshot(model, optimiser)
            row = {"step": float(progress.step), "loss": amount}
            if validate is not None and ranks.first:
                row |= _with_average(model, trained, average, validate)
            progress.history.append(ranks.first_says(row))
            if state is not None and ranks.first:
                _store(Path(state), model, trained, average, optimiser, settings, progress, about)
        if ended:
            break
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(average[name])
    return {k: v.detach().clone() for k, v in model.state_dict().items()}, progress


def _averaged(
    ranks: Ranks,
    trained: dict[str, nn.Parameter],
    buffers: dict[str, Tensor],
    held: dict[str, Tensor],
    value: Tensor,
) -> Tensor:
    """Average gradients and changes of floating buffers in place; returns the mean loss."""
    gradients = []
    for parameter in trained.values():
        if parameter.grad is None:  # this rank's share did not need it
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    changes = {k: each - held[k] for k, each in buffers.items() if each.is_floating_point()}
    value = value.detach().clone()
    ranks.average_([*gradients, *changes.values(), value])
    for name, change in changes.items():
        buffers[name].copy_(held[name] + change)
    return value


def _schedule(step: int, settings: TrainingConfig) -> float:
    """Linear warm-up, then a cosine to zero."""
    warm = min(1.0, (step + 1) / max(settings.warmup, 1))
    return warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


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


def _with_average(
    model: nn.Module,
    trained: dict[str, nn.Parameter],
    average: dict[str, Tensor],
    validate: Callable[[nn.Module], dict[str, float]],
) -> dict[str, float]:
    """Figures of merit with the averaged weights in place."""
    current = {name: p.detach().clone() for name, p in trained.items()}
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(average[name])
        was_training = model.training
        model.eval()
        figures = validate(model)
        model.train(was_training)
        for name, parameter in trained.items():
            parameter.copy_(current[name])
    return figures


def _store(
    path: Path,
    model: nn.Module,
    trained: dict[str, nn.Parameter],
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    settings: TrainingConfig,
    progress: Progress,
    about: dict[str, Any] | None,
) -> None:
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.items()}
    for index, entry in optimiser.state_dict()["state"].items():
        tensors |= {f"moment.{index}.{name}": torch.as_tensor(x) for name, x in entry.items()}
    header = {"kind": "fit", "settings": _comparable(settings), "progress": asdict(progress)}
    if about is not None:
        header["about"] = about
    save_weights(path, tensors, header)


def _restore(
    path: Path,
    model: nn.Module,
    trained: dict[str, nn.Parameter],
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    settings: TrainingConfig,
    about: dict[str, Any] | None,
) -> Progress:
    tensors, header = load_weights(path)
    if header.get("settings") != _comparable(settings):
        raise ValueError(
            f"{path} was trained with {header.get('settings')}, now asked for "
            f"{_comparable(settings)}; give the same settings, or remove the file to start anew"
        )
    known = header.get("about", {})
    for name, value in (about or {}).items():
        if known.get(name, value) != value:
            raise ValueError(
                f"{path} was trained with {name} {known[name]}, now given {value}; give the same, "
                "or remove the file to start anew"
            )
    weights = {k[6:]: v for k, v in tensors.items() if k.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path} belongs to another model: {error}") from error
    for name in average:
        average[name].copy_(tensors[f"average.{name}"])
    moments = optimiser.state_dict()
    for index in range(len(trained)):
        prefix = f"moment.{index}."
        moments["state"][index] = {
            k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)
        }
    optimiser.load_state_dict(moments)
    return Progress(**header["progress"])


def _comparable(settings: TrainingConfig) -> dict[str, Any]:
    """What must not change between the parts of one training."""
    fixed = asdict(settings)
    for name in ("minutes", "every", "device"):
        del fixed[name]
    ranks = fixed.pop("devices") * fixed.pop("nodes")
    if ranks > 1:  # they draw other numbers than one
        fixed["ranks"] = ranks
    fixed["betas"] = list(settings.betas)
    fixed["skip"] = str(settings.skip)
    return fixed
