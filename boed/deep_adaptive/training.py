"""Training a policy, resumably."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyro
import torch
from torch import Tensor

from boed.deep_adaptive.experiments import log_likelihood, run_experiments
from boed.deep_adaptive.loss import check_smooth, contrast, single_look
from boed.deep_adaptive.nearby import IMAGINED, Nearby
from boed.deep_adaptive.network import DeepAdaptiveDesign
from boed.deep_adaptive.objectives import nearby_for, objective
from boed.deep_adaptive.static_design import StaticDesign
from boed.eig.model.design_space import DesignSpace
from boed.eig.model.fused import likelihood_for
from boed.eig.model.pyro_model import Model, SiteModel
from boed.eig.model.roll_outs import LogLikelihood
from boed.eig.model.scores import SATURATED
from boed.foundation.processor import processor
from boed.foundation.randomness import derive
from boed.foundation.registry import check_known
from boed.training.checkpoints import claim_checkpoint, running_state, save_with_best
from boed.training.config import POLICY_METHODS, PolicyTrainingConfig
from boed.training.loop import fit
from boed.training.state import Progress, comparable

Trainable = TypeVar("Trainable", DeepAdaptiveDesign, StaticDesign)

MERIT = "val_loss"
"""The figure of a validation that the best weights have the lowest of."""


def train_policy(
    model: Model,
    policy: Trainable,
    settings: PolicyTrainingConfig,
    *,
    out: Path | str | None = None,
    method: str = "dad",
    observation: str = "y",
    target: str | Sequence[str] = "theta",
    space: DesignSpace | None = None,
    provenance: dict[str, Any] | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Trainable:
    """Train a policy by stochastic gradients.

    `dad`, and `fixed` for a `StaticDesign`, is Algorithm 1 of Foster et al. 2021: sPCE, with
    gradients through the draws of the outcome where it can be reparameterised, else the score
    function's. `idad`, `rl` and `vsoed` are of `boed.deep_adaptive.objectives`. The global random
    state is left as it was.

    Args:
        model: Pyro model of a single look: takes a design `[*batch, K]`, and its sites have the
            batch shape `*batch`. No sites but the named ones may be sampled.
        policy: trained in place; its weights are the start.
        settings: looks, contrasts, updates, seed and so on.
        method: a name of `POLICY_METHODS`.
        out: checkpoint to write. The running state lies beside it until the end; while it is
            there, the same call goes on from it, to the same weights bit for bit.
        observation: site of the outcome.
        target: site or sites that the experiments ask about.
        space: which designs are allowed, to which the policy's are brought (`DesignSpace.nearest`,
            here and wherever it is used), and what they cost, of which `settings.price` is taken
            off the gain.
        provenance: what else the checkpoint's header should say.
        on_step: called with the step and loss, which is -sPCE in nats.

    Returns:
        `policy`, on the CPU, whose `provenance` holds the settings, the seconds and the sPCE of
        each validation (`val_spce` ± `val_spce_se`; `val_gain`, which is no bound, where contrasts
        are drawn near the truth). If an earlier validation was better than the
        last one, its weights lie beside `out`, at `best_path`.

    Raises:
        ValueError: the model lacks a named site, samples other latent sites, or has
            log-densities of the wrong shape or NaN; a price where nothing costs more; or `out` or
            its running state is of another training.
        Interrupted: Ctrl-C or SIGTERM came; what was trained is stored.
    """
    check_known("method", method, POLICY_METHODS)
    ranks = settings.ranks()
    policy.to(ranks.device)
    informed = method not in ("idad", "vsoed")  # by the likelihood
    if settings.price > 0 and (space is None or (space.cost is None and space.travel is None)):
        raise ValueError(
            f"price is {settings.price:g}, and no design costs more than another; expected a "
            "space with a cost or a travel, or price = 0"
        )
    problem = single_look(
        model, policy, observation, target=target, likelihood=informed, space=space
    )
    about = {key: value for key, value in (provenance or {}).items() if key != "command"}
    ours = {"settings": comparable(settings), **about}
    if out is not None and claim_checkpoint(Path(out), ours, steps=settings.steps):
        finished = type(policy).load(out)
        policy.load_state_dict(finished.state_dict())
        policy.provenance = finished.provenance
        return policy.cpu().eval()
    if method != "rl":
        check_smooth(problem, policy, likelihood=informed)
    cells = settings.steps * settings.batch * settings.looks * settings.contrasts
    likelihood = likelihood_for(cells, log_likelihood)
    with torch.random.fork_rng():
        torch.manual_seed(derive(settings.seed, "units"))
        _use_units(problem, policy, settings)
        state = None if out is None else running_state(Path(out))
        with pyro.validation_enabled(False):  # it would double the time
            nearby = nearby_for(problem, policy, settings)
            trained = objective(
                method, problem, policy, settings=settings, likelihood=likelihood, nearby=nearby
            )
            trained.module.to(ranks.device)
            _, progress = fit(
                trained.module,
                lambda _: trained.loss(),
                settings,
                state=state,
                about=about,
                validate=lambda _: _validated(
                    problem,
                    policy,
                    settings,
                    likelihood=likelihood,
                    nearby=nearby,
                    loss=trained.loss,
                ),
                merit=MERIT,
                on_step=on_step,
                after_update=getattr(policy, "keep_within", None),
            )
    _warn_if_saturated(method, settings, progress.history[-1])
    if settings.budget and progress.history[-1].get("val_cost") == 0:
        warnings.warn(
            f"budget is {settings.budget:g}: the policy's first look costs more, so that none is "
            "made; train for longer, or with another seed",
            stacklevel=2,
        )

    def header(_: Trainable, at: Progress) -> dict[str, Any]:
        return {
            **ours,
            "fit": settings.table(),
            "steps": at.step,
            "seconds": round(at.seconds, 1),
            "cpu_seconds": round(at.cpu_seconds),
            "processor": processor(settings.device),
            "skipped": at.skipped,
            "history": at.history,
            "best": at.best,
            **(provenance or {}),
        }

    policy.provenance = header(policy, progress)
    if out is not None and state is not None and ranks.first:
        part = "" if trained.module is policy else "policy."  # of what is trained with it
        save_with_best(policy, Path(out), header, progress=progress, part=part)
        if progress.step >= settings.steps:
            state.unlink(missing_ok=True)
    ranks.wait()
    return policy.cpu().eval()


def _warn_if_saturated(
    method: str, settings: PolicyTrainingConfig, reached: Mapping[str, float]
) -> None:
    """Warn where the training's own bound has no room left for a better policy."""
    contrasts = {"idad": settings.batch - 1, "vsoed": None}.get(method, settings.contrasts)
    bound = reached.get("val_spce", reached.get("val_bound"))
    most = math.log(IMAGINED + 1)
    if settings.near and reached.get("val_gain", 0.0) > SATURATED * most:
        warnings.warn(
            f"near is {settings.near:g}: what training maximises is at most {most:.2f} nats, and "
            f"the policy is at {reached['val_gain']:.2f} in the validation; near that bound "
            "nothing better is learned",
            stacklevel=3,
        )
    if contrasts is None or bound is None:
        return
    ceiling = math.log(contrasts + 1)
    if bound > SATURATED * ceiling:
        more = "more, or draw some near the truth (near = 0.5), where targets are continuous"
        if method == "idad":
            more = "a larger batch, whose other experiments they are"
        warnings.warn(
            f"contrasts is {contrasts}: what training maximises is at most ln(L + 1) = "
            f"{ceiling:.2f} nats, and the policy is at {bound:.2f} in the validation; near that "
            f"bound nothing better is learned: take {more}",
            stacklevel=3,
        )


def _use_units(problem: SiteModel, policy: Trainable, settings: PolicyTrainingConfig) -> None:
    """Give a fresh network the size of the outcomes that its first designs return."""
    if isinstance(policy, DeepAdaptiveDesign) and not policy.has_units:
        with torch.no_grad():
            roll = run_experiments(problem, policy, settings.looks, batch=256)
        if not bool((finite := roll.outcomes.isfinite()).all()):
            raise ValueError(
                f"model: its outcomes are infinite in {int((~finite).sum())} of {finite.numel()} "
                "looks of an untrained policy; expected finite ones, as a logarithm of them or a "
                "wider dtype would be"
            )
        policy.standardise(roll.outcomes.flatten(0, 1))


def _validated(
    problem: SiteModel,
    policy: Trainable,
    settings: PolicyTrainingConfig,
    *,
    likelihood: LogLikelihood,
    nearby: Nearby | None,
    loss: Callable[[], Tensor],
) -> dict[str, float]:
    """The gain, or where there is no likelihood the method's own bound; and what to minimise."""
    if not (problem.implicit or problem.nuisances):
        figures = val_gain(problem, policy, settings, likelihood=likelihood, nearby=nearby)
        paid = settings.price * figures.get("val_cost", 0.0)
        return {**figures, MERIT: paid - figures[gain_name(settings)]}
    torch.manual_seed(derive(settings.seed, "validation"))
    losses = [float(loss()) for _ in range(max(1, settings.watched // settings.batch))]
    mean = sum(losses) / len(losses)
    return {"val_bound": -mean, MERIT: mean}


def gain_name(settings: PolicyTrainingConfig) -> str:
    """Of the gain in the history: no bound, as sPCE is, with contrasts near the truth."""
    return "val_gain" if settings.near else "val_spce"


def val_gain(
    problem: SiteModel,
    policy: Trainable,
    settings: PolicyTrainingConfig,
    *,
    likelihood: LogLikelihood = log_likelihood,
    nearby: Nearby | None = None,
) -> dict[str, float]:
    """The gain with more contrasts, on the same random numbers each time, for the history.

    And the mean cost of an experiment, where the problem's design space says what looks cost.
    """
    torch.manual_seed(derive(settings.seed, "validation"))
    contrasts = 4 * settings.contrasts + 3
    gains: list[Tensor] = []
    costs: list[Tensor] = []
    with torch.no_grad():
        while len(gains) * 32 < settings.watched:
            roll = run_experiments(problem, policy, settings.looks, batch=32, budget=settings.most)
            found = contrast(problem, roll, contrasts, likelihood=likelihood, nearby=nearby)
            gains.append(found.expected)
            costs += [] if roll.costs is None else [roll.costs]
    every = torch.cat(gains)
    figures = {
        gain_name(settings): float(every.mean()),
        f"{gain_name(settings)}_se": float(every.std() / len(every) ** 0.5),
    }
    return figures | ({"val_cost": float(torch.cat(costs).mean())} if costs else {})
