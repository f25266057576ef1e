"""Whether a scene is unlike what a classifier was trained on, by its features.

The distance is that of Mahalanobis from the nearest class's mean, with one covariance for all
classes (Lee et al. 2018, Eq. 2). Means and covariance are those of train scenes; what is usual is a
quantile of val scenes, which they were not fitted to. All of it stands in a checkpoint's header.
"""

from __future__ import annotations

import base64
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.classifiers.trained import TrainedClassifier
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.checks import attribute

QUANTILE = 0.99
"""Of the distances of val scenes: those beyond it are called unlike the training data."""

RIDGE = 1e-3
"""Added to the covariance, in units of its mean variance."""

PIXELS = 2**24
"""Pixels of train scenes that the mean and covariance are taken of, a fixed random choice."""

AT_ONCE = 2**20
"""Pixels per pass of the network."""

LOOKED_AT = 32
"""Scenes of a data set that are compared with a classifier's training data, a fixed choice."""

KEY = "features"
"""What a checkpoint's header calls the record."""


@dataclass(frozen=True, eq=False)
class FeatureDistance:
    """How far scenes are from the training data.

    Attributes:
        distance: of each scene, `[B]`, in standard deviations of the features.
        limit: what 99 % of val scenes stay within.
    """

    distance: Float[Tensor, " B"]
    limit: float

    @property
    def unlike(self) -> Bool[Tensor, " B"]:
        """Which scenes are further off than the limit."""
        return self.distance > self.limit


def feature_record(model: TrainedClassifier, train: Dataset, val: Dataset) -> dict[str, Any]:
    """What a checkpoint's header keeps of the features of whole scenes.

    Args:
        model: a trained classifier.
        train: what it learned from.
        val: scenes that it did not learn from.

    Returns:
        Class means and the lower triangle of the whitening (half floats, base64), the number of
        train scenes, the quantile, and the distance at it.
    """
    train = _some(train)
    features = _features(model, train.scenes())
    labels = torch.zeros(len(train), dtype=torch.int64) if train.multi_label else train.labels
    means = torch.stack([features[labels == each].mean(0) for each in labels.unique()])
    within = features - means[labels.unique(return_inverse=True)[1]]
    covariance = within.T @ within / len(within)
    ridge = RIDGE * covariance.diagonal().mean().clamp(min=1e-12)
    precision = torch.linalg.inv(covariance + ridge * torch.eye(len(covariance)).to(covariance))
    factor = torch.linalg.cholesky(precision)
    record = {
        "means": _packed(means),
        "whitening": _packed(factor[tuple(torch.tril_indices(*factor.shape))]),
        "scenes": len(train),
        "quantile": QUANTILE,
    }
    usual = _distance(_features(model, val.scenes()), record)
    return {**record, "limit": float(torch.quantile(usual, QUANTILE))}


def feature_distance(
    classifier: Classifier, scenes: Float[Tensor, "B C H W"]
) -> FeatureDistance | None:
    """How far whole scenes are from a classifier's training data; None where that is not known.

    Raises:
        ValueError: scenes of another size than the classifier's, or a damaged record.
    """
    record = attribute(classifier, "provenance", {}).get(KEY)
    if record is None or not isinstance(classifier, TrainedClassifier):
        return None
    features = _features(classifier, scenes)
    try:
        return FeatureDistance(_distance(features, record), float(record["limit"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"classifier: the record of features in its checkpoint is damaged: {error}"
        ) from error


def warn_if_unlike(classifier: Classifier, dataset: Dataset) -> None:
    """Say so if most of some scenes of a data set are unlike a classifier's training data.

    Where their negatives are like it, they are inverted. Of a classifier without a record nothing
    is known, and nothing is said.
    """
    generator = torch.Generator().manual_seed(0)
    scenes = dataset.scenes(torch.randperm(len(dataset), generator=generator)[:LOOKED_AT])
    found = feature_distance(classifier, scenes)
    if found is None or found.unlike.float().mean() <= 0.5:
        return
    negative = feature_distance(classifier, 1 - scenes)
    number = f"{int(found.unlike.sum())} of {len(scenes)} scenes of {dataset.name}"
    if negative is not None and negative.unlike.float().mean() <= 0.5:
        said = (
            "look inverted, dark where the classifier's training images are bright: exchange their "
            "black and white"
        )
    else:
        said = "are unlike those that the classifier was trained on: what it says means little"
    warnings.warn(f"{number} ({dataset.split}) {said}", stacklevel=2)


def _distance(features: Float[Tensor, "B F"], record: dict[str, Any]) -> Float[Tensor, " B"]:
    """From the nearest class's mean."""
    width = features.shape[1]
    means = _unpacked(record["means"]).reshape(-1, width)
    whitening = torch.zeros(width, width, dtype=torch.float64)
    whitening[tuple(torch.tril_indices(width, width))] = _unpacked(record["whitening"])
    return torch.cdist(features @ whitening, means @ whitening).amin(1)


@torch.no_grad()
def _features(model: TrainedClassifier, scenes: Tensor) -> Float[Tensor, "B F"]:
    piece = max(AT_ONCE // scenes[0].numel(), 1)
    device = next(model.parameters()).device
    parts = [
        model.features(Observation.everything(part.to(device))).double().cpu()
        for part in scenes.split(piece)
    ]
    return torch.cat(parts)


def _some(dataset: Dataset) -> Dataset:
    number = max(PIXELS // dataset.images[0].numel(), 1)
    if len(dataset) <= number:
        return dataset
    generator = torch.Generator().manual_seed(0)
    return dataset.subset(torch.randperm(len(dataset), generator=generator)[:number])


def _packed(values: Tensor) -> str:
    return base64.b64encode(values.numpy().astype("<f2").tobytes()).decode()


def _unpacked(text: str) -> Float[Tensor, " E"]:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), "<f2").astype(np.float64))
