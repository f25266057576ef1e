"""The one training loop: AdamW, EMA, skipping that recovers, resume, several GPUs, turns."""

from __future__ import annotations

import copy
import logging
import math
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from boed.data.dataset import Dataset
from boed.data.incomplete import Incomplete
from boed.foundation.interruption import Interrupted, held_back
from boed.foundation.precision import choose
from boed.foundation.randomness import derive
from boed.training.config import TrainingConfig
from boed.training.curve import Curve, curve_path
from boed.training.ranks import Ranks
from boed.training.state import Learner, Progress

_log = logging.getLogger(__name__)


def provenance(
    train: Dataset | Incomplete, training: TrainingConfig, progress: Progress
) -> dict[str, Any]:
    """What a checkpoint's header says of how its weights came about."""
    return {
        "data": {
            "name": train.name,
            "split": train.split,
            "images": len(train),
            "sha256": train.sha256,
        },
        "fit": training.table(),
        "steps": progress.step,
        "precision": progress.precision,
        "seconds": round(progress.seconds, 3),
        "cpu_seconds": round(progress.cpu_seconds),
        "history": progress.history,
        "best": progress.best,
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
    merit: str | None = None,
    on_step: Callable[[int, float], None] | None = None,
    after_update: Callable[[], None] | None = None,
    about: dict[str, Any] | None = None,
) -> tuple[dict[str, Tensor], Progress]:
    """Minimise `loss` over the parameters of `model` that require gradients.

    With several ranks (`devices`, `nodes`) each calls `loss` with random numbers of its own, for
    its share of the batch. Gradients, the loss, and what the batch did to floating buffers such
    as batch-norm statistics are averaged over the ranks before the update, so that all of them
    make, clip or skip the same one. Batch norm itself normalises each share on its own.

    Networks take turns where `loss` says so by its step, such as a critic five times before a
    generator: parameters that have no gradient on any rank rest, moments and all. What the norm of
    the gradient is limited by is then that of the network whose turn it is; the learning rate
    follows the steps of all.

    Args:
        model: what is trained, on its rank's device; it ends with the averaged weights loaded.
        loss: step number to a scalar loss. Torch's global generator is seeded from
            (seed, step) before each call, with several ranks from (seed, step, rank), so a
            resumed run repeats the very same numbers.
        training: how.
        state: file that holds the running state; if it exists the training goes on from it.
            All ranks read it, the first one writes it, and the curve (`curve_path`) beside it.
        validate: figures of merit of the averaged model, logged and kept in the history; called
            on the first rank.
        merit: the figure whose lowest value the best weights have, which the running state keeps;
            None keeps none.
        on_step: called with step number and loss after each update, on the first rank.
        after_update: called after each update that was made and before it goes into the average,
            on all ranks: it may change the weights, for example to keep them within bounds, which
            the average then keeps, too.
        about: what else must not change between the parts of a training, such as the data's
            checksum. A state that says nothing of one of these is accepted.

    Returns:
        The averaged weights (all buffers included) and the progress.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the step was finished and its state stored.
        ValueError: `training` has a rate for what `model` does not have, `state` belongs to another
            model or was made with other settings or data, not all ranks see it, there is no figure
            `merit`, or not one update could be made: the data or the settings are at fault.
    """
    ranks = training.ranks()
    ranks.copy_first(model)
    trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(
        _groups(trained, training.rates),
        lr=training.lr,
        betas=training.betas,
        weight_decay=training.weight_decay,
        foreach=True,
    )
    average = {k: p.detach().clone() for k, p in trained.items()}
    learner = Learner(model=model, trained=trained, average=average, optimiser=optimiser)
    progress = Progress()
    if state is not None and Path(state).exists():
        progress = learner.restore(Path(state), training, about)
    if not ranks.agree(progress.step):
        raise ValueError(f"state {state} is not the same for all machines; use a shared folder")
    device = ranks.device.type
    if not progress.precision:
        chosen = choose(training.precision, device, training=True) if ranks.first else ""
        progress.precision = ranks.first_says(chosen)
    rounded = progress.precision == "bf16"
    curve = None
    if state is not None:
        curve = Curve(curve_path(state), step=progress.step, steps=training.steps)
    good = _snapshot(model, optimiser)
    buffers = dict(model.named_buffers())
    bad_in_a_row = 0
    own = ("rank", ranks.rank) if ranks.number > 1 else ()
    before, began = progress.seconds, time.monotonic()
    cpu_before, cpu_began = progress.cpu_seconds, time.process_time()
    stop = False
    with held_back() as interruption:  # in the middle of a step there is nothing to go on from
        while progress.step < training.steps:
            step, step_began = progress.step, time.monotonic()
            torch.manual_seed(derive(training.seed, "step", step, *own))
            rate = training.lr * _schedule(step, training)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["factor"]
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
            made = math.isfinite(norm) and norm <= training.skip and math.isfinite(amount)
            if made:
                optimiser.step()
                if after_update is not None:
                    after_update()
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
            now = time.monotonic()
            progress.seconds = before + now - began
            progress.cpu_seconds = cpu_before + time.process_time() - cpu_began
            stuck = bad_in_a_row == 0 or progress.step >= training.steps
            if progress.skipped == progress.step and stuck:
                raise ValueError(
                    f"none of the first {progress.step} updates could be made: the last loss was "
                    f"{amount:.4g} and its gradient norm {norm:.4g}; updates need a finite loss "
                    f"and a norm of at most skip = {training.skip:g}; check the data, lr and skip"
                )
            if curve is not None:
                curve.add(
                    loss=amount,
                    norm=norm,
                    images=training.batch,
                    seconds=now - step_began,
                    made=made,
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
            figures: dict[str, float] = {}
            if stored_now:
                if bad_in_a_row == 0:
                    good = _snapshot(model, optimiser)
                if validate is not None:
                    if ranks.first:
                        figures = _with_average(model, trained, average, validate)
                    figures = ranks.first_says(figures)
                row = {"step": float(progress.step), "loss": amount, **figures}
                progress.history.append(row)
                best = merit is not None and learner.keep_best(progress, row, merit)
                if figures and ranks.first:
                    _log.info("%s", _validated(progress.step, figures, merit if best else None))
            if (
                curve is not None
                and ranks.first
                and (curve.due(progress.step) or stored_now or stop)
            ):
                curve.write(
                    step=progress.step,
                    images=progress.step * training.batch,
                    seconds=progress.seconds,
                    rate=rate,
                    figures=figures,
                )
            if state is not None and ranks.first and (stored_now or stop):
                learner.store(Path(state), training, progress=progress, about=about)
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


def _groups(trained: dict[str, nn.Parameter], rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Parameters by the factor of their learning rate, that of the longest prefix of their name.

    Raises:
        ValueError: there is no parameter of that name.
    """
    for prefix in rates:
        if not any(_begins(name, prefix) for name in trained):
            parts = dict.fromkeys(name.partition(".")[0] for name in trained)
            raise ValueError(
                f"rates has {prefix!r}, with which no parameter that is trained begins; expected "
                f"parts of the model, such as {', '.join(parts)}"
            )
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in trained.items():
        prefix = max((each for each in rates if _begins(name, each)), key=len, default="")
        group = {"params": [], "factor": rates.get(prefix, 1.0)}
        groups.setdefault(prefix, group)["params"].append(parameter)
    return list(groups.values())


def _begins(name: str, prefix: str) -> bool:
    """Whether a parameter is, or belongs to, a part of a model."""
    return f"{name}.".startswith(f"{prefix}.")


def _averaged(
    ranks: Ranks,
    trained: dict[str, nn.Parameter],
    buffers: dict[str, Tensor],
    held: dict[str, Tensor],
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


def _stored(progress: Progress, training: TrainingConfig, state: Path | str | None) -> str:
    """What of an interrupted training is stored, and how it goes on."""
    if state is None:
        return f"interrupted after step {progress.step} of {training.steps}; nothing is stored"
    return (
        f"interrupted; {progress.step} of {training.steps} steps are stored in {state}, and the "
        "same command goes on from there"
    )


def _validated(step: int, figures: dict[str, float], best: str | None) -> str:
    """What is said of a validation, of which one figure may be the best so far."""
    said = (f"{k} {v:.4f}" + " (best)" * (k == best) for k, v in figures.items())
    return f"step {step:,}: {', '.join(said)}"


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
