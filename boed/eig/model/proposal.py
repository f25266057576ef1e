"""A law like the posterior of each roll-out, from what was seen alone, to draw contrasts from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.eig.model.isolation import own_numbers
from boed.eig.model.local_law import (
    FARTHEST,
    LocalLaw,
    check_weights,
    information_root,
    log_mixture_weights,
    log_prior_of,
    replaced,
)
from boed.eig.model.nested import TILE, slices
from boed.eig.model.pyro_model import SiteModel, Sites, site_value
from boed.eig.model.roll_outs import (
    LogLikelihood,
    RollOut,
    roll_out_log_likelihood,
    tiled_log_likelihood,
)
from boed.eig.model.targets import Targets

BEYOND = 2 * FARTHEST
"""Standard deviations of the prior beyond which nothing is drawn but by the prior."""

ENOUGH = 1e-3
"""Nats by which a step that is worth another one gets higher."""

RISE = 20
"""Steps over which the likelihood's power grows to 1."""

ROUGH = 10.0
"""Nats by which the places to climb from differ at first."""

SCENES = 64
"""Roll-outs at a time."""

STARTS = 2**14
"""Draws from the prior that the places to climb from are chosen among."""

CENTRES = 16
"""Places in each roll-out that are climbed from."""

CLIMB = 60
"""Most steps of each climb; it ends before where nothing gets higher any more."""

ROUNDS = 5
"""Most times that places are looked for in roll-outs whose outcomes none explains."""

PREDICTED = 64
"""Outcomes that a place predicts, to tell whether what was seen is one of them."""

UNLIKELY = 5.0
"""Standard deviations by which what was seen is less likely than what a place predicts."""

PRIOR = 0.2
"""Share of the draws that are of the prior: a mode that was missed is still seen."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Proposal:
    """q(theta | h_T) = a p(theta) + (1 - a) / C sum_c t_4(z_c, 2 F_c^-1) of each roll-out.

    z_c are modes of the posterior, in coordinates in which theta is real and of the prior's size,
    climbed to from draws of the prior by damped Newton steps with the Fisher information F_c in
    place of the curvature. It knows outcomes and designs, and not the truth. Where the best of
    these modes does not predict outcomes as likely as those seen, others are looked for.

    Attributes:
        problem: the model.
        targets: its unknowns as rows.
        roll: the roll-outs.
        law: around the modes, `[C, B, F]`.
    """

    problem: SiteModel
    targets: Targets
    roll: RollOut
    law: LocalLaw

    @classmethod
    @torch.no_grad()
    def fitted(
        cls,
        problem: SiteModel,
        targets: Targets,
        roll: RollOut,
        *,
        piece: int,
    ) -> Proposal:
        """That of some roll-outs; `piece` hypotheses are evaluated at once for all of them."""
        rows, heights = _found(problem, targets, roll, piece=piece)
        for _ in range(ROUNDS):
            poor = _unexplained(problem, targets, roll, rows=rows, heights=heights).nonzero()[:, 0]
            if not len(poor):
                break
            copies = max(1, SCENES // len(poor))
            again = roll.part(scenes=poor.repeat(copies))
            others, others_heights = _found(problem, targets, again, piece=piece)
            by_copy = others_heights.amax(0).view(copies, len(poor))
            taken = by_copy.argmax(0) * len(poor) + torch.arange(len(poor), device=poor.device)
            higher = by_copy.amax(0) > heights[:, poor].amax(0)
            rows[:, poor[higher]] = others[:, taken[higher]]
            heights[:, poor[higher]] = others_heights[:, taken[higher]]
        root = information_root(problem, targets, roll, rows=rows)
        return cls(problem=problem, targets=targets, roll=roll, law=LocalLaw(rows, root))

    def draw(self, number: int) -> tuple[Sites, Float[Tensor, "L B"]]:
        """So many hypotheses for each roll-out, `[L, B, *E]` per site, and ln p / q of each."""
        batch = len(self.roll.designs)
        example = self.roll.designs[:, 0]
        drawn = self.problem.draw_latents(example.expand(number, *example.shape))
        prior = self.targets.rows(drawn)
        which = torch.randint(CENTRES, (number, batch), device=prior.device)
        scenes = torch.arange(batch, device=prior.device)
        law = LocalLaw(self.law.centre[which, scenes], self.law.root[which, scenes])
        near = law.draw(1)[0]
        of_prior = torch.rand_like(near[..., 0]) < PRIOR
        far = ~of_prior & (near.abs() > BEYOND).any(-1)
        rows = torch.where((of_prior | far)[..., None], prior, near)
        latents = self.targets.latents(rows)
        lost = far | self.targets.lost(rows, latents)
        rows = rows.where(~lost[..., None], prior)
        latents = replaced(latents, drawn, lost)
        log_weights = self.log_weights(latents, rows)
        return latents, log_weights.masked_fill(lost | ~log_weights.isfinite(), -math.inf)

    def log_weights(self, latents: Sites, rows: Float[Tensor, "L B F"]) -> Float[Tensor, "L B"]:
        """ln p / q of hypotheses, given as sites and as rows."""
        example = self.roll.designs[:, 0]
        density = log_prior_of(
            self.problem, self.targets, latents, example=example, asked="proposal = 'prior'"
        )
        close = self.law.log_prob(rows[:, None]).logsumexp(1) - math.log(CENTRES)
        return log_mixture_weights(density, close, 1 - PRIOR)

    @torch.no_grad()
    def terms(
        self, contrasts: int, *, piece: int, likelihood: LogLikelihood = roll_out_log_likelihood
    ) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
        """Of a lower and an upper bound, in nats, by so many hypotheses, `piece` of them at once.

        log p(h | theta_0) less the logarithm of the mean of p(h | theta_l) p(theta_l) / q(theta_l),
        with the truth among the hypotheses (lower) or not (upper): sACE and sVNMC.

        Raises:
            ValueError: the prior's density is not that of its draws.
        """
        truth = self.roll.log_likelihood
        total = torch.full_like(truth, -math.inf)
        left, drawn = contrasts, []
        while left > 0:
            latents, log_weights = self.draw(min(piece, left))
            each = likelihood(self.problem, self.roll, latents) + log_weights
            drawn.append(log_weights)
            total = torch.logaddexp(total, each.logsumexp(0))
            left -= len(each)
        check_weights(torch.cat(drawn), "proposal", "'prior'")
        rows = self.targets.rows(self.roll.latents)[None]
        true = {name: value[None] for name, value in self.roll.latents.items()}
        own = truth + self.log_weights(true, rows)[0]
        lower = truth - torch.logaddexp(total, own) + math.log(contrasts + 1)
        upper = truth - total + math.log(contrasts)
        return lower, upper


def _starts(scores: Float[Tensor, "S B"]) -> Tensor:
    """Draws to climb from, `[C, B]`: the two likeliest, and others by tempered likelihood."""
    best = scores.topk(2, 0).indices
    spread = (scores.amax(0) - scores.median(0).values).clamp(min=1.0)
    tempered = ((scores - scores.amax(0)) / spread * 10).softmax(0).nan_to_num(1 / len(scores))
    others = torch.multinomial(tempered.T, CENTRES - 2, replacement=False).T
    return torch.cat([best, others])


def _found(
    problem: SiteModel, targets: Targets, roll: RollOut, *, piece: int
) -> tuple[Float[Tensor, "C B F"], Float[Tensor, "C B"]]:
    """Modes climbed to from draws of the prior, and log-likelihoods there in nats."""
    example = roll.designs[0, 0]
    draws = problem.draw_latents(example.expand(STARTS, 1, *example.shape))
    scores = tiled_log_likelihood(problem, roll, draws, piece=piece)
    rows = targets.rows(draws)[:, 0][_starts(scores)]  # [C, B, F]
    rows = _climbed(problem, targets, roll, rows)
    return rows, roll_out_log_likelihood(problem, roll, targets.latents(rows))


def _unexplained(
    problem: SiteModel,
    targets: Targets,
    roll: RollOut,
    *,
    rows: Float[Tensor, "C B F"],
    heights: Float[Tensor, "C B"],
) -> Bool[Tensor, " B"]:
    """Roll-outs whose outcomes are far less likely at their best place than what it predicts."""
    best, place = heights.max(0)
    at = rows[place, torch.arange(len(place), device=place.device)]
    where = roll.designs.transpose(0, 1)  # [T, B, K]
    wide = at.expand(PREDICTED, len(where), *at.shape)
    with own_numbers(0):  # what is drawn later does not depend on whether this was asked
        trace = problem.trace(where.expand(PREDICTED, *where.shape), targets.latents(wide))
    (site,) = problem.observation
    predicted = roll.summed(problem.density(trace)(site_value(trace, site)))
    return best < predicted.mean(0) - UNLIKELY * predicted.std(0).clamp(min=1.0)


def _climbed(
    problem: SiteModel, targets: Targets, roll: RollOut, rows: Float[Tensor, "C B F"]
) -> Float[Tensor, "C B F"]:
    """Modes of the posterior near such rows.

    The likelihood is raised to a power that grows to 1 over the first steps, so that what the looks
    tell roughly is found before what they tell finely.
    """

    def height(rows: Tensor) -> tuple[Tensor, Tensor]:
        latents = targets.latents(rows)
        likelihood = roll_out_log_likelihood(problem, roll, latents)
        prior = log_prior_of(
            problem, targets, latents, example=roll.designs[:, 0], asked="proposal = 'prior'"
        )
        return likelihood, prior

    eye = torch.eye(rows.shape[-1], dtype=rows.dtype, device=rows.device)
    known = targets.precision.to(rows)
    damping = torch.full(rows.shape[:2], 1e-2, dtype=rows.dtype, device=rows.device)
    first, _ = height(rows)
    low = (ROUGH / (first.amax(0) - first.amin(0)).clamp(min=ROUGH)).nan_to_num(1e-6)
    for step in range(CLIMB):
        power = low ** max(0.0, 1 - step / RISE)
        with torch.enable_grad():
            at = rows.clone().requires_grad_()
            likelihood, prior = height(at)
            now = power * likelihood + prior
            (slope,) = torch.autograd.grad(now.sum(), at)
        root = information_root(problem, targets, roll, rows=rows)
        curved = known + power[:, None, None] * (root @ root.mT - known)
        size = curved.diagonal(dim1=-2, dim2=-1).mean(-1)
        curved = curved + (damping * size)[..., None, None] * eye
        move = torch.linalg.solve(curved, slope.nan_to_num(0.0, 0.0, 0.0)[..., None])[..., 0]
        moved = (rows + move.clamp(-3, 3)).clamp(-FARTHEST, FARTHEST)
        likelihood, prior = height(moved)
        rise = power * likelihood + prior - now.detach()
        better = rise > 0
        rows = torch.where(better[..., None], moved, rows)
        damping = torch.where(better, damping * 0.2, damping * 5).clamp(1e-7, 1e5)
        if step > RISE and not bool(((rise > ENOUGH) | (~better & (damping < 1e4))).any()):
            break
    return rows


def adapted_terms(
    problem: SiteModel,
    roll: RollOut,
    contrasts: int,
    *,
    example: Float[Tensor, " *K"],
    likelihood: LogLikelihood = roll_out_log_likelihood,
) -> list[tuple[Float[Tensor, " B"], Float[Tensor, " B"]]]:
    """`Proposal.terms` of all roll-outs, some at a time.

    Raises:
        ValueError: a target that is not continuous.
    """
    targets = Targets(problem, example)
    targets.check_real("proposal is 'posterior'", "'prior'")
    looks = roll.designs.shape[1]
    piece = max(1, TILE // (SCENES * max(looks, CENTRES) * targets.width))
    terms = []
    for some in slices(len(roll.designs), SCENES):
        part = roll.part(scenes=some)
        proposal = Proposal.fitted(problem, targets, part, piece=piece)
        terms.append(proposal.terms(contrasts, piece=piece, likelihood=likelihood))
    return terms
