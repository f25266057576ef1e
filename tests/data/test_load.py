"""One call for every set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from boed import data
from boed.data.readers.tables import TABLES


@pytest.mark.parametrize(
    ("name", "number", "labels", "native"),
    [
        ("kermany_pneumonia_128", 526, 2, 128),
        ("nih_cxr14_256", 185, 15, 256),
        ("nih_cxr14_128", 185, 15, 128),
        ("nih_cxr14_64", 186, 15, 64),
        ("mnist_28", 10000, 10, 28),
    ],
)
def test_real_sets_by_name(real_data, monkeypatch, name, number, labels, native):
    monkeypatch.setenv("BOED_DATA", str(real_data))
    dataset = data.load(name)
    assert (dataset.name, dataset.split, len(dataset)) == (name, "test", number)
    assert (dataset.size, dataset.channels, len(dataset.label_names)) == (native, 1, labels)
    assert dataset.multi_label == name.startswith("nih")
    if dataset.multi_label:
        assert dataset.label_names[-1] == "any"
        assert torch.equal(dataset.labels[:, -1], dataset.labels[:, :-1].amax(1))
    else:
        assert dataset.labels.unique().tolist() == list(range(labels))
    if name != "mnist_28":
        assert len(set(dataset.patients)) < len(dataset)


def test_real_set_resized_by_area(real_data):
    full = data.load("kermany_pneumonia_128", split="val", root=real_data)
    half = data.load("kermany_pneumonia_128", size=64, split="val", root=real_data)
    means = torch.nn.functional.avg_pool2d(full.images.double(), 2)
    assert torch.equal(half.images, (means + 0.5).floor().to(torch.uint8))


def test_digits_resized():
    native, larger = data.load("digits"), data.load("digits", size=40)
    assert (native.size, larger.size) == (28, 40)
    assert torch.equal(native.labels, larger.labels)
    assert (native.scenes().mean() - larger.scenes().mean()).abs() < 0.005


def test_a_path(content, write):
    dataset = data.load(write(content), size=4, split="val")
    assert (dataset.name, tuple(dataset.images.shape)) == ("small", (3, 1, 4, 4))


def test_a_folder(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / "test" / label).mkdir(parents=True)
        Image.fromarray(np.full((6, 6), 9, np.uint8)).save(tmp_path / "test" / label / "1.png")
    dataset = data.load(tmp_path, size=3)
    assert (dataset.label_names, tuple(dataset.images.shape)) == (("cat", "dog"), (2, 1, 3, 3))


def test_root_stands_in_for_the_environment(content, write, tmp_path, monkeypatch):
    write(content, "mnist_28")
    monkeypatch.delenv("BOED_DATA", raising=False)
    assert data.load("mnist_28", root=tmp_path).name == "mnist_28"
    with pytest.raises(ValueError, match="mnist_28: set BOED_DATA"):
        data.load("mnist_28")
    monkeypatch.setenv("BOED_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(ValueError, match=r"there is no mnist_28\.npz in .*elsewhere"):
        data.load("mnist_28")


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("kermany", "kermany_pneumonia_128"),
        ("nih_cxr_128", "nih_cxr14_128"),
        ("digit", "digits"),
        ("pneumonia_mnist", "pneumoniamnist"),
    ],
)
def test_unknown_name_suggests_the_nearest(given, nearest):
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'.*one of digits, breast"):
        data.load(given)


def test_a_name_like_nothing_lists_what_there_is():
    with pytest.raises(ValueError, match="data set is 'zzzz', expected one of digits") as refused:
        data.load("zzzz")
    assert "did you mean" not in str(refused.value)


def test_a_table_by_name():
    rows = data.load("wine", split="val")
    assert (rows.name, rows.split) == ("wine", "val")
    assert rows.images.shape[1:] == (1, 1, 13)
    with pytest.raises(ValueError, match="size is 32, but wine is a table of 13 features"):
        data.load("wine", size=32)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "rows.csv",
            r"rows\.csv', a table, expected .* come by name .breast_cancer, .*boed.data.Dataset",
        ),
        ("rows.PARQUET", r"rows\.PARQUET', a table, expected an npz file or a folder of images"),
        ("lung.png", r"lung\.png', a single picture, .* the folder .* `boed scan`"),
        ("lung.DCM", r"lung\.DCM', a single picture, "),
    ],
)
def test_a_file_of_another_kind_is_refused_by_its_kind(tmp_path, name, said):
    (tmp_path / name).write_text("width,label\n1,a\n")
    with pytest.raises(ValueError, match=said):
        data.load(tmp_path / name)


def test_refuses_size_and_split():
    with pytest.raises(ValueError, match="size is 0, expected at least 1"):
        data.load("digits", size=0)
    with pytest.raises(ValueError, match="split is 'dev', expected one of train, val, test"):
        data.load("digits", split="dev")
    with pytest.raises(ValueError, match=r"absent\.npz', a file that does not exist"):
        data.load("absent.npz")


def test_catalogue_says_what_is_here(content, write, tmp_path, monkeypatch):
    monkeypatch.setenv("BOED_CACHE", str(tmp_path / "cache"))
    write(content, "nih_cxr14_64")
    write(content, "chestmnist_128")
    entries = {entry.name: entry for entry in data.catalogue(root=tmp_path)}
    here = {name for name, entry in entries.items() if entry.available}
    assert here == {"digits", *TABLES, "nih_cxr14_64", "chestmnist"}
    assert entries["wine"].sizes == (13,)
    assert entries["pneumoniamnist"].sizes == (28, 64, 128, 224)
    assert "boed data fetch pneumoniamnist" in entries["pneumoniamnist"].how
    assert "BOED_DATA" in entries["mnist_28"].how
