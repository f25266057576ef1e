"""Beliefs from rows of a table of which only some features are known."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, clone
from torch import Tensor

from boed.classifiers.calibration import best_temperature
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.checks import at_least
from boed.foundation.randomness import derive


class TabularClassifier:
    """Any scikit-learn classifier that takes NaN as missing, calibrated by fraction seen.

    It is trained on copies of the rows of which 0 to all features are hidden, each number as
    often, and calibrated on the like of `val` by one temperature for each of five fractions.

    Args:
        train: rows `[N, 1, 1, F]` to learn from.
        val: rows to calibrate on.
        estimator: the classifier, which is cloned; `HistGradientBoostingClassifier` unless given.
        copies: of each row, with other features hidden.
        seed: of what is hidden, and of the default estimator.

    Raises:
        ValueError: images that are no rows, findings, classes that `train` lacks, `val` of another
            table, or copies below 1.
    """

    def __init__(
        self,
        train: Dataset,
        val: Dataset,
        estimator: ClassifierMixin | None = None,
        *,
        copies: int = 20,
        seed: int = 0,
    ) -> None:
        shape = tuple(train.images.shape[1:])
        if shape[:2] != (1, 1):
            raise ValueError(f"{train.name} has scenes {shape}, expected rows (1, 1, F)")
        if tuple(val.images.shape[1:]) != shape or val.label_names != train.label_names:
            raise ValueError(f"val, {val.name}, is another table than train, {train.name}")
        if train.multi_label:
            raise ValueError(f"{train.name} has findings, expected one class for each row")
        present = train.labels.unique().tolist()
        if present != list(range(len(train.label_names))):
            raise ValueError(
                f"{train.name} has rows of classes {present} only, "
                f"expected all of 0..{len(train.label_names) - 1}"
            )
        at_least(1, copies=copies)
        self._made_of = (train, val, copies, seed)
        self.features = shape[2]
        self.label_names = train.label_names
        rows, labels = _hidden(train, copies, derive(seed, "train"))
        self.estimator = _boosted_trees(copies, seed) if estimator is None else clone(estimator)
        self.estimator.fit(rows, labels)
        self.knots = torch.linspace(0, 1, 5)
        self.temperatures = torch.ones(5)
        self._calibrate(val, derive(seed, "val"))

    def __fingerprint__(self) -> object:
        """What the fitted trees follow from; they themselves cannot be read through."""
        return self._made_of, type(self.estimator).__qualname__, self.estimator.get_params()

    def log_probs(self, observation: Observation) -> Float[Tensor, "B K"]:
        """Calibrated log-probabilities; features that were not seen are missing.

        Raises:
            ValueError: an observation of another table.
        """
        if tuple(observation.values.shape[1:]) != (1, 1, self.features):
            raise ValueError(
                f"observation is of scenes {tuple(observation.values.shape[1:])}; this classifier "
                f"was trained on rows (1, 1, {self.features})"
            )
        missing = torch.where(observation.mask > 0, observation.values, torch.nan)
        uncalibrated = self._uncalibrated(missing.flatten(1).cpu().numpy())
        temperature = np.interp(
            observation.fraction_seen.cpu(), self.knots, self.temperatures
        ).astype(np.float32)
        scaled = uncalibrated / torch.from_numpy(temperature)[:, None]
        return scaled.log_softmax(1).to(observation.device)

    def _uncalibrated(self, rows: NDArray[np.float32]) -> Float[Tensor, "B K"]:
        probabilities = self.estimator.predict_proba(rows)
        return torch.from_numpy(probabilities).clamp(min=1e-12).log().float()

    def _calibrate(self, val: Dataset, seed: int) -> None:
        """The temperature that each fraction of features seen likes best."""
        copies = max(1000 // len(val), 1)
        temperatures = []
        for knot, fraction in enumerate(self.knots.tolist()):
            rows, labels = _hidden(val, copies, derive(seed, knot), fraction)
            temperatures.append(
                best_temperature(self._uncalibrated(rows), torch.from_numpy(labels))
            )
        self.temperatures = torch.tensor(temperatures)


def _boosted_trees(copies: int, seed: int) -> ClassifierMixin:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=60,
        max_leaf_nodes=15,
        min_samples_leaf=6 * copies,
        l2_regularization=1.0,
        random_state=derive(seed, "trees") % 2**31,
    )


def _hidden(
    dataset: Dataset, copies: int, seed: int, fraction: float | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Copies of all rows `[copies * N, F]` with random features NaN, and their labels.

    `fraction` of the features is seen, or any number from 0 to F if not given.
    """
    rng = np.random.default_rng(seed)
    values = np.tile(dataset.scenes().flatten(1).numpy(), (copies, 1))
    number, features = values.shape
    seen = rng.integers(features + 1, size=number)
    if fraction is not None:
        seen[:] = round(fraction * features)
    order = rng.random((number, features)).argsort(1).argsort(1)
    values[order >= seen[:, None]] = np.nan
    return values, np.tile(dataset.labels.numpy(), copies)
