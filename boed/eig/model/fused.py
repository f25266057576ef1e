"""The likelihood of thousands of hypotheses as one piece of machine code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import pyro
import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.pyro_model import SiteModel, Sites
from boed.eig.model.roll_outs import LogLikelihood, RollOut, roll_out_log_likelihood

_log = logging.getLogger(__name__)

COMPILED = 2**29
"""Log-likelihoods above which they are compiled, which takes some ten seconds."""

CHECKED = 64
"""Hypotheses that the compiled answer is compared on, with other values than it was recorded on."""


def likelihood_for(cells: int, instead: LogLikelihood = roll_out_log_likelihood) -> LogLikelihood:
    """What evaluates so many likelihoods: compiled where that saves more time than it takes."""
    return FusedLikelihood(instead) if cells > COMPILED else instead


class FusedLikelihood:
    """A `LogLikelihood` whose model is run once and compiled.

    What the model computes is recorded in its first run, without Pyro, and compiled by
    `torch.compile` into one pass over the hypotheses: some ten times as fast, in no more memory
    than the answer. A model that looks at values (`if (theta > 0).any()`), or leaves torch on
    the way (numpy), cannot be recorded, which shows at once or on other values; then, and where
    there is no compiler, `instead` is called, with a warning.

    Args:
        instead: what it stands for.
    """

    def __init__(self, instead: LogLikelihood) -> None:
        self._instead = instead
        self._compiled: dict[tuple[torch.Size, ...], Callable[..., Tensor] | None] = {}

    @torch.no_grad()
    def __call__(self, problem: SiteModel, roll: RollOut, latents: Sites) -> Float[Tensor, "L B"]:
        """log p(outcomes | theta_l, designs), as `roll_out_log_likelihood`."""
        given = _given(roll, latents)
        shapes = tuple(each.shape for each in given)
        if shapes not in self._compiled:
            self._compiled[shapes] = self._compile(problem, roll, latents)
        compiled = self._compiled[shapes]
        if compiled is None:
            return self._instead(problem, roll, latents)
        value = compiled(*given)
        if bool(torch.isnan(value.sum())):
            return self._instead(problem, roll, latents)  # says which site it is
        return value

    def _compile(
        self, problem: SiteModel, roll: RollOut, latents: Sites
    ) -> Callable[..., Tensor] | None:
        """The recorded and compiled model; None where that is not possible."""
        from torch.fx.experimental.proxy_tensor import make_fx

        names, whole, given = tuple(latents), roll.made is None, _given(roll, latents)

        def evaluate(designs: Tensor, outcomes: Tensor, *others: Tensor) -> Tensor:
            seen = RollOut(
                latents={},
                designs=designs,
                outcomes=outcomes,
                log_likelihoods=designs.new_empty(0, 0),
                made=None if whole else others[-1],
            )
            values = others[: len(names)]
            return roll_out_log_likelihood(problem, seen, dict(zip(names, values, strict=True)))

        try:
            with pyro.validation_enabled(False):
                recorded = make_fx(evaluate)(*given)
            compiled: Callable[..., Tensor] = torch.compile(recorded)
            compiled(*given)
            self._check(compiled, problem, roll, latents)
        except Exception as error:  # of the model, of torch's recording, or of a compiler
            reason = str(error).strip().partition("\n")[0]
            _log.warning("the model's likelihood is not compiled, which is slower: %s", reason)
            return None
        return compiled

    def _check(
        self,
        compiled: Callable[..., Tensor],
        problem: SiteModel,
        roll: RollOut,
        latents: Sites,
    ) -> None:
        """Raise where what was recorded does not hold on other values than it was recorded on."""
        other = replace(
            roll,
            designs=roll.designs.detach().roll(1, 0),
            outcomes=roll.outcomes.detach().roll(1, 0),
            made=None if roll.made is None else roll.made.roll(1, 0),
        )
        turned = {name: value.roll(1, 0) for name, value in latents.items()}
        found = compiled(*_given(other, turned))[:CHECKED]
        few = {name: value[:CHECKED] for name, value in turned.items()}
        right = self._instead(problem, other, few)
        if not torch.allclose(found, right, rtol=1e-3, atol=1e-2, equal_nan=True):
            raise ValueError("it leaves torch, so that what was recorded is of one run alone")


def _given(roll: RollOut, latents: Sites) -> tuple[Tensor, ...]:
    """What the compiled function takes."""
    made = () if roll.made is None else (roll.made,)
    return (roll.designs.detach(), roll.outcomes.detach(), *latents.values(), *made)
