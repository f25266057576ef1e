"""The one training loop: AdamW, EMA, skipping that recovers, resume, several GPUs, turns."""

from __future__ import annotations

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
from boed.foundation.processor import processor
from boed.training.config import TrainingConfig
from boed.training.curve import Curve, curve_path
from boed.training.ranks import Ranks
from boed.training.state import Learner, Progress
from boed.training.updates import Loss, Updates

_log = logging.getLogger(__name__)

_CHOSEN: dict[tuple[Any, ...], str] = {}
"""Precisions by what was asked and what is trained, so that in one process a training that is
repeated computes in the same one."""


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
        "skipped": progress.skipped,
        "precision": progress.precision,
        "seconds": round(progress.seconds, 3),
        "cpu_seconds": round(progress.cpu_seconds),
        "processor": processor(training.device),
        "history": progress.history,
        "best": progress.best,
    }


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
            `merit`, not one update could be made, or the weights are not finite at the end: the
            data or the settings are at fault.
    """
    ranks = training.ranks()
    learner = _learner(model, training, ranks)
    progress = _begun(learner, training, ranks, state=state, about=about)
    updates = Updates(learner, training, ranks, loss=loss, after_update=after_update)
    if not progress.precision:
        progress.precision = _precision(updates, training, ranks, step=progress.step)
    updates.rounded = progress.precision == "bf16"
    curve = None
    if state is not None:
        curve = Curve(curve_path(state), step=progress.step, steps=training.steps)
    before, began = progress.seconds, time.monotonic()
    cpu_before, cpu_began = progress.cpu_seconds, time.process_time()
    stop = False
    with held_back() as interruption:  # in the middle of a step there is nothing to go on from
        while progress.step < training.steps:
            step_began = time.monotonic()
            update = updates.make(progress.step, stop=interruption.signal is not None)
            now = time.monotonic()
            progress.step += 1
            progress.skipped += not update.made
            progress.restored += update.reverted
            progress.seconds = before + now - began
            progress.cpu_seconds = cpu_before + time.process_time() - cpu_began
            if progress.skipped == progress.step:
                updates.check_are_made(progress.step, update)
            if curve is not None:
                curve.add(
                    loss=update.loss,
                    norm=update.norm,
                    images=training.batch,
                    seconds=now - step_began,
                    made=update.made,
                )
            if on_step is not None and ranks.first:
                on_step(progress.step, update.loss)
            ended = progress.step >= training.steps or (
                training.minutes > 0
                and ranks.first_says(time.monotonic() - began > 60 * training.minutes)
            )
            stop = update.stop if ranks.number > 1 else interruption.signal is not None
            stored_now = progress.step % training.every == 0 or ended
            figures: dict[str, float] = {}
            if stored_now:
                updates.remember()
                figures = _validated(
                    learner, progress, ranks, loss=update.loss, validate=validate, merit=merit
                )
            written = stored_now or stop or (curve is not None and curve.due(progress.step))
            if curve is not None and ranks.first and written:
                curve.write(
                    step=progress.step,
                    images=progress.step * training.batch,
                    seconds=progress.seconds,
                    rate=update.rate,
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
    learner.use_average()
    figure = progress.history[-1].get(merit, 0.0) if merit and progress.history else 0.0
    _check_converged(learner, progress, figure=figure)
    return {k: v.detach().clone() for k, v in model.state_dict().items()}, progress


def _learner(model: nn.Module, training: TrainingConfig, ranks: Ranks) -> Learner:
    """What is trained, at its beginning, the same on all ranks."""
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
    return Learner(model=model, trained=trained, average=average, optimiser=optimiser)


def _begun(
    learner: Learner,
    training: TrainingConfig,
    ranks: Ranks,
    *,
    state: Path | str | None,
    about: dict[str, Any] | None,
) -> Progress:
    """Where the training stands, which the learner is brought to."""
    progress = Progress()
    if state is not None and Path(state).exists():
        progress = learner.restore(Path(state), training, about)
    if not ranks.agree(progress.step):
        raise ValueError(f"state {state} is not the same for all machines; use a shared folder")
    return progress


def _precision(updates: Updates, training: TrainingConfig, ranks: Ranks, *, step: int) -> str:
    """What to compute in, which the first rank finds by its share of a step."""

    def compute(rounded: bool) -> None:
        updates.try_out(step, rounded=rounded)

    asked, device, chosen = training.precision, ranks.device.type, ""
    if ranks.first:
        shapes = tuple(each.shape for each in updates.learner.trained.values())
        key = (asked, device, training.share, shapes)
        if key not in _CHOSEN:
            _CHOSEN[key] = choose(asked, device, training=True, step=compute)
        chosen = _CHOSEN[key]
    return ranks.first_says(chosen)


def _validated(
    learner: Learner,
    progress: Progress,
    ranks: Ranks,
    *,
    loss: float,
    validate: Callable[[nn.Module], dict[str, float]] | None,
    merit: str | None,
) -> dict[str, float]:
    """Figures of merit with the averaged weights in place, in the history and the log."""
    figures: dict[str, float] = {}
    if validate is not None:
        try:
            figures = learner.with_average(validate) if ranks.first else {}
        except ValueError:
            _check_converged(learner, progress, figure=loss)  # if not, that is the reason
            raise
        figures = ranks.first_says(figures)
    row = {"step": float(progress.step), "loss": loss, **figures}
    progress.history.append(row)
    best = merit is not None and learner.keep_best(progress, row, merit)
    if figures and ranks.first:
        said = (f"{k} {v:.4f}" + " (best)" * (best and k == merit) for k, v in figures.items())
        _log.info("step %s: %s", f"{progress.step:,}", ", ".join(said))
    return figures


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


def _check_converged(learner: Learner, progress: Progress, *, figure: float) -> None:
    """Refuse to end with weights that are good for nothing.

    Args:
        learner: what was trained.
        progress: how far.
        figure: the last figure of merit, or loss.

    Raises:
        ValueError: weights are not finite, or the figure is NaN; saying what to change.
    """
    wrong = [k for k, weight in learner.trained.items() if not bool(weight.isfinite().all())]
    if wrong or math.isnan(figure):
        what = f"weights of {wrong[0]} are not finite" if wrong else "its last figure is NaN"
        raise ValueError(
            f"training diverged: {what} after {progress.step} steps, {progress.skipped} of them "
            "skipped; expected a smaller lr, clip or skip"
        )


def _stored(progress: Progress, training: TrainingConfig, state: Path | str | None) -> str:
    """What of an interrupted training is stored, and how it goes on."""
    if state is None:
        return f"interrupted after step {progress.step} of {training.steps}; nothing is stored"
    return (
        f"interrupted; {progress.step} of {training.steps} steps are stored in {state}, and the "
        "same command goes on from there"
    )
