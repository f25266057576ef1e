"""From completions to a map of EIG over the candidate looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boed.eig.beliefs import candidate_log_beliefs, log_beliefs
from boed.eig.posterior_entropy import posterior_entropy_eig
from boed.eig.variational import variational_eig
from boed.sensors import Sensor
from classifiers.classifier import Classifier
from completion.completer import Completions
from data.observation import Observation

Estimator = Literal["entropy", "marginal", "variational"]
ESTIMATORS: tuple[str, ...] = get_args(Estimator)
"""`entropy`: Eq. 17 as printed; `marginal`: its later form; `variational`: Barber-Agakov."""


@dataclass(frozen=True, eq=False)
class EIGMap:
    """EIG of every candidate look.

    Attributes:
        designs: the candidates, `[D, K]`.
        eig: nats, `[B, D]`.
        gains: nats per completion, `[N, B, D]`; `eig` is their weighted mean.
    """

    designs: Float[Tensor, "D K"]
    eig: Float[Tensor, "B D"]
    gains: Float[Tensor, "N B D"]


@torch.no_grad()
def eig_map(
    observation: Observation,
    completions: Completions,
    sensor: Sensor,
    classifier: Classifier,
    estimator: Estimator = "variational",
    memory: int = 512,
) -> EIGMap:
    """The EIG of every candidate look, given completions of the scenes.

    Args:
        observation: what has been seen, B scenes.
        completions: N samples of p(scene | observation) each; with labels, the true label of a
            retrieved image stands for v in the variational bound, else the classifier's answer
            on the whole completion.
        sensor: offers the candidates.
        classifier: gives the beliefs.
        estimator: one of `ESTIMATORS`.
        memory: bound on the candidate images and activations held at once, MiB.

    Raises:
        ValueError: an unknown estimator, completions of other scenes, no candidates, or a
            classifier that does not return log-probabilities.
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator is {estimator!r}, expected one of {', '.join(ESTIMATORS)}")
    if completions.scenes.shape[1:] != observation.values.shape:
        raise ValueError(
            f"completions must be (N, {', '.join(map(str, observation.values.shape))}) to go with "
            f"the observation, got {tuple(completions.scenes.shape)}"
        )
    designs = sensor.designs(observation)
    if len(designs) == 0:
        raise ValueError(f"{type(sensor).__name__}.designs returned no candidate")
    belief = log_beliefs(observation, classifier, memory)
    candidates = candidate_log_beliefs(
        observation, completions.scenes, designs, sensor, classifier, memory
    )
    if estimator == "variational":
        whole = _answers(completions, classifier, belief.shape[-1], memory)
        eig, gains = variational_eig(belief, candidates, whole, completions.weights)
    else:
        first: Literal["belief", "marginal"] = "belief" if estimator == "entropy" else "marginal"
        eig, gains = posterior_entropy_eig(belief, candidates, completions.weights, first)
    return EIGMap(designs, eig, gains)


def _answers(
    completions: Completions, classifier: Classifier, answers: int, memory: int
) -> Float[Tensor, "N B *L K"]:
    """log p(v | whole completion): the true label where known, else the classifier's belief."""
    if completions.labels is not None:
        labels = completions.labels.to(completions.scenes.device)
        return F.one_hot(labels, answers).float().log()
    scenes = completions.scenes.flatten(0, 1)
    everything = Observation(scenes, torch.ones_like(scenes[:, :1]))
    return log_beliefs(everything, classifier, memory).unflatten(0, completions.scenes.shape[:2])
