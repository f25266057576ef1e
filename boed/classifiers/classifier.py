"""Beliefs about the question v from partly seen scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from boed.data.dataset import Dataset
from boed.data.labels import naming_advice
from boed.data.observation import Observation
from boed.foundation.checks import check_floating, check_protocol


@runtime_checkable
class Classifier(Protocol):
    """p(v | observation), trained on partly seen scenes."""

    def log_probs(self, observation: Observation) -> Float[Tensor, "B *L K"]:
        """Log-probabilities `[B, K]` of K answers, or `[B, L, 2]` for L findings."""
        ...


def check_is_classifier(classifier: object) -> None:
    """Refuse what is no classifier.

    Raises:
        ValueError: it has no `log_probs` that can be called as the protocol's.
    """
    network = isinstance(classifier, nn.Module) and not hasattr(classifier, "log_probs")
    advice = "boed.classifiers.from_module(network) makes one of a network" if network else ""
    check_protocol("classifier", classifier, Classifier, advice=advice)


def check_belief(
    belief: object, observation: Observation, classifier: Classifier
) -> Float[Tensor, "B *L K"]:
    """What a classifier returned for an observation, after making sure that it is a belief.

    Raises:
        ValueError: it is no tensor of floating-point numbers, of another shape, has NaN, or its
            exponentials do not sum to 1.
    """
    name, number = f"{type(classifier).__name__}.log_probs", len(observation)
    expected = f"log-probabilities ({number}, K) or ({number}, L, 2)"
    belief = check_floating(name, belief, expected)
    if belief.ndim not in (2, 3) or len(belief) != number:
        raise ValueError(
            f"{name} returned {tuple(belief.shape)} for {number} observations, "
            f"expected ({number}, K) or ({number}, L, 2)"
        )
    if torch.isnan(belief).any():
        raise ValueError(f"{name} returned NaN")
    total = belief.exp().sum(-1)
    if not ((total - 1).abs() < 0.01).all():
        worst = float(total.flatten()[(total - 1).abs().argmax()])
        raise ValueError(
            f"{name} returned numbers whose exponentials sum to {worst:.3g}, not 1; "
            "expected log-probabilities (log_softmax of logits)"
        )
    return belief.to(observation.values)  # of its type, on its device


def check_answers(shape: Sequence[int], data: Dataset, classifier: Classifier) -> None:
    """Refuse a classifier of another question than the one that a data set asks.

    Args:
        shape: of its belief about one scene.
        data: with its labels.
        classifier: named in the message.

    Raises:
        ValueError: naming both.
    """
    if tuple(shape) != data.question:
        raise ValueError(
            f"classifier: {type(classifier).__name__}.log_probs returned {tuple(shape)} for "
            f"each scene; {data.name} asks for {data.question}: {', '.join(data.label_names)}"
            f"{naming_advice(data)}"
        )


Nearby = Callable[[Observation, Int64[Tensor, " P"]], Float[Tensor, "P *L K"]]
"""Beliefs about P observations, each of which continues that of a base scene."""


@runtime_checkable
class NearbyClassifier(Classifier, Protocol):
    """A classifier that does the work which many similar observations share once."""

    def around(self, observation: Observation) -> Nearby:
        """Log-probabilities of observations that continue some of these, as `log_probs` gives."""
        ...
