"""A session with an experiment that a Pyro model describes: designs out, outcomes in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.design_space import DesignSpace, fits
from boed.eig.model.isolation import isolated
from boed.eig.model.posterior import Posterior, sample_posterior
from boed.eig.model.pyro_model import Model, check_designs, site_model
from boed.eig.model.roll_outs import SequencePolicy
from boed.eig.model.sequence_model import check_sequence
from boed.eig.model.sequential import check_fits
from boed.foundation.arguments import checked
from boed.foundation.checks import calling, describe, more_than
from boed.foundation.files import atomic
from boed.foundation.identity import identity
from boed.foundation.numbers import as_numbers
from boed.foundation.options import COUNT, Whole
from boed.foundation.randomness import derive
from boed.session.log import Log, Logged
from boed.session.waiting import Waiting

DRAWS = 1024
"""Of the latents, for which an outcome has to be possible for some."""


@checked
class ModelSession(Logged):
    """Which design to run next, given what came out so far, for any Pyro model and policy.

    `suggest` says what to do, `ingest` takes what came out, of a design that nobody suggested, too.
    Given a folder, both are on the disk before they return; the same call finds the session again
    and goes on as if nothing had happened.

    >>> import pyro, pyro.distributions as dist
    >>> from boed.eig import fixed_policy
    >>> def model(design):  # theta ~ N(0, 1), y ~ N(design * theta, 1)
    ...     with pyro.plate_stack("plate", design.shape[:-1]):
    ...         theta = pyro.sample("theta", dist.Normal(design.new_zeros(()), 1.0))
    ...         pyro.sample("y", dist.Normal(design[..., 0] * theta, 1.0))
    >>> session = ModelSession(model, fixed_policy(torch.tensor([[1.0], [2.0]])), torch.zeros(1))
    >>> session.suggest()
    tensor([1.])
    >>> session.ingest(0.3)
    >>> session.suggest(), session.designs.shape
    (tensor([2.]), torch.Size([1, 1]))

    Args:
        model: a Pyro program of one look, `model(design)`; all looks share its latents.
        policy: trained (a network of `boed.deep_adaptive`), `boed.eig.model.greedy.Greedy`, random,
            fixed, or any function of the designs and outcomes so far.
        example: a legal design, `[K]`; for shapes, dtype and device.
        path: folder of the session's log; kept in memory alone if not given.
        observation: the outcome's site.
        target: the latent sites, all of them where there is to be a posterior. A model without a
            likelihood, or with other latents, is for a trained policy that needs none.
        space: which designs there are, and what they cost; 1 each if not given.
        looks: T, the most that are made; those that the policy was trained for if not given, no
            limit where it was not.
        budget: of cost.
        seed: of the policy's and the posterior's random numbers.

    Attributes:
        reason: why the last `suggest` suggested nothing, else None.
        looks: T, the most that are made; None where there is no limit.
        budget: of cost, infinite where there is no limit.

    Raises:
        ValueError: counts below 1, a model that is not fit for a sequence of looks, a policy that
            was trained for another one or for fewer looks, or a folder that is in use, damaged, of
            something else or of another session.
        OSError: the folder cannot be written.
    """

    def __init__(
        self,
        model: Model,
        policy: SequencePolicy,
        example: Float[Tensor, " K"],
        *,
        path: Path | str | None = None,
        observation: str = "y",
        target: str | Sequence[str] = "theta",
        space: DesignSpace | None = None,
        looks: int | None = None,
        budget: float = math.inf,
        seed: int = 0,
    ) -> None:
        check_designs(example[None], 1)
        if looks is None:
            looks = getattr(policy, "looks", None)
        if looks is not None:
            COUNT.check("looks", looks)
        check_fits(policy, model, looks)
        more_than(0, budget=budget)
        self.space = space or DesignSpace()
        self.space.check(example, "example")
        with isolated(derive(seed, "session")):
            self._problem = site_model(
                model, example[None], observation, target=target, estimator="session"
            )
            if self._is_informed:
                check_sequence(self._problem, example)
            site: Any = self._problem.trace(example[None], {}).nodes[observation]
        self._outcome = site["value"][0]
        self.policy, self.example = policy, example
        self.reason: str | None = None
        self.looks, self.budget, self._seed = looks, float(budget), seed
        self._log = Log(path)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    @property
    def designs(self) -> Float[Tensor, "t K"]:
        """Of all outcomes so far, in order."""
        return self._stacked("design", self.example)

    @property
    def outcomes(self) -> Float[Tensor, "t *Y"]:
        """All so far, in order."""
        return self._stacked("outcome", self._outcome)

    @property
    def spent(self) -> float:
        """Cost of all looks so far, with the ways between them."""
        return math.fsum(self._prices(self.designs))

    def _prices(
        self, designs: Float[Tensor, "n K"], before: Float[Tensor, " K"] | None = None
    ) -> list[float]:
        """Cost of each of some looks one after another, with the way from the one before."""
        prices = []
        for design in designs:
            last = None if before is None else before[None]
            prices.append(float(self.space.costs(design[None], last)))
            before = design
        return prices

    @property
    def _last(self) -> Float[Tensor, " K"] | None:
        """The design of the last outcome."""
        return next(iter(self.designs.flip(0)), None)

    def waiting(self) -> Float[Tensor, "n K"]:
        """Designs that were suggested last and have no outcome yet."""
        return self._rows(Waiting.after(self._log.events))

    @torch.no_grad()
    def suggest(self) -> Float[Tensor, "*Q K"] | None:
        """The next design; the same one until an outcome comes in.

        Of a policy that chooses several at once, `[Q, K]`: those that have no outcome yet, and new
        ones when all have. A group of which not all can be paid is the last one. After an outcome
        of a design that nobody suggested the policy is asked anew; outcomes of the group before may
        still come. None where nothing is left to do, see `reason`.

        Raises:
            ValueError: the policy failed, or chose a design of another shape, not finite or outside
                the space.
            OSError: the log cannot be written.
        """
        designs, outcomes = self.designs, self.outcomes
        self.reason = None
        if self.looks is not None and len(designs) >= self.looks:
            self.reason = f"all {self.looks} looks are made"
            return None
        waiting = Waiting.after(self._log.events)
        if waiting.current:
            rows = self._within_budget(self._rows(waiting))
            return None if len(rows) == 0 else rows[0] if waiting.single else rows
        if waiting.cut:
            self.reason = f"the budget of {self.budget:g} had no room for all that were suggested"
            return None
        with isolated(derive(self._seed, "suggest", len(designs))), calling(self.policy):
            chosen = self._checked(self.policy(designs[None], outcomes[None]))
        rows = chosen.view(-1, *self.example.shape)
        if self.looks is not None:
            rows = rows[: self.looks - len(designs)]
        paid = self._within_budget(rows)
        if len(paid) == 0:
            return None
        suggested = paid if chosen.ndim > self.example.ndim else paid[0]
        facts = {"look": len(designs), "left_out": len(rows) - len(paid)}
        self._log.append("suggested", facts, {"design": _array(suggested)})
        return suggested

    def ingest(
        self,
        outcome: float | list[Any] | Float[Tensor, "*Y"],
        design: list[float] | Float[Tensor, " K"] | None = None,
    ) -> None:
        """Take what came out.

        Args:
            outcome: as the model's observation site has it.
            design: that it is of; the suggested one if not given, of several the first.

        Raises:
            ValueError: nothing was suggested and no design is given, or an outcome or design of
                another shape, not finite, that the site cannot take or outside the space.
            OSError: the log cannot be written; the session is as it was.
        """
        if design is None:
            pending = self.waiting()
            if len(pending) == 0:
                raise ValueError(
                    "design is None, and none was suggested; expected suggest() before it"
                )
            design = pending[0]
        else:
            given = as_numbers("design", design)
            if given.shape != self.example.shape:
                raise ValueError(
                    f"design is {given.tolist()}, expected numbers of shape "
                    f"{tuple(self.example.shape)}"
                )
            design = self._checked(given.to(self.example)[None])
        number = as_numbers("outcome", outcome).detach()
        (site,) = self._problem.observation
        if number.shape != self._outcome.shape or not bool(number.isfinite().all()):
            raise ValueError(
                f"outcome is {number.tolist()}, expected finite numbers of shape "
                f"{tuple(self._outcome.shape)} as site {site!r} has"
            )
        value = number.to(self._outcome)
        if not value.is_floating_point() and bool((value.to(number) != number).any()):
            raise ValueError(
                f"outcome is {number.tolist()}, expected whole numbers as site {site!r} has"
            )
        if not self._problem.implicit:
            with isolated(0):  # what is possible may depend on the latents
                many = design.expand(DRAWS, *design.shape)
                law: Any = self._problem.trace(many, {}).nodes[site]["fn"]
            support = law.support
            if not bool(support.check(value.expand(DRAWS, *value.shape)).any()):
                raise ValueError(
                    f"outcome is {value.tolist()}, expected a value of site {site!r}: {support}"
                )
        arrays = {"design": _array(design), "outcome": _array(value)}
        (cost,) = self._prices(design[None], self._last)
        self._log.append("outcome", {"look": len(self.designs), "cost": cost}, arrays)

    def posterior(
        self, particles: int = 4096, moves: int = 5, *, looks: int | None = None
    ) -> Posterior:
        """What is known of the latents now, by sequential Monte Carlo; see `sample_posterior`.

        Or what was known after so many `looks`.

        Raises:
            ValueError: the model has no likelihood, or latents that are no target; fewer looks have
                been made.
        """
        made = len(self.designs)
        looks = made if looks is None else looks
        Whole(0, made).check("looks", looks)
        return sample_posterior(
            self._problem.model,
            self.designs[:looks],
            self.outcomes[:looks],
            example=self.example,
            observation=self._problem.observation[0],
            target=self._problem.target,
            particles=particles,
            moves=moves,
            seed=derive(self._seed, "posterior", looks),
        )

    @checked
    def report(self, path: Path | str, particles: int = 2048) -> None:
        """Write a page of designs, outcomes and costs, as `boed report` does of the log.

        Where there is a `posterior`, also what was known of the latents after each look.

        Args:
            path: HTML file to write; it loads nothing from elsewhere.
            particles: of each posterior.

        Raises:
            ValueError: an outcome that no latents explain.
            OSError: it cannot be written.
        """
        from boed.session.experiment_report import experiment_page

        page, _ = experiment_page(
            self._log.events, self._known(particles) if self._is_informed else None
        )
        with atomic(Path(path)) as temporary:
            temporary.write_text(page, encoding="utf-8")

    def _known(self, particles: int) -> dict[str, Any]:
        """Mean and standard deviation of every number of the target after 0, 1, ... looks."""
        after = [self.posterior(particles, looks=look) for look in range(len(self.designs) + 1)]
        known: dict[str, Any] = {}
        for site in self._problem.target:
            means, deviations = (
                torch.stack([getattr(each, what)(site) for each in after]).double().cpu().numpy()
                for what in ("mean", "standard_deviation")
            )
            for where in np.ndindex(means.shape[1:]):
                name = f"{site}{list(where)}" if where else site
                known[name] = (means[:, *where], deviations[:, *where])
        return known

    def _begin(self) -> None:
        """Write what session this is, or make sure that the log is of this one."""
        facts = {
            "session": "model",
            "model": identity(self._problem.model),
            "policy": identity(self.policy),
            "space": identity(self.space),
            "observation": self._problem.observation[0],
            "target": list(self._problem.target),
            "design": list(self.example.shape),
            "looks": self.looks,
            "budget": None if math.isinf(self.budget) else self.budget,
            "seed": self._seed,
        }
        self._log.begin(facts)

    @property
    def _is_informed(self) -> bool:
        """Whether the likelihood given the target is known, so that there is a posterior."""
        return not (self._problem.implicit or self._problem.nuisances)

    def _rows(self, waiting: Waiting) -> Float[Tensor, "Q K"]:
        if not waiting.current:
            return self.example.new_empty(0, *self.example.shape)
        return torch.from_numpy(np.stack(waiting.current)).to(self.example)

    def _within_budget(self, rows: Float[Tensor, "Q K"]) -> Float[Tensor, "Q K"]:
        """As many of them, in order, as can be paid; if there is none, `reason` says why."""
        spent, prices = self.spent, self._prices(rows, self._last)
        totals = np.cumsum([spent, *prices])[1:]
        rows = rows[: sum(fits(each, self.budget) for each in totals)]
        if len(rows) == 0:
            self.reason = (
                f"the next design costs {prices[0]:g}, and {self.budget - spent:g} of the budget "
                f"of {self.budget:g} is left"
            )
        return rows

    def _checked(self, design: object) -> Float[Tensor, "*Q K"]:
        """The one design of a batch of one, or several at once, in the session's precision."""
        k = tuple(self.example.shape)
        shape = tuple(design.shape) if isinstance(design, Tensor) else ()
        group = len(shape) == 2 + len(k) and shape[1] > 0 and shape[2:] == k
        if not isinstance(design, Tensor) or shape[:1] != (1,) or not (group or shape[1:] == k):
            raise ValueError(
                f"design is {describe(design)}, expected a tensor {(1, *k)}, or "
                f"(1, n, {', '.join(map(str, k))}) of n looks at once"
            )
        self.space.check(design, "design")
        return design[0].detach().to(self.example)

    def _stacked(self, name: str, like: Tensor) -> Tensor:
        arrays = [event.arrays[name] for event in self._log.events if event.kind == "outcome"]
        if not arrays:
            return like.new_empty(0, *like.shape)
        return torch.from_numpy(np.stack(arrays)).to(like)


def _array(value: Tensor) -> np.ndarray[Any, Any]:
    return value.detach().cpu().numpy()
