"""All classifiers, policies and estimators of this package pass the lists that users' parts do.

Sensors are in tests/sensors/test_sensors.py, completers in tests/completion/test_completers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from boed.classifiers import DenseNetClassifier, DenseNetConfig, from_module
from boed.classifiers.tabular import TabularClassifier
from boed.completion import GaussianMixture, Retrieval
from boed.data.dataset import Dataset
from boed.data.load import load
from boed.eig import Disagreement, ValueOfInformation
from boed.eig.completions.estimators import ESTIMATORS, PredictiveEntropy
from boed.policies import (
    BOED,
    CentreOut,
    Confident,
    FirstLook,
    FixedDesign,
    Oracle,
    Policy,
    Random,
    TwoStep,
    Until,
)
from boed.search import CoarseToFine, Racing
from boed.sensors import KSpaceLines, Lines, PatchSensor
from boed.testing import (
    Check,
    classifier_checks,
    completer_checks,
    estimator_checks,
    policy_checks,
    sensor_checks,
)
from boed.testing.estimators import Projected
from tests.doubles import RowSensor, tiny_classifier


def pictures(channels: int = 1, size: int = 8) -> Dataset:
    images = torch.randint(
        0, 256, (30, channels, size, size), generator=torch.Generator().manual_seed(1)
    )
    return Dataset(
        name="noise",
        split="train",
        images=images.to(torch.uint8),
        labels=torch.arange(30) % 2,
        label_names=("a", "b"),
    )


@cache
def densenet(multi_label: bool) -> DenseNetClassifier:
    torch.manual_seed(0)
    names = ("a", "b") if multi_label else ("a", "b", "c", "d")
    config = DenseNetConfig(
        size=32, channels=1, outputs=4, stem=4, width=8, growth=(8,), layers=(2,)
    )
    return DenseNetClassifier(config, names, multi_label).eval()


def regression() -> TabularClassifier:
    estimator = make_pipeline(SimpleImputer(), LogisticRegression())
    iris = [load("iris", None, split) for split in ("train", "val")]
    return TabularClassifier(*iris, estimator, copies=2)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(128, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout()
    )


CLASSIFIERS: dict[str, Callable[[], list[Check]]] = {
    "DenseNet": lambda: classifier_checks(densenet(False)),
    "DenseNet, findings": lambda: classifier_checks(densenet(True)),
    "DenseNet, folded": lambda: classifier_checks(tiny_classifier(), (3, 32, 32)),
    "logistic regression": lambda: classifier_checks(regression(), (1, 1, 4)),
    "module": lambda: classifier_checks(from_module(network()), (1, 8, 8)),
    "module, findings": lambda: classifier_checks(
        from_module(network(), multi_label=True), (1, 8, 8)
    ),
    "a user's": lambda: classifier_checks(Projected(None), (1, 6, 6)),
}


def boed(**options: Any) -> BOED:
    library = pictures(size=6)
    return BOED(Retrieval(library), Projected(None), n=3, first_look=FirstLook(n=4), **options)


TILES = PatchSensor(6, 0.5, 2)
SHAPE = (1, 6, 6)


def tiled(policy: Policy, reference: bool = False) -> list[Check]:
    return policy_checks(policy, SHAPE, sensor=TILES, reference=reference)


POLICIES: dict[str, Callable[[], list[Check]]] = {
    "boed": lambda: tiled(boed()),
    "boed, racing": lambda: tiled(boed(search=Racing())),
    "boed, coarse to fine": lambda: tiled(boed(search=CoarseToFine(around=2))),
    "boed, variance": lambda: tiled(boed(estimator="variance")),
    "two steps": lambda: tiled(TwoStep(boed(), m=2, n_after=2)),
    "until": lambda: tiled(Until(boed(), Confident(Projected(None), 0.9))),
    "oracle": lambda: tiled(Oracle(Projected(None)), reference=True),
    "random": lambda: tiled(Random()),
    "random lines of k-space": lambda: policy_checks(Random(), SHAPE, sensor=KSpaceLines(6)),
    "centre out": lambda: tiled(CentreOut()),
    "centre out, rows": lambda: policy_checks(CentreOut(), SHAPE, sensor=Lines(6)),
    "fixed": lambda: tiled(FixedDesign(torch.tensor([[0, 0], [3, 3], [0, 3]]))),
}

ESTIMATING = {
    **dict(ESTIMATORS),
    "predictive entropy, lower": PredictiveEntropy(bound="lower"),
    "loss": ValueOfInformation(torch.tensor([[0.0, 5.0, 1.0], [1.0, 0.0, 1.0]])),
    "disagreement": Disagreement((Projected(None), Projected(None))),
}
ESTIMATES = {name: (lambda e=each: estimator_checks(e)) for name, each in ESTIMATING.items()} | {
    f"{name}, findings": (lambda e=each: estimator_checks(e, findings=2))
    for name, each in ESTIMATORS.items()
    if name != "disagreement"  # of members, which only an ensemble has
}

OTHERS: dict[str, Callable[[], list[Check]]] = {
    "a user's sensor": lambda: sensor_checks(RowSensor(), (1, 6, 6)),
    "a mixture from k-space": lambda: completer_checks(
        GaussianMixture(pictures(), factors=4, transform=KSpaceLines(8).forward),
        (1, 8, 8),
        sensor=KSpaceLines(8),
    ),
}
OURS = CLASSIFIERS | POLICIES | ESTIMATES | OTHERS


@pytest.mark.parametrize("name", OURS)
def test_ours_pass_their_list(name: str) -> None:
    checks = OURS[name]()
    assert len({check.name for check in checks}) == len(checks) > 4
    for check in checks:
        check()
