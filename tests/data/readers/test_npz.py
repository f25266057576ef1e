"""The MedMNIST convention: what is read, and each thing that is refused."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import torch

from boed.data.readers.npz import read_npz


def test_reads_one_split_as_it_is(content, write):
    dataset = read_npz(write(content), split="train")
    assert (dataset.name, dataset.split) == ("small", "train")
    assert torch.equal(dataset.images[:, 0], torch.from_numpy(content["train_images"]))
    assert dataset.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert dataset.label_names == ("healthy", "ill", "very ill")
    assert dataset.patients is not None
    assert dataset.patients.tolist() == content["train_patients"].tolist()


def test_reads_colour_and_flat_labels(content, write):
    colour = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 3), np.uint8)
    content |= {"test_images": colour, "test_labels": np.array([0, 1, 2, 2])}
    dataset = read_npz(write(content))
    assert torch.equal(dataset.images, torch.from_numpy(colour).permute(0, 3, 1, 2))
    assert dataset.labels.tolist() == [0, 1, 2, 2]


def test_one_name_is_absent_or_present(content, write):
    content["label_names"] = np.array(["pneumonia"])
    content["test_labels"] = np.array([[0], [1], [1], [0]], np.uint8)
    dataset = read_npz(write(content))
    assert dataset.label_names == ("no pneumonia", "pneumonia")
    assert dataset.labels.tolist() == [0, 1, 1, 0]


def test_classes_without_names_are_counted_over_all_splits(content, write):
    del content["label_names"]
    content["test_labels"] = np.zeros((4, 1), np.uint8)
    assert read_npz(write(content)).label_names == ("class 0", "class 1", "class 2")


def findings(content):
    content["label_names"] = np.array(["mass", "nodule"])
    content["test_labels"] = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.uint8)
    return content


def test_findings_get_an_any_column(content, write):
    dataset = read_npz(write(findings(content)))
    assert dataset.multi_label
    assert dataset.label_names == ("mass", "nodule", "any")
    assert dataset.labels.tolist() == [[0, 0, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]]


def test_findings_with_a_no_finding_column_are_left_alone(content, write):
    findings(content)["label_names"] = np.array(["mass", "No Finding"])
    assert read_npz(write(content)).label_names == ("mass", "No Finding")


def test_only_the_asked_split_is_decoded(content, write, tmp_path):
    whole = write(content)
    damaged = tmp_path / "damaged.npz"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(damaged, "w") as new:
        for item in old.namelist():
            new.writestr(item, b"no array" if item == "train_images.npy" else old.read(item))
    assert len(read_npz(damaged, split="test")) == 4
    with pytest.raises(ValueError, match="'train_images' is damaged"):
        read_npz(damaged, split="train")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("test_images", np.zeros((4, 8, 8), np.float32), "float32 .* expected uint8"),
        ("test_images", np.full((4, 8, 8), np.nan), "float64 .* expected uint8"),
        ("test_images", np.zeros((4, 8, 9), np.uint8), "expected at least one image, square"),
        ("test_images", np.zeros((0, 8, 8), np.uint8), "expected at least one image"),
        ("test_images", np.zeros((4, 8, 8, 2), np.uint8), r"\[4, 8, 8, 2\]; expected"),
        ("test_images", np.zeros((4, 64), np.uint8), r"\[4, 64\]; expected"),
        ("test_images", np.zeros((5, 8, 8), np.uint8), "'test_labels' is 4 labels; expected 5"),
        ("test_labels", np.array([0, 1, 2, 3]), r"from 0 to 3; expected labels in 0\.\.2"),
        ("test_labels", np.array([0, 1, 2, -1]), r"from -1 to 2; expected labels in 0\.\.2"),
        ("test_labels", np.array([0, 1, np.nan, np.nan]), "NaN in 2 places"),
        ("test_labels", np.array([0, 1, 0.5, 2]), "with fractions; expected whole numbers"),
        ("test_labels", np.array(["a", "b", "c", "d"]), "expected whole numbers"),
        ("test_labels", np.zeros((4, 1, 1), np.uint8), r"of shape \[4, 1, 1\]"),
        ("test_labels", np.full((4, 3), 2), r"from 2 to 2; expected labels in 0\.\.1"),
        ("test_labels", np.zeros((4, 5), np.uint8), "'label_names' is 3 names; expected 5"),
        ("test_patients", np.array(["train0", "b", "c", "d"]), "sharing 1 patients with train"),
        ("val_patients", np.array(["train0", "b", "c"]), r"'val_patients' .*such as train0"),
        ("test_patients", np.array(["a", "b"]), r"of shape \[2\]; expected \[4\]"),
    ],
)
def test_refuses_wrong_content(content, write, key, value, message):
    content[key] = value
    with pytest.raises(ValueError, match=message) as refused:
        read_npz(write(content))
    assert "small.npz" in str(refused.value)


@pytest.mark.parametrize("key", ["test_images", "test_labels"])
def test_refuses_a_missing_key(content, write, key):
    del content[key]
    with pytest.raises(ValueError, match=rf"small.npz: no key '{key}'.*found label_names"):
        read_npz(write(content))


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_refuses_a_truncated_file(content, write, kept):
    path = write(content)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if kept >= 1 else int(kept * len(whole))])
    with pytest.raises(ValueError, match=r"small\.npz is truncated or is not an npz file"):
        read_npz(path)


def test_refuses_a_flipped_bit(content, write):
    path = write(content)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("test_images.npy").header_offset
    changed = bytearray(path.read_bytes())
    changed[start + 150] ^= 255
    path.write_bytes(changed)
    with pytest.raises(ValueError, match="'test_images' is damaged"):
        read_npz(path)


def test_never_unpickles(content, write):
    content["test_labels"] = np.array([0, 1, 2, None], dtype=object)
    with pytest.raises(ValueError, match=r"'test_labels' holds Python objects"):
        read_npz(write(content))


def test_refuses_a_header_that_asks_for_more_memory_than_there_is(content, write):
    path = write(content)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 30, 1 << 15, 1 << 10)}
    )
    del content["test_images"]
    np.savez(path, **content)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("test_images.npy", header.getvalue())
    with pytest.raises(ValueError, match=r"'test_images', uint8 .* needs about .*BOED_MEMORY_GIB"):
        read_npz(path)


@pytest.mark.parametrize("highest", [10**8, 2**40, 2**62])
def test_refuses_more_classes_than_memory_has_room_for(content, write, highest):
    del content["label_names"]
    content["test_labels"] = np.array([0, 1, 2, highest])
    with pytest.raises(ValueError, match=r"small\.npz: .* classes, as 'test_labels' has no"):
        read_npz(write(content))


def test_refuses_a_missing_file_a_single_array_and_an_unknown_split(tmp_path, content, write):
    with pytest.raises(ValueError, match="does not exist"):
        read_npz(tmp_path / "absent.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ValueError, match="single array"):
        read_npz(tmp_path / "one.npy")
    with pytest.raises(ValueError, match="split is 'validation': did you mean 'val'"):
        read_npz(write(content), split="validation")
