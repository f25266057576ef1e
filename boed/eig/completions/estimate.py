"""From completions to a map of EIG over the candidate looks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig.completions.estimators import Estimator, named, utility
from boed.eig.completions.problem import DesignProblem
from boed.eig.result import EIGEstimate
from boed.foundation.arguments import checked
from boed.foundation.checks import called, calling, describe
from boed.foundation.randomness import Seeds
from boed.sensors.sensor import Sensor, candidates


@checked
def eig_map(
    observation: Observation,
    completions: Completions,
    sensor: Sensor,
    *,
    classifier: Classifier,
    estimator: str | Estimator = "variational",
    search: Callable[[DesignProblem, Estimator], EIGEstimate] | None = None,
    memory: int = 512,
    seed: Seeds = 0,
) -> EIGEstimate:
    """The EIG of every candidate look, given completions of the scenes.

    Args:
        observation: what has been seen, B scenes.
        completions: N samples of p(scene | observation) each; with labels, the true label of a
            retrieved image stands for v in the variational bound, else the classifier's answer
            on the whole completion.
        sensor: offers the candidates.
        classifier: gives the beliefs.
        estimator: one of `ESTIMATORS`, or an estimator itself.
        search: one of `boed.search`, which may drop candidates; every candidate with every
            completion if not given.
        memory: bound on the candidate images and activations held at once, MiB.
        seed: of the sensor's noise, where it has some.

    Raises:
        ValueError: an unknown estimator, completions of other scenes, no candidates, a
            classifier that does not return log-probabilities, or a search and an estimator that
            do not go together.
    """
    problem = design_problem(
        observation, completions, sensor, classifier=classifier, memory=memory, seed=seed
    )
    way = search or estimate
    with calling(way):
        result = way(problem, named(estimator))
    if not isinstance(result, EIGEstimate):
        raise ValueError(
            f"search: {called(way)} returned {describe(result)}, expected an EIGEstimate"
        )
    return result


@checked
def design_problem(
    observation: Observation,
    completions: Completions,
    sensor: Sensor,
    *,
    classifier: Classifier,
    memory: int = 512,
    seed: Seeds = 0,
) -> DesignProblem:
    """What `eig_map` and the searches start from, after making sure that it fits together.

    Raises:
        ValueError: completions of other scenes, or no candidates.
    """
    if completions.scenes.shape[1:] != observation.values.shape:
        raise ValueError(
            f"completions must be (N, {', '.join(map(str, observation.values.shape))}) to go with "
            f"the observation, got {tuple(completions.scenes.shape)}"
        )
    designs = candidates(sensor, observation)
    return DesignProblem(
        observation=observation,
        completions=completions,
        sensor=sensor,
        classifier=classifier,
        designs=designs,
        memory=memory,
        seed=seed,
    )


@checked
@torch.no_grad()
def estimate(problem: DesignProblem, estimator: str | Estimator) -> EIGEstimate:
    """The EIG of every candidate of a design problem, with all completions.

    Raises:
        ValueError: an unknown estimator, or one that returns no utility of every candidate.
    """
    estimator = named(estimator)
    eig, gains = utility(estimator, problem)
    completions = problem.completions
    error = standard_error(gains, completions.weights)
    return EIGEstimate(
        designs=problem.designs,
        eig=eig,
        standard_error=error,
        bound=estimator.bound,
        gains=gains,
        fresh=problem.fresh,
        effective_sample_size=completions.effective_sample_size,
    )


def standard_error(
    gains: Float[Tensor, "N B D"], weights: Float[Tensor, "N B"]
) -> Float[Tensor, "B D"]:
    """Of the weighted mean over completions; NaN where a single one has all the weight.

    sqrt(sum_n w_n^2 (gain_n - mean)^2 / (1 - sum_n w_n^2)), which is s / sqrt(N) for equal weights.
    """
    mean = torch.einsum("nb,nbd->bd", weights, gains)
    squared = torch.einsum("nb,nbd->bd", weights**2, (gains - mean) ** 2)
    left = 1 - (weights**2).sum(0)
    return (squared / left.where(left > 1e-6, torch.nan)[:, None]).sqrt()
