"""The set in memory refuses what does not fit together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boed.data import Dataset


def make(**changes):
    parts = {
        "name": "toy",
        "split": "val",
        "images": torch.arange(32, dtype=torch.uint8).reshape(2, 1, 4, 4) * 8,
        "labels": torch.tensor([0, 2]),
        "label_names": ("a", "b", "c"),
        "patients": np.array(["p", "q"]),
    }
    return Dataset(**(parts | changes))


def test_scenes_are_floats_in_unit_range():
    dataset = make(images=torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1))
    assert dataset.scenes().flatten().tolist() == [0, 1]
    assert dataset.scenes([1]).shape == (1, 1, 1, 1)


def test_floats_are_left_as_they_are():
    images = torch.linspace(0, 1, 32).reshape(2, 1, 4, 4)
    dataset = make(images=images)
    assert torch.equal(dataset.scenes(), images)
    assert torch.equal(dataset.scenes([1]), images[1:])
    assert torch.equal(dataset.subset([1]).scenes(), images[1:])
    assert len(dataset.subset(torch.zeros(0, dtype=torch.int64))) == 0
    assert dataset.sha256 == make(images=images.clone()).sha256
    assert dataset.sha256 != make(images=images * 0.999).sha256


def test_subset_keeps_rows_together():
    swapped = make().subset([1, 0, 1])
    assert swapped.labels.tolist() == [2, 0, 2]
    assert swapped.patients.tolist() == ["q", "p", "q"]
    assert torch.equal(swapped.images, make().images[[1, 0, 1]])


def test_checksum_is_of_images_and_labels():
    assert make().sha256 == make(name="other").sha256
    assert make().sha256 != make(labels=torch.tensor([0, 1])).sha256
    assert make().sha256 != make(images=make().images + 1).sha256


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": torch.zeros(2, 1, 4, 4).double()}, "images must be uint8 or float32"),
        ({"images": torch.full((2, 1, 4, 4), 2.0)}, r"images spans \[2, 2\]; expected .* \[0, 1\]"),
        ({"images": torch.full((2, 1, 4, 4), torch.nan)}, "images has 32 NaN"),
        ({"images": torch.zeros(2, 4, 4, dtype=torch.uint8)}, r"\[N, C, H, W\], got .*\(2, 4, 4\)"),
        ({"labels": torch.tensor([0.0, 1.0])}, "labels must be int64"),
        ({"labels": torch.zeros(2, 1, 1, dtype=torch.int64)}, "labels must be int64"),
        ({"labels": torch.tensor([0])}, "2 images but 1 labels"),
        ({"labels": torch.tensor([0, 3])}, r"labels span 0\.\.3, expected 0\.\.2"),
        ({"labels": torch.tensor([-1, 0])}, r"labels span -1\.\.0"),
        ({"labels": torch.full((2, 3), 2)}, r"expected 0\.\.1"),
        ({"labels": torch.zeros(2, 2, dtype=torch.int64)}, "2 label columns, 3 names"),
        ({"patients": np.array(["p"])}, "2 images, 1 patients"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=message) as refused:
        make(**changes)
    assert str(refused.value).startswith("toy (val): ")
