"""Tables of which some features are hidden: better the more is seen, and never surer than right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

from boed.classifiers import Classifier
from boed.classifiers.calibration import cross_entropy
from boed.classifiers.tabular import TabularClassifier
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.data.readers.tables import table
from boed.foundation.fingerprint import fingerprint


@pytest.fixture(scope="module")
def wines():
    return TabularClassifier(table("wine", "train"), table("wine", "val"), copies=10)


def seen(dataset, fraction, seed=0):
    """Each feature of each row is seen with that probability."""
    scenes = dataset.scenes()
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(scenes.shape, generator=generator) < fraction).float()
    return Observation.of(scenes, mask)


def signal(number, split="train", seed=0, noise=1.0):
    """Two classes; feature 0 is the class with errors of 10 %, the other features are noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=number)
    values = noise * rng.random((number, 4))
    values[:, 0] = np.where(rng.random(number) < 0.1, 1 - labels, labels)
    images = torch.from_numpy(values).float()[:, None, None]
    return Dataset(
        name="signal",
        split=split,
        images=images,
        labels=torch.from_numpy(labels),
        label_names=("no", "yes"),
    )


def test_more_features_tell_more(wines):
    test = table("wine", "test")
    nll = [
        cross_entropy(wines.log_probs(seen(test, fraction)), test.labels).mean().item()
        for fraction in (0, 0.3, 1)
    ]
    assert nll == sorted(nll, reverse=True)
    assert abs(nll[0] - np.log(3)) < 0.1
    assert nll[2] < 0.35
    assert isinstance(wines, Classifier)


def test_it_is_as_sure_as_it_is_right():
    model = TabularClassifier(signal(400, noise=0), signal(300, "val", 1, noise=0))
    mask = torch.tensor([1.0, 0, 0, 0]).view(1, 1, 1, 4).expand(4, -1, -1, -1)
    values = torch.tensor([0.0, 1, 0, 1]).view(4, 1, 1, 1) * mask
    mask = mask * torch.tensor([1.0, 1, 0, 0]).view(4, 1, 1, 1)
    belief = model.log_probs(Observation(values * mask, mask)).exp()[:, 1]
    assert belief.tolist() == pytest.approx([0.1, 0.9, 0.5, 0.5], abs=0.06)


def test_calibration_takes_the_over_confidence_away():
    """Of a full-grown tree, which is always sure."""
    train, val, test = signal(200), signal(400, "val", 1), signal(1000, "test", 2)
    model = TabularClassifier(train, val, DecisionTreeClassifier(random_state=0), copies=5)
    everything = Observation.of(test.scenes(), torch.ones(1000, 1, 1, 4))
    after = cross_entropy(model.log_probs(everything), test.labels).mean()
    assert model.temperatures[-1] > 2
    model.temperatures[:] = 1
    before = cross_entropy(model.log_probs(everything), test.labels).mean()
    assert before > 1
    assert after < 0.7


def test_same_seed_same_beliefs_in_any_batch(wines):
    observation = seen(table("wine", "test"), 0.5)
    again = TabularClassifier(table("wine", "train"), table("wine", "val"), copies=10)
    other = TabularClassifier(table("wine", "train"), table("wine", "val"), copies=10, seed=1)
    found = wines.log_probs(observation)
    assert torch.equal(found, again.log_probs(observation))
    assert not torch.equal(found, other.log_probs(observation))
    one_by_one = [wines.log_probs(observation[b : b + 1]) for b in range(len(observation))]
    assert torch.allclose(found, torch.cat(one_by_one), atol=1e-6)


def test_refuses(wines):
    train, val = table("iris", "train"), table("iris", "val")
    with pytest.raises(ValueError, match=r"was trained on rows \(1, 1, 13\)"):
        wines.log_probs(Observation.nothing(1, 1, (1, 4)))
    with pytest.raises(ValueError, match="val, wine, is another table than train, iris"):
        TabularClassifier(train, table("wine", "val"))
    with pytest.raises(ValueError, match="copies is 0"):
        TabularClassifier(train, val, copies=0)
    with pytest.raises(ValueError, match=r"iris has rows of classes \[0\] only, expected all"):
        TabularClassifier(train.subset((train.labels == 0).nonzero()[:, 0]), val)
    images = Dataset(
        name="images",
        split="train",
        images=torch.zeros(2, 1, 4, 4),
        labels=torch.tensor([0, 1]),
        label_names=("a", "b"),
    )
    with pytest.raises(ValueError, match=r"images has scenes \(1, 4, 4\), expected rows"):
        TabularClassifier(images, images)


def test_the_same_fit_has_the_same_fingerprint_and_another_has_not() -> None:
    train, val = table("wine", "train"), table("wine", "val")
    one, again = (fingerprint(TabularClassifier(train, val, copies=2)) for _ in range(2))
    assert one == again
    assert one != fingerprint(TabularClassifier(train, val, copies=2, seed=1))
    assert one != fingerprint(TabularClassifier(train, val.subset(range(9)), copies=2))
