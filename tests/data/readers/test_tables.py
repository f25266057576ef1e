"""Tables: every row in one place, features in [0, 1], the same split always."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boed.data.readers.tables import BUNDLED, FOLDS, feature_names, table

SIZES = {
    "breast_cancer": (569, 30, 2),
    "wine": (178, 13, 3),
    "iris": (150, 4, 3),
    "optical_digits": (1797, 64, 10),
}


def test_sizes_are_listed():
    assert SIZES.keys() == BUNDLED.keys()


@pytest.mark.parametrize("name", BUNDLED)
def test_parts_are_disjoint_stratified_and_whole(name):
    rows, features, classes = SIZES[name]
    assert len(feature_names(name)) == features
    tested = []
    for fold in range(FOLDS):
        parts = {split: table(name, split, fold) for split in ("train", "val", "test")}
        numbers = np.concatenate([part.patients for part in parts.values()])
        assert len(numbers) == len(set(numbers)) == rows
        for part in parts.values():
            assert part.images.shape[1:] == (1, 1, features)
            assert part.labels.bincount(minlength=classes).min() > 0
            assert len(part.label_names) == classes
        share = [part.labels.bincount() / len(part) for part in parts.values()]
        assert (share[0] - share[2]).abs().max() < 0.05
        tested += parts["test"].patients.tolist()
    assert sorted(map(int, tested)) == list(range(rows))


@pytest.mark.parametrize("name", BUNDLED)
def test_train_spans_the_unit_range(name):
    """And values beyond it in the other parts are clipped."""
    train = table(name, "train").scenes()
    low, high = train.amin(0).flatten(), train.amax(0).flatten()
    constant = low == high
    assert (low == 0).all()
    assert (high[~constant] == 1).all()
    assert (high[constant] == 0).all()
    test = table(name, "test").scenes()
    assert 0 <= test.min() <= test.max() <= 1


def test_values_are_those_of_the_table():
    from sklearn.datasets import load_wine

    raw, train, test = load_wine(), table("wine", "train", 2), table("wine", "test", 2)
    known = raw.data[train.patients.astype(int)]
    unseen = raw.data[test.patients.astype(int)]
    low, high = known.min(0), known.max(0)
    expected = ((unseen - low) / (high - low)).clip(0, 1)
    assert torch.allclose(test.scenes()[:, 0, 0], torch.tensor(expected).float(), atol=1e-6)
    assert test.labels.tolist() == raw.target[test.patients.astype(int)].tolist()


def test_the_split_is_always_the_same():
    assert table("iris", "test").patients[:5].tolist() == ["4", "9", "15", "27", "30"]
    assert table("iris", "test").sha256 == table("iris", "test").sha256
    assert table("iris", "test").sha256 != table("iris", "test", 1).sha256


def test_refuses():
    with pytest.raises(ValueError, match=r"table is 'beer'.*one of breast_cancer"):
        table("beer")
    with pytest.raises(ValueError, match="fold is 5, expected 0 to 4"):
        table("wine", "test", 5)
    with pytest.raises(ValueError, match="split is 'dev', expected one of train, val, test"):
        table("wine", "dev")
