"""CelebA's layout: official splits, the crop, attributes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from boed.data import load
from boed.data.readers.celeba import read_celeba

FILES = ["000001.png", "000002.png", "000003.png", "000004.png"]


@pytest.fixture
def folder(tmp_path):
    """Four pictures whose middle 89 pixels are white, on black."""
    root = tmp_path / "celeba"
    (root / "img_align_celeba").mkdir(parents=True)
    for index, name in enumerate(FILES):
        pixels = np.zeros((218, 178, 3), np.uint8)
        pixels[64:153, 44:133] = (255, 250 - index, 240)
        Image.fromarray(pixels).save(root / "img_align_celeba" / name)
    splits = [0, 0, 1, 2]
    lines = [f"{name} {split}" for name, split in zip(FILES, splits, strict=True)]
    (root / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    table = ["4", "Smiling Young"] + [f"{name}  1 -1" for name in FILES]
    (root / "list_attr_celeba.txt").write_text("\n".join(table) + "\n")
    return root


def test_faces_are_cut_out_and_resized(folder):
    train = read_celeba(folder, 32, "train")
    assert train.images.shape == (2, 3, 32, 32)
    assert train.images[1, :, 0, 0].tolist() == [255, 249, 240]  # all of it is face
    assert train.label_names == ("Smiling", "Young")
    assert train.labels.tolist() == [[1, 0], [1, 0]]
    assert len(load(folder, 64, "val")) == len(load("celeba", root=folder.parent)) == 1
    wide = read_celeba(folder, 178, "test", crop=178)
    assert wide.images[0, :, 0, 0].tolist() == [0, 0, 0]


def test_without_attributes(folder):
    (folder / "list_attr_celeba.txt").unlink()
    assert torch.equal(read_celeba(folder).labels, torch.zeros(1, dtype=torch.long))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("list_eval_partition.txt", "000001.png 7\n", "line 1: '000001.png 7', expected FILE 0"),
        ("list_eval_partition.txt", "../x.png 2\n", "expected FILE 0, 1 or 2"),
        ("list_eval_partition.txt", "000001.png 0\n", "has no picture of test"),
        ("list_eval_partition.txt", "000009.png 2\n", r"000009\.png does not exist"),
        ("list_attr_celeba.txt", "4\nSmiling Young\n000004.png 1\n", "line 3: expected FILE and 2"),
        ("list_attr_celeba.txt", "4\nSmiling\n000001.png 1\n", r"has no line for 000004\.png"),
        ("list_attr_celeba.txt", "4", "has 1 lines, expected a number"),
    ],
)
def test_wrong_lists(folder, file, text, message):
    (folder / file).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_celeba(folder)


def test_wrong_pictures_and_crops(folder, tmp_path):
    with pytest.raises(ValueError, match=r"crop is 200, expected 1\.\.178 pixels"):
        read_celeba(folder, crop=200)
    with pytest.raises(ValueError, match="expected a folder img_align_celeba"):
        read_celeba(tmp_path)
    Image.new("RGB", (64, 64)).save(folder / "img_align_celeba" / FILES[3])
    with pytest.raises(ValueError, match="is 64 pixels wide, expected 178"):
        read_celeba(folder)
