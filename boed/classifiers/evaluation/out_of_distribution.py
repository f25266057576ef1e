"""Whether a scene is unlike what a classifier was trained on, by its features.

The distance is that of Mahalanobis from the nearest class's mean, with one covariance for all
classes (Lee et al. 2018, Eq. 2). Means and covariance are those of train scenes; what is usual is a
quantile of val scenes, which they were not fitted to. All of it stands in a checkpoint's header.

Of a partly seen scene features are others: there are means and a limit for each number of random
looks, and one covariance for all of those.
"""

from __future__ import annotations

import base64
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.classifiers.trained import TrainedClassifier
from boed.data.dataset import Dataset
from boed.data.looking import Looking, Squares, seen, some_counts
from boed.data.observation import Observation
from boed.foundation.checks import attribute

QUANTILE = 0.99
"""Of the distances of val scenes: those beyond it are called unlike the training data."""

RIDGE = 1e-3
"""Added to the covariance, in units of its mean variance."""

PIXELS = 2**24
"""Pixels of train scenes that the mean and covariance are taken of, a fixed random choice."""

PARTLY = 2**22
"""Pixels of train scenes that the statistics of partly seen scenes are taken of, a fixed choice."""

AT_ONCE = 2**20
"""Pixels per pass of the network."""

LOOKED_AT = 32
"""Scenes of a data set that are compared with a classifier's training data, a fixed choice."""

KEY = "features"
"""What a checkpoint's header calls the record."""

_BY_LOOKS = "looks"
"""What the record calls that of partly seen scenes."""


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


def feature_record(
    model: TrainedClassifier, train: Dataset, val: Dataset, *, looking: Looking | None = None
) -> dict[str, Any]:
    """What a checkpoint's header keeps of the features of whole and of partly seen scenes.

    Args:
        model: a trained classifier.
        train: what it learned from.
        val: scenes that it did not learn from.
        looking: the random looks that it was trained on; squares of a quarter of the width if not
            given.

    Returns:
        Class means and the lower triangle of the whitening (half floats, base64), the number of
        train scenes, the quantile, and the distance at it; and the like of partly seen scenes, by
        the mean fraction that some numbers of looks show.
    """
    train = _some(train, PIXELS)
    labels = torch.zeros(len(train), dtype=torch.int64) if train.multi_label else train.labels
    features = _features(model, Observation.everything(train.scenes()))
    means, within = _centred(features, labels)
    record: dict[str, Any] = {
        "means": _packed(means),
        "whitening": _packed(_whitening(within)),
        "scenes": len(train),
        "quantile": QUANTILE,
    }
    usual = _distance(_features(model, Observation.everything(val.scenes())), record)
    record["limit"] = float(torch.quantile(usual, QUANTILE))
    fewer = _some(train, PARTLY)
    return {**record, _BY_LOOKS: _looks_record(model, fewer, val, looking or Squares())}


def _looks_record(
    model: TrainedClassifier, train: Dataset, val: Dataset, looking: Looking
) -> dict[str, Any]:
    """The means of each number of looks, one whitening, and the limit of each."""
    labels = torch.zeros(len(train), dtype=torch.int64) if train.multi_label else train.labels
    counts = [count for count in some_counts(looking) if count > 0]
    means, centred, fractions = [], [], []
    for count in counts:
        observation = seen(train.scenes(), count, looking=looking, seed=2)
        fractions.append(float(observation.fraction_seen.mean()))
        mean, within = _centred(_features(model, observation), labels)
        means.append(mean)
        centred.append(within)
    record: dict[str, Any] = {
        "whitening": _packed(_whitening(torch.cat(centred))),
        "knots": [
            {"looks": count, "fraction": fraction, "means": _packed(mean)}
            for count, fraction, mean in zip(counts, fractions, means, strict=True)
        ],
    }
    for knot in record["knots"]:
        observation = seen(val.scenes(), knot["looks"], looking=looking, seed=3)
        usual = _distance(_features(model, observation), {**record, **knot})
        knot["limit"] = float(torch.quantile(usual, QUANTILE))
    return record


def _centred(
    features: Float[Tensor, "B F"], labels: Tensor
) -> tuple[Float[Tensor, "K F"], Float[Tensor, "B F"]]:
    """Class means, and features about that of their class."""
    means = torch.stack([features[labels == each].mean(0) for each in labels.unique()])
    return means, features - means[labels.unique(return_inverse=True)[1]]


def _whitening(within: Float[Tensor, "B F"]) -> Float[Tensor, " E"]:
    """The lower triangle of the factor of the precision of features about their means."""
    covariance = within.T @ within / len(within)
    ridge = RIDGE * covariance.diagonal().mean().clamp(min=1e-12)
    precision = torch.linalg.inv(covariance + ridge * torch.eye(len(covariance)).to(covariance))
    factor = torch.linalg.cholesky(precision)
    return factor[tuple(torch.tril_indices(*factor.shape))]


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
    features = _features(classifier, Observation.everything(scenes))
    with _readable():
        return FeatureDistance(_distance(features, record), float(record["limit"]))


def knows_looks(classifier: Classifier) -> bool:
    """Whether it is known how far partly seen scenes are from a classifier's training data."""
    record = getattr(classifier, "provenance", {}).get(KEY)
    known = isinstance(record, dict) and _BY_LOOKS in record
    return known and isinstance(classifier, TrainedClassifier)


def relative_distance(
    classifier: TrainedClassifier, observation: Observation
) -> Float[Tensor, " B"]:
    """How far partly seen scenes are from the training data, over what 99 % of val stay within.

    Beyond 1 a scene is unlike them. The means and the limit are those of the number of random looks
    that shows most nearly as much, or of whole scenes where all is seen; NaN where nothing is.

    Args:
        classifier: one that `knows_looks`.
        observation: what was seen.

    Raises:
        ValueError: an observation of another size than the classifier's, or a damaged record.
    """
    record = classifier.provenance[KEY]
    features, fraction = _features(classifier, observation), observation.fraction_seen.cpu()
    found = torch.full((len(fraction),), torch.nan, dtype=torch.float64)
    with _readable():
        looks = record[_BY_LOOKS]
        knots = [{**looks, **each} for each in looks["knots"]] + [{**record, "fraction": 1.0}]
        places = torch.tensor([float(each["fraction"]) for each in knots])
        nearest = (fraction[:, None] - places).abs().argmin(1)
        nearest[(nearest == len(places) - 1) & (fraction < 1)] -= 1  # of which a part is missing
        for k, knot in enumerate(knots):
            rows = (nearest == k) & (fraction > 0)
            if rows.any():
                found[rows] = _distance(features[rows], knot) / float(knot["limit"])
    return found


@contextmanager
def _readable() -> Iterator[None]:
    """Say of what cannot be read that the record is damaged."""
    try:
        yield
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
def _features(model: TrainedClassifier, observation: Observation) -> Float[Tensor, "B F"]:
    piece = max(AT_ONCE // observation.values[0].numel(), 1)
    device = next(model.parameters()).device
    parts = [
        model.features(observation[slice(start, start + piece)].to(device)).double().cpu()
        for start in range(0, len(observation), piece)
    ]
    return torch.cat(parts)


def _some(dataset: Dataset, pixels: int) -> Dataset:
    number = max(pixels // dataset.images[0].numel(), 1)
    if len(dataset) <= number:
        return dataset
    generator = torch.Generator().manual_seed(0)
    return dataset.subset(torch.randperm(len(dataset), generator=generator)[:number])


def _packed(values: Tensor) -> str:
    """As half floats; the whitening of a single scene, which has no spread, is beyond them."""
    most = torch.finfo(torch.float16).max
    values = values.clamp(-most, most)
    return base64.b64encode(values.numpy().astype("<f2").tobytes()).decode()


def _unpacked(text: str) -> Float[Tensor, " E"]:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), "<f2").astype(np.float64))
