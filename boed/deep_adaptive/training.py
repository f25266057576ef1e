"""Training a policy on sPCE, resumably."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pyro
import torch
from torch import Tensor

from boed.deep_adaptive.experiments import Explain, all_explained, run_experiments
from boed.deep_adaptive.fused import FusedLikelihood
from boed.deep_adaptive.loss import contrast, single_look, spce_loss
from boed.deep_adaptive.network import DeepAdaptiveDesign, StaticDesign
from boed.eig.model.pyro_model import Model, SiteModel
from boed.foundation.checks import at_least, more_than
from boed.foundation.randomness import derive
from boed.training.checkpoints import claim_checkpoint, running_state
from boed.training.config import TrainingConfig
from boed.training.loop import fit
from boed.training.state import comparable

Trainable = TypeVar("Trainable", DeepAdaptiveDesign, StaticDesign)


COMPILED = 2**31
"""Log-likelihoods of a training above which they are compiled, which takes some 15 seconds."""


@dataclass(frozen=True, kw_only=True)
class PolicyTrainingConfig(TrainingConfig):
    """How to train a policy: a `TrainingConfig` with defaults that suit it, and four more fields.

    Attributes:
        batch: experiments per update.
        looks: T, of each experiment.
        contrasts: L, draws of theta that the truth is contrasted with. sPCE cannot exceed
            log(L + 1) nats, and its gradient fades as it gets near.
        limit: of the gradient that reaches each coordinate of a design, in nats per the policy's
            unit (`run_experiments`).
        watched: experiments that each validation averages over, with 4 times the contrasts.
    """

    unit: ClassVar[str] = "experiments"
    steps: int = 8000
    batch: int = 256
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    looks: int = 10
    contrasts: int = 1023
    limit: float = 2.0
    watched: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, looks=self.looks, contrasts=self.contrasts)
        at_least(2, watched=self.watched)
        more_than(0, limit=self.limit)

    def explain(self) -> Explain:
        """What evaluates likelihoods: compiled where that saves more time than it takes."""
        cells = self.steps * self.batch * self.looks * self.contrasts
        return FusedLikelihood(all_explained) if cells > COMPILED else all_explained


def train_policy(
    model: Model,
    policy: Trainable,
    settings: PolicyTrainingConfig,
    *,
    out: Path | str | None = None,
    observation: str = "y",
    target: str | Sequence[str] = "theta",
    provenance: dict[str, Any] | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Trainable:
    """Train a policy on sPCE by stochastic gradients: Algorithm 1 of Foster et al. 2021.

    Gradients go through the draws of the outcome where it can be reparameterised, else the
    score function is used. The global random state is left as it was.

    Args:
        model: Pyro model of a single look: takes a design `[*batch, K]`, and its sites have the
            batch shape `*batch`. No sites but the named ones may be sampled.
        policy: trained in place; its weights are the start.
        settings: looks, contrasts, updates, seed and so on.
        out: checkpoint to write. The running state lies beside it until the end; while it is
            there, the same call goes on from it, to the same weights bit for bit.
        observation: site of the outcome.
        target: site or sites that the experiments ask about.
        provenance: what else the checkpoint's header should say.
        on_step: called with the step and loss, which is -sPCE in nats.

    Returns:
        `policy`, whose `provenance` holds the settings, the seconds and the sPCE of each
        validation (`val_spce` ± `val_spce_se`).

    Raises:
        ValueError: the model lacks a named site, samples other latent sites, or has
            log-densities of the wrong shape or NaN; or `out` or its running state is of another
            training.
        Interrupted: Ctrl-C or SIGTERM came; what was trained is stored.
    """
    problem = single_look(model, policy, observation, target=target)
    about = {key: value for key, value in (provenance or {}).items() if key != "command"}
    ours = {"settings": comparable(settings), **about}
    if out is not None and claim_checkpoint(Path(out), ours, steps=settings.steps):
        finished = type(policy).load(out)
        policy.load_state_dict(finished.state_dict())
        policy.provenance = finished.provenance
        return policy.eval()
    explain = settings.explain()
    with torch.random.fork_rng():
        torch.manual_seed(derive(settings.seed, "units"))
        _use_units(problem, policy, settings)
        state = None if out is None else running_state(Path(out))
        with pyro.validation_enabled(False):  # it would double the time
            _, progress = fit(
                policy,
                lambda _: spce_loss(
                    problem,
                    policy,
                    settings.looks,
                    batch=settings.batch,
                    contrasts=settings.contrasts,
                    explain=explain,
                    limit=settings.limit,
                ),
                settings,
                state=state,
                about=about,
                validate=lambda _: val_spce(problem, policy, settings, explain=explain),
                on_step=on_step,
            )
    header = {
        **ours,
        "fit": {**asdict(settings), "skip": str(settings.skip)},
        "steps": progress.step,
        "seconds": round(progress.seconds, 1),
        "skipped": progress.skipped,
        "history": progress.history,
        **(provenance or {}),
    }
    policy.provenance = header
    if out is not None:
        policy.save(out, header)
    if state is not None and progress.step >= settings.steps:
        state.unlink(missing_ok=True)
    return policy.eval()


def _use_units(problem: SiteModel, policy: Trainable, settings: PolicyTrainingConfig) -> None:
    """Give a fresh network the size of the outcomes that its first designs return."""
    if isinstance(policy, DeepAdaptiveDesign) and not policy.has_units:
        with torch.no_grad():
            roll = run_experiments(problem, policy, settings.looks, batch=256)
        policy.standardise(roll.outcomes.flatten(0, 1))


def val_spce(
    problem: SiteModel,
    policy: Trainable,
    settings: PolicyTrainingConfig,
    *,
    explain: Explain = all_explained,
) -> dict[str, float]:
    """sPCE with more contrasts, on the same random numbers each time, for the history."""
    torch.manual_seed(derive(settings.seed, "validation"))
    gains: list[Tensor] = []
    with torch.no_grad():
        while len(gains) * 32 < settings.watched:
            roll = run_experiments(problem, policy, settings.looks, batch=32)
            gains.append(contrast(problem, roll, 4 * settings.contrasts + 3, explain=explain).gains)
    every = torch.cat(gains)
    return {
        "val_spce": float(every.mean()),
        "val_spce_se": float(every.std() / len(every) ** 0.5),
    }
