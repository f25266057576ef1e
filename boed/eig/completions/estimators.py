"""Estimators from completions and a classifier: the utility of a look.

Each is called with a `DesignProblem` and returns the utility of every candidate, `[B, D]`, and of
every completion, `[N, B, D]`, whose weighted mean it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.eig.completions.posterior_entropy import (
    check_shapes,
    entropy,
    over_findings,
    posterior_entropy_eig,
)
from boed.eig.completions.problem import DesignProblem
from boed.eig.completions.variational import variational_eig
from boed.eig.result import Bound
from boed.foundation.checks import calling, check_floating, describe
from boed.foundation.registry import Registry

Utility = tuple[Float[Tensor, "B D"], Float[Tensor, "N B D"]]
"""Of every candidate, and the gain of every completion for it: (eig, gains)."""


@runtime_checkable
class Estimator(Protocol):
    """What every estimator from completions has."""

    @property
    def bound(self) -> Bound:
        """What the expectation of the estimate is to the EIG."""
        ...

    def __call__(self, problem: DesignProblem) -> Utility:
        """The utility of every candidate, and of every completion for it."""
        ...


@runtime_checkable
class AdditiveEstimator(Estimator, Protocol):
    """An estimator whose completions can be evaluated one by one, as racing does.

    Ours inherit `__call__`; a user's own class needs to inherit nothing.

    Attributes:
        needs_whole_scene: whether it asks what is believed of whole completions.
    """

    needs_whole_scene: ClassVar[bool] = False

    def from_log_beliefs(
        self,
        prior: Float[Tensor, "B *L K"],
        posterior: Float[Tensor, "N B D *L K"],
        *,
        whole_scene: Float[Tensor, "N B *L K"] | None = None,
        weights: Float[Tensor, "N B"] | None = None,
    ) -> Utility:
        """From the current belief, those after each look, and those on the whole completions."""
        ...

    def __call__(self, problem: DesignProblem) -> Utility:
        """The utility of every candidate, and of every completion for it."""
        return self.from_log_beliefs(
            problem.prior,
            problem.posterior,
            whole_scene=problem.whole_scene if self.needs_whole_scene else None,
            weights=problem.completions.weights,
        )


@dataclass(frozen=True)
class PosteriorEntropy(AdditiveEstimator):
    """Eq. 17 of Harvey et al. 2021 as printed; see `posterior_entropy_eig`.

    Attributes:
        first: its first term.
    """

    first: ClassVar[Literal["belief", "cross"]] = "belief"
    bound: Bound = "consistent"

    def from_log_beliefs(
        self,
        prior: Tensor,
        posterior: Tensor,
        *,
        whole_scene: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Utility:
        return posterior_entropy_eig(prior, posterior, weights, first=self.first)


@dataclass(frozen=True)
class MixtureEntropy:
    """Eq. 17 in the paper's later form, H[mean g] - mean H[g]; see `posterior_entropy_eig`.

    The mixture of N beliefs has less entropy than that of all: biased down, never negative.
    """

    bound: Bound = "consistent"

    def __call__(self, problem: DesignProblem) -> Utility:
        weights = problem.completions.weights
        return posterior_entropy_eig(problem.prior, problem.posterior, weights, first="mixture")


@dataclass(frozen=True)
class InformationGain(PosteriorEntropy):
    """Expected divergence of the belief after a look from the current one (Lindley 1956).

    E_n KL(g_n || g(v | observation)), never negative: where beliefs are right, the EIG as in Eq. 17
    and in the variational bound, without asking what a completion is of. An over-confident belief
    misleads it.
    """

    first = "cross"


@dataclass(frozen=True)
class BarberAgakov(AdditiveEstimator):
    """The variational lower bound; see `variational_eig`.

    Attributes:
        first: `score` or `belief`, its first term; the argmax is the same.
    """

    first: Literal["score", "belief"] = "score"
    bound: Bound = "lower"
    needs_whole_scene: ClassVar[bool] = True

    def from_log_beliefs(
        self,
        prior: Tensor,
        posterior: Tensor,
        *,
        whole_scene: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Utility:
        assert whole_scene is not None
        return variational_eig(prior, posterior, whole_scene, weights=weights, first=self.first)


@dataclass(frozen=True, eq=False)
class ValueOfInformation(AdditiveEstimator):
    """Expected fall of a user's loss: E_n [L(a, g_n) - min_b L(b, g_n)] >= 0.

    a is the best action under the current belief, g_n the belief after the look, and L(a, g) the
    expected loss sum_v g(v) loss[a, v] (Raiffa and Schlaifer 1961). In units of the loss.

    Attributes:
        loss: of each action under each answer, `[A, K]`; 0-1 loss if not given, so that the value
            is the expected gain in accuracy. Several findings are decided and added one by one.
    """

    loss: Float[Tensor, "A K"] | None = None
    bound: Bound = "none"

    def from_log_beliefs(
        self,
        prior: Tensor,
        posterior: Tensor,
        *,
        whole_scene: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Utility:
        weights = check_shapes(prior, posterior, weights)
        best_now = self._expected(prior).argmin(-1, keepdim=True)[None, :, None]  # a
        after = self._expected(posterior)  # L(., g_n), [N, B, D, *L, A]
        keeping = after.gather(-1, best_now.expand(*after.shape[:-1], 1))[..., 0]  # L(a, g_n)
        gains = over_findings(keeping - after.amin(-1), prior.ndim == 3)
        return torch.einsum("nb,nbd->bd", weights, gains), gains

    def _expected(self, log_belief: Tensor) -> Tensor:
        """L(a, g) of every action a."""
        answers = log_belief.shape[-1]
        loss = 1 - torch.eye(answers) if self.loss is None else self.loss
        if loss.ndim != 2 or loss.shape[1] != answers or not loss.isfinite().all():
            raise ValueError(
                f"loss must be finite, [actions, {answers}], a column for each answer, "
                f"got {tuple(loss.shape)}"
            )
        return log_belief.exp() @ loss.to(log_belief).T


@dataclass(frozen=True)
class Variance:
    """Summed predictive variance of what the look would read; no EIG, in squared pixel values.

    The rule of active subsampling (van de Camp et al. 2021): it wants to know the scene, not the
    answer.
    """

    bound: Bound = "none"

    def __call__(self, problem: DesignProblem) -> Utility:
        weights, readings = problem.completions.weights, problem.readings
        mean = torch.einsum("nb,nbcr->bcr", weights, readings)
        squared = ((readings - mean) ** 2).sum(2) * problem.unread
        gains = torch.einsum("nbr,dr->nbd", squared, problem.footprints)
        return torch.einsum("nb,nbd->bd", weights, gains), gains


@dataclass(frozen=True)
class PredictiveEntropy:
    """EIG about the scene: the entropy of what the look would read, less that of its noise.

    The reading is a mixture of N Gaussians around what the completions say, whose entropy is
    bounded by pairwise distances d_ij (Kolchinsky and Tracey 2017, Eqs. 10 and 13), as active
    diffusion subsampling does (Nolan et al. 2024, Eq. 8):
    EIG = -sum_i w_i log sum_j w_j exp(-d_ij^2 / (k noise^2)), at most ln N.

    Attributes:
        noise: standard deviation of a reading, in pixel values.
        bound: `upper` takes k = 2 (Kullback-Leibler), `lower` k = 8 (Bhattacharyya); both bound
            the EIG of the mixture that the completions stand for.
    """

    noise: float = 0.1
    bound: Bound = "upper"

    def __post_init__(self) -> None:
        if not self.noise > 0:
            raise ValueError(f"noise is {self.noise}, expected a standard deviation above 0")
        if self.bound not in ("upper", "lower"):
            raise ValueError(f"bound is {self.bound!r}, expected 'upper' or 'lower'")

    def __call__(self, problem: DesignProblem) -> Utility:
        weights = problem.completions.weights
        scale = (2 if self.bound == "upper" else 8) * self.noise**2  # k noise^2
        number, batch, candidates = problem.shape
        distance = weights.new_zeros(number, number, batch, candidates)
        for n in range(number - 1):  # symmetric, and 0 to itself
            apart = problem.readings[n + 1 :] - problem.readings[n]
            squared = (apart**2).sum(2) * problem.unread
            read = torch.einsum("nbr,dr->nbd", squared, problem.footprints)
            distance[n, n + 1 :] = distance[n + 1 :, n] = read
        # log sum_j w_j exp(-d_ij^2 / (k noise^2))
        near = torch.logsumexp(weights.log()[None, ..., None] - distance / scale, dim=1)
        return torch.einsum("nb,nbd->bd", weights, -near), -near


@dataclass(frozen=True, eq=False)
class Disagreement:
    """BALD: how much the answer after the look would tell about which classifier is right.

    H[mean_m g_m] - mean_m H[g_m] over an ensemble, averaged over completions (Houlsby et al.
    2011). It finds looks after which the members disagree; no EIG about v, in nats.

    Attributes:
        ensemble: classifiers of the same question, at least two; the members of the problem's
            classifier if not given, which then has to be an `EnsembleClassifier`.
    """

    ensemble: tuple[Classifier, ...] | None = None
    bound: Bound = "none"

    def __post_init__(self) -> None:
        if self.ensemble is not None and len(self.ensemble) < 2:
            raise ValueError(f"ensemble has {len(self.ensemble)} members, expected at least 2")

    def __call__(self, problem: DesignProblem) -> Utility:
        ensemble = members_of(problem.classifier) if self.ensemble is None else self.ensemble
        members = torch.stack([problem.posterior_of(each) for each in ensemble])
        mean = members.logsumexp(0) - torch.tensor(len(members)).log()
        gains = entropy(mean) - entropy(members).mean(0)
        gains = over_findings(gains, problem.prior.ndim == 3)
        return torch.einsum("nb,nbd->bd", problem.completions.weights, gains), gains


def members_of(classifier: Classifier) -> tuple[Classifier, ...]:
    """The classifiers that an ensemble consists of.

    Raises:
        ValueError: it is none.
    """
    members: tuple[Classifier, ...] | None = getattr(classifier, "members", None)
    if members is None:
        raise ValueError(
            f"classifier is {describe(classifier)}, expected an ensemble, whose members can "
            "disagree: `boed train classifier --members 3` trains one"
        )
    return members


ESTIMATORS: Registry[Estimator] = Registry(
    "estimator",
    {
        "entropy": PosteriorEntropy(),
        "mixture": MixtureEntropy(),
        "information": InformationGain(),
        "variational": BarberAgakov(),
        "accuracy": ValueOfInformation(),
        "variance": Variance(),
        "predictive_entropy": PredictiveEntropy(),
        "disagreement": Disagreement(),
    },
)
"""Estimators by name, with their usual settings."""


def named(estimator: str | Estimator) -> Estimator:
    """The estimator of that name, or the one given.

    Raises:
        ValueError: an unknown name, or what is no estimator.
    """
    if isinstance(estimator, str):
        return ESTIMATORS[estimator]
    bound = getattr(estimator, "bound", None)
    if isinstance(estimator, type) or not callable(estimator) or bound not in get_args(Bound):
        raise ValueError(
            f"estimator is {describe(estimator)}, with bound {bound!r}; expected a name or an "
            f"object that is called with a problem, whose bound is one of {get_args(Bound)}"
        )
    return estimator


def utility(estimator: Estimator, problem: DesignProblem) -> Utility:
    """What an estimator says of a problem, after making sure that it is what it should be.

    Raises:
        ValueError: as `check_utility` words it, or what the estimator raised.
    """
    with calling(estimator):
        returned = estimator(problem)
    return check_utility(returned, estimator, problem.shape)


def check_utility(returned: object, estimator: Estimator, shape: tuple[int, int, int]) -> Utility:
    """What an estimator returned, after making sure that it is the utility of every candidate.

    Args:
        returned: by the estimator.
        estimator: for its name.
        shape: completions, scenes and candidates.

    Raises:
        ValueError: it is no pair of tensors, of another shape or dtype, or has NaN.
    """
    name = f"estimator: {type(estimator).__name__}"
    expected = f"(eig, gains), {shape[1:]} and {shape}"
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise ValueError(f"{name} returned {describe(returned)}, expected {expected}")
    eig, gains = (check_floating(name, each, expected) for each in returned)
    if tuple(eig.shape) != shape[1:] or tuple(gains.shape) != shape:
        raise ValueError(
            f"{name} returned {tuple(eig.shape)} and {tuple(gains.shape)}, "
            f"expected {shape[1:]} and {shape}"
        )
    if eig.isnan().any() or gains.isnan().any():
        raise ValueError(f"{name} returned NaN, expected {expected}")
    return eig, gains
