"""The one training loop: AdamW, EMA, skipping that recovers, resume, several GPUs."""

from __future__ import annotations

import copy
import math
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from boed.data.dataset import Dataset
from boed.foundation.files import load_weights, save_weights
from boed.foundation.interruption import Interrupted, held_back
from boed.foundation.precision import choose
from boed.foundation.randomness import derive
from boed.training.config import TrainingConfig
from boed.training.ranks import Ranks


@dataclass(kw_only=True)
class Progress:
    """Where a training stands; `history` has a row of figures per validation.

    `seconds` have passed, in which this process kept its cores busy for `cpu_seconds`, and computed
    in `precision`, chosen where the training began.
    """

    step: int = 0
    skipped: int = 0
    restored: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    precision: str = ""
    history: list[dict[str, float]] = field(default_factory=list)


def provenance(train: Dataset, training: TrainingConfig, progress: Progress) -> dict[str, Any]:
    """What a checkpoint's header says of how its weights came about."""
    return {
        "data": {
            "name": train.name,
            "split": train.split,
            "images": len(train),
            "sha256": train.sha256,
        },
        "fit": {**asdict(training), "skip": str(training.skip)},
        "steps": progress.step,
        "precision": progress.precision,
        "seconds": round(progress.seconds, 3),
        "cpu_seconds": round(progress.cpu_seconds),
        "history": progress.history,
    }


Loss = Callable[[int], Tensor]
"""Loss of one device's share of a step's batch; the same step always means the same batch."""


def fit(
    model: nn.Module,
    loss: Loss,
    training: TrainingConfig,
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
        training: how.
        state: file that holds the running state; if it exists the training goes on from it.
            All ranks read it, the first one writes it.
        validate: figures of merit of the averaged model, shown and kept in the history; called
            on the first rank.
        on_step: called with step number and loss after each update, on the first rank.
        about: what else must not change between the parts of a training, such as the data's
            checksum. A state that says nothing of one of these is accepted.

    Returns:
        The averaged weights (all buffers included) and the progress.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the step was finished and its state stored.
        ValueError: `state` belongs to another model or was made with other settings or data, not
            all ranks see it, or not one update could be made: the data or the settings are at
            fault.
    """
    ranks = training.ranks()
    ranks.copy_first(model)
    trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(
        trained.values(),
        lr=training.lr,
        betas=training.betas,
        weight_decay=training.weight_decay,
        foreach=True,
    )
    average = {k: p.detach().clone() for k, p in trained.items()}
    progress = Progress()
    if state is not None and Path(state).exists():
        progress = _restore(Path(state), model, trained, average, optimiser, training, about)
    if not ranks.agree(progress.step):
        raise ValueError(f"state {state} is not the same for all machines; use a shared folder")
    device = ranks.device.type
    if not progress.precision:
        chosen = choose(training.precision, device, training=True) if ranks.first else ""
        progress.precision = ranks.first_says(chosen)
    rounded = progress.precision == "bf16"
    good = _snapshot(model, optimiser)
    buffers = dict(model.named_buffers())
    bad_in_a_row = 0
    own = ("rank", ranks.rank) if ranks.number > 1 else ()
    before, began = progress.seconds, time.monotonic()
    cpu_before, cpu_began = progress.cpu_seconds, time.process_time()
    stop = False
    with held_back() as interruption:  # in the middle of a step there is nothing to go on from
        while progress.step < training.steps:
            step = progress.step
            torch.manual_seed(derive(training.seed, "step", step, *own))
            for group in optimiser.param_groups:
                group["lr"] = training.lr * _schedule(step, training)
            held = {name: buffer.clone() for name, buffer in buffers.items()}
            with torch.autocast(device, torch.bfloat16, enabled=rounded):
                value = loss(step)
            optimiser.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            if ranks.number > 1:
                stop = interruption.signal is not None
                value, stop = _averaged(ranks, trained, buffers, held, value, stop)
            amount = float(value.detach())
            norm = float(nn.utils.clip_grad_norm_(trained.values(), training.clip))
            if math.isfinite(norm) and norm <= training.skip and math.isfinite(amount):
                optimiser.step()
                bad_in_a_row = 0
                decay = min(training.ema, (1 + step) / (10 + step))
                with torch.no_grad():
                    torch._foreach_lerp_(
                        list(average.values()), [p.detach() for p in trained.values()], 1 - decay
                    )
            else:
                for name, buffer in buffers.items():
                    buffer.copy_(held[name])
                progress.skipped += 1
                bad_in_a_row += 1
                if bad_in_a_row >= training.patience:
                    _revert(model, optimiser, good)
                    progress.restored += 1
                    bad_in_a_row = 0
            progress.step += 1
            progress.seconds = before + time.monotonic() - began
            progress.cpu_seconds = cpu_before + time.process_time() - cpu_began
            stuck = bad_in_a_row == 0 or progress.step >= training.steps
            if progress.skipped == progress.step and stuck:
                raise ValueError(
                    f"none of the first {progress.step} updates could be made: the last loss was "
                    f"{amount:.4g} and its gradient norm {norm:.4g}; updates need a finite loss "
                    f"and a norm of at most skip = {training.skip:g}; check the data, lr and skip"
                )
            if on_step is not None and ranks.first:
                on_step(progress.step, amount)
            ended = progress.step >= training.steps or (
                training.minutes > 0
                and ranks.first_says(time.monotonic() - began > 60 * training.minutes)
            )
            if ranks.number == 1:
                stop = interruption.signal is not None
            stored_now = progress.step % training.every == 0 or ended
            if stored_now:
                if bad_in_a_row == 0:
                    good = _snapshot(model, optimiser)
                row = {"step": float(progress.step), "loss": amount}
                if validate is not None and ranks.first:
                    row |= _with_average(model, trained, average, validate)
                progress.history.append(ranks.first_says(row))
            if state is not None and ranks.first and (stored_now or stop):
                _store(Path(state), model, trained, average, optimiser, training, progress, about)
            if ended or stop:
                break
        stop = stop or (ranks.number == 1 and interruption.signal is not None)
    if stop:
        number = interruption.signal or signal.SIGINT
        raise Interrupted(number, _stored(progress, training, state))
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
    stop: bool,
) -> tuple[Tensor, bool]:
    """Average gradients and changes of floating buffers in place.

    Returns:
        The mean loss, and whether any rank is to stop, upon which all do after this step.
    """
    gradients = []
    for parameter in trained.values():
        if parameter.grad is None:  # this rank's share did not need it
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    changes = {k: each - held[k] for k, each in buffers.items() if each.is_floating_point()}
    value = value.detach().clone()
    stopping = torch.full_like(value, stop)
    ranks.average_([*gradients, *changes.values(), value, stopping])
    for name, change in changes.items():
        buffers[name].copy_(held[name] + change)
    return value, float(stopping) > 0


def _stored(progress: Progress, training: TrainingConfig, state: Path | str | None) -> str:
    """What of an interrupted training is stored, and how it goes on."""
    if state is None:
        return f"interrupted after step {progress.step} of {training.steps}; nothing is stored"
    return (
        f"interrupted; {progress.step} of {training.steps} steps are stored in {state}, and the "
        "same command goes on from there"
    )


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
    training: TrainingConfig,
    progress: Progress,
    about: dict[str, Any] | None,
) -> None:
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.items()}
    for index, entry in optimiser.state_dict()["state"].items():
        tensors |= {f"moment.{index}.{name}": torch.as_tensor(x) for name, x in entry.items()}
    header = {"kind": "fit", "settings": comparable(training), "progress": asdict(progress)}
    if about is not None:
        header["about"] = about
    save_weights(path, tensors, header)


def _restore(
    path: Path,
    model: nn.Module,
    trained: dict[str, nn.Parameter],
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    training: TrainingConfig,
    about: dict[str, Any] | None,
) -> Progress:
    tensors, header = load_weights(path)
    if header.get("settings") != comparable(training):
        raise ValueError(
            f"{path} was trained with {header.get('settings')}, now asked for "
            f"{comparable(training)}; give the same settings, or remove the file to start anew"
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


def comparable(training: TrainingConfig) -> dict[str, Any]:
    """What must not change between the parts of one training, as JSON holds it."""
    fixed = asdict(training)
    for name in ("minutes", "every", "device"):
        del fixed[name]
    ranks = fixed.pop("devices") * fixed.pop("nodes")
    if ranks > 1:  # they draw other numbers than one
        fixed["ranks"] = ranks
    fixed["betas"] = list(training.betas)
    fixed["skip"] = str(training.skip)
    return fixed
