"""A folder of images: labels and splits from a CSV file or from subfolders."""

from __future__ import annotations

import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from boed import setup
from boed.benchmark import benchmark
from boed.classifiers.training import train_classifier
from boed.data.readers.folder import read_folder
from boed.policies import Random
from boed.sensors import PatchSensor
from boed.training import TrainingConfig


@pytest.fixture
def folder(tmp_path):
    """Make images whose every pixel is their number: `folder("a/1.png", ...)` gives the root."""

    def made(*names, start=0):
        root = tmp_path / "pictures"
        for number, name in enumerate(names, start):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((6, 8), number, np.uint8)).save(root / name)
        return root

    return made


def values(dataset):
    return dataset.images[:, 0, 0, 0].tolist()


def csv(root, text):
    (root / "labels.csv").write_text(text)
    return root


def test_split_and_class_folders(folder):
    root = folder("test/cat/0.png", "test/dog/1.png", "train/cat/2.png", "val/eel/3.png")
    dataset = read_folder(root)
    assert (dataset.name, dataset.label_names) == ("pictures", ("cat", "dog", "eel"))
    assert (values(dataset), dataset.labels.tolist()) == ([0, 1], [0, 1])
    assert dataset.images.shape == (2, 1, 6, 6)
    assert read_folder(root, split="val").labels.tolist() == [2]
    assert read_folder(root, split="train", size=3, channels=3).images.shape == (1, 3, 3, 3)
    assert read_folder(root, pad=True).images.shape == (2, 1, 8, 8)


def test_split_folders_without_classes(folder):
    dataset = read_folder(folder("test/0.png", "test/1.png", "train/2.png"))
    assert (dataset.label_names, dataset.labels.tolist()) == (("unknown",), [0, 0])


def test_without_splits_each_file_has_a_fixed_one(folder):
    root = folder(*(f"{label}/{number}.png" for label in "ab" for number in range(60)))
    parts = {split: read_folder(root, split=split) for split in ("train", "val", "test")}
    sizes = {split: len(part) for split, part in parts.items()}
    assert sum(sizes.values()) == 120
    assert sizes["train"] > 80
    assert min(sizes["val"], sizes["test"]) > 3
    assert sorted(value for part in parts.values() for value in values(part)) == [*range(120)]
    before = values(parts["test"])
    folder("a/later.png", start=200)
    assert [value for value in values(read_folder(root)) if value != 200] == before


def test_other_files_and_hidden_ones_are_not_images(folder):
    root = folder("test/a/0.png")
    (root / "test/a/notes.txt").write_text("nothing")
    (root / "test/a/._0.png").write_bytes(b"left by a file manager")
    assert len(read_folder(root)) == 1


def test_csv_classes(folder):
    root = folder("0.png", "x/1.png", "2.png", "3.png")
    csv(
        root,
        "file,label,split,patient\n0.png,ill,test,p\nx/1.png,healthy,test,p\n2.png,odd,train,q\n",
    )
    with pytest.warns(UserWarning, match="3.png"):
        dataset = read_folder(root)
    assert dataset.label_names == ("healthy", "ill", "odd")
    assert (values(dataset), dataset.labels.tolist()) == ([0, 1], [1, 0])
    assert dataset.patients is not None
    assert dataset.patients.tolist() == ["p", "p"]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (
            ["2.png"],
            r"1 of the pictures in .* left out, as .*labels\.csv does not name",
        ),
        (["x/2.png", "3.JPG", "notes.txt", ".4.png"], r"2 of the .*\(3\.JPG is the first\)$"),
    ],
)
def test_pictures_that_a_table_leaves_out_are_told_of_once(folder, others, said):
    root = csv(folder("0.png", "1.png"), "file,label,split\n0.png,a,test\n./1.png,b,test\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_folder(root)) == 2
    for each in others:
        (root / each).parent.mkdir(exist_ok=True)
        (root / each).write_bytes(b"")
    with pytest.warns(UserWarning, match=said) as told:
        assert len(read_folder(root)) == 2
    assert len(told) == 1


def test_csv_numbers_are_in_order(folder):
    root = csv(folder("0.png", "1.png"), "file,label,split\n0.png,10,test\n1.png,9,test\n")
    dataset = read_folder(root)
    assert (dataset.label_names, dataset.labels.tolist()) == (("9", "10"), [1, 0])
    assert dataset.patients is None


def test_csv_findings(folder, tmp_path):
    root = folder("0.png", "1.png")
    elsewhere = tmp_path / "findings.csv"
    elsewhere.write_text("file,split,mass,nodule\n0.png,test,0,0\n1.png,test,0,1\n")
    dataset = read_folder(root, labels=elsewhere)
    assert dataset.label_names == ("mass", "nodule", "any")
    assert dataset.labels.tolist() == [[0, 0, 0], [0, 1, 1]]


def test_csv_single_finding(folder):
    root = csv(folder("0.png", "1.png"), "file,split,mass\n0.png,test,1\n1.png,test,0\n")
    dataset = read_folder(root)
    assert (dataset.label_names, dataset.labels.tolist()) == (("no mass", "mass"), [1, 0])


def test_csv_without_split_keeps_patients_together(folder):
    names = [f"{number}.png" for number in range(100)]
    lines = [f"{name},a,p{number // 5}" for number, name in enumerate(names)]
    root = csv(folder(*names), "file,label,patient\n" + "\n".join(lines))
    seen = [set(read_folder(root, split=split).patients) for split in ("train", "val", "test")]
    assert len(set.union(*seen)) == 20 == sum(map(len, seen))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n9.png,a\n", r"labels\.csv, line 2: there is no file .*9\.png"),
        ("file,label\n0.png,a\n,b\n", "line 3: there is no file"),
        ("file,label\n0.png,\n", "line 2: the label is empty"),
        ("file,label\n0.png\n", "line 2: the label is empty"),
        ("file,mass\n0.png,2\n", "line 2: 'mass' is '2', expected 0 or 1"),
        ("file,mass,nodule\n0.png,1,\n", "line 2: 'nodule' is '', expected 0 or 1"),
        ("file,label,split\n0.png,a,dev\n", "line 2: split is 'dev', expected train, val, test"),
        ("name,label\n0.png,a\n", "column 'file' .*found columns name, label and 1 lines"),
        ("file,label\n", "found columns file, label and 0 lines"),
        ("", "found columns none"),
        ("file,split\n0.png,test\n", "a column 'label' or 0/1 columns, found neither"),
        (
            "file,label,split,patient\n0.png,a,test,p\n1.png,a,val,p\n",
            "patient 'p' is in test and in val",
        ),
        ("file,label\n0.png,a\n0.png,a\n", "line 3: 0.png stands on line 2 already, the same;"),
        ("file,label\n0.png,a\n./0.png,b\n", "line 3: .*already, label 'a' there and 'b' here"),
        ("file,label\n0.png,a\nx/../0.png,a\n", "line 3: 0.png stands on line 2 already"),
        ("file,label\n0.png,a\nlink.png,a\n", "line 3: link.png stands on line 2 already"),
        ("file,mass\n0.png,1\n0.png,0\n", "line 3: 0.png stands on line 2 already, label"),
        (
            "file,label,split\n0.png,a,test\n1.png,a,test\n0.png,a,train\n",
            "line 4: 0.png stands on line 2 already, in test there and in train here",
        ),
        ("file,label\n../0.png,a\n", "line 2: '../0.png' lies outside of .*pictures"),
        ("file,label\nx/../../0.png,a\n", "line 2: 'x/../../0.png' lies outside"),
        ("file,label\n/etc/hostname,a\n", "line 2: '/etc/hostname' lies outside"),
        (f"file,label\n{'n' * 300}.png,a\n", "line 2: 'n+.png' cannot be a file|there is no file"),
        ("file,label\n0.png,a, b\n", "line 2: more fields than the 2 columns; .*in quotes"),
        ("file,label,label\n0.png,a,b\n", "column 'label' is there 2 times"),
    ],
)
def test_refuses_a_wrong_csv(folder, text, message):
    root = csv(folder("0.png", "1.png"), text)
    (root / "link.png").symlink_to("0.png")
    with pytest.raises(ValueError, match=message) as refused:
        read_folder(root)
    assert "labels.csv" in str(refused.value)


def test_a_path_from_the_root_may_lie_within_the_folder(folder):
    root = folder("0.png", "1.png")
    csv(root, f"file,label,split\n{root / '0.png'},a,test\n1.png,b,test\n")
    assert values(read_folder(root)) == [0, 1]


def test_pictures_without_labels_are_no_question(folder, tmp_path):
    dataset = read_folder(folder("test/0.png", "test/1.png"))
    said = r"pictures \(test\): all images are of one class, 'unknown'.*labels\.csv .*subfolder"
    training, nobody = TrainingConfig(steps=1), SimpleNamespace(log_probs=lambda observation: None)
    for ask in (
        dataset.check_question,
        partial(setup, data=dataset),
        partial(benchmark, dataset, PatchSensor(6), nobody, policies={"random": Random()}),
        partial(train_classifier, dataset, dataset, training, out=tmp_path / "w.safetensors"),
    ):
        with pytest.raises(ValueError, match=said):
            ask()


def bright_middle(root, number, inverted):
    pixels = np.zeros((16, 16), np.uint8)
    pixels[4:12, 4:12] = 200 + number
    (root / "test" / "a").mkdir(parents=True, exist_ok=True)
    Image.fromarray(255 - pixels if inverted else pixels).save(root / f"test/a/{number}.png")


def test_an_inverted_picture_among_others_is_told_of(tmp_path):
    for number in range(9):
        bright_middle(tmp_path, number, inverted=number == 7)
    with pytest.warns(UserWarning, match=r"1 of 9 pictures look inverted.*7\.png is the first"):
        read_folder(tmp_path)


def test_pictures_that_are_not_alike_are_not_called_inverted(tmp_path, recwarn):
    for number in range(8):
        bright_middle(tmp_path, number, inverted=number % 2)
    read_folder(tmp_path)
    assert not recwarn.list


def test_warnings_of_many_pictures_are_one(folder):
    root = folder("test/a/0.png")
    for number in range(3):
        Image.fromarray(np.full((6, 8), 900, np.uint16)).save(root / f"test/a/{number}.png")
    with pytest.warns(UserWarning, match=r"16 bits.* \(and 2 warnings of others\)$") as said:
        read_folder(root)
    assert len(said) == 1


def test_refuses_bytes_that_are_no_csv(folder, tmp_path):
    root = folder("0.png")
    (root / "labels.csv").write_bytes(b"\xff\xfe\x00file")
    with pytest.raises(ValueError, match=r"labels\.csv cannot be read as CSV"):
        read_folder(root)
    with pytest.raises(ValueError, match=r"absent\.csv cannot be read"):
        read_folder(root, labels=tmp_path / "absent.csv")


def test_refuses_images_outside_the_class_folders(folder):
    with pytest.raises(ValueError, match=r"stray\.png is in no class folder"):
        read_folder(folder("cat/0.png", "stray.png"))


@pytest.mark.parametrize("shape", [(5, 5), (6, 9), (7, 8), (8, 6)])
@pytest.mark.parametrize("name", ["test/a/1.png", "test/a/1.jpg", "train/a/1.tif", "val/b/1.png"])
def test_refuses_sizes_that_differ_unless_one_is_asked_for(folder, name, shape):
    root = folder("test/a/0.png", "train/a/2.png", "val/b/3.png", "val/b/4.png")
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros(shape, np.uint8)).save(root / name)
    expected = rf"0\.png is 8 x 6 pixels, .*{name} is {shape[1]} x {shape[0]}; .* give `size`"
    for split in ("train", "val", "test"):
        with pytest.raises(ValueError, match=expected):
            read_folder(root, split=split)
        assert len(read_folder(root, size=4, split=split))


def test_a_turned_picture_is_of_the_size_that_it_is_seen_at(folder):
    root, exif = folder("test/a/0.png", "test/a/1.png"), Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(np.zeros((8, 6), np.uint8)).save(root / "test/a/2.jpg", exif=exif)
    assert len(read_folder(root)) == 3


def test_sizes_of_dicom_files_are_compared_too(dicom, tmp_path):
    root = tmp_path / "test" / "a"
    root.mkdir(parents=True)
    for name, height in (("1.dcm", 8), ("2.dcm", 6)):
        pixels = np.arange(height * 8, dtype=np.uint16).reshape(height, 8)
        dicom(pixels, name).rename(root / name)
    with pytest.raises(ValueError, match=r"1\.dcm is 8 x 8 pixels, .*2\.dcm is 8 x 6"):
        read_folder(tmp_path)


def test_refuses_a_damaged_image_by_name(folder):
    root = folder("test/a/0.png")
    (root / "test/a/1.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"1\.png is not a readable image"):
        read_folder(root)


def test_refuses_empty_folders_and_splits(folder, tmp_path):
    with pytest.raises(ValueError, match="none of its 1 images is in split 'val'"):
        read_folder(folder("test/0.png"), split="val")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty has no image"):
        read_folder(tmp_path / "empty")
    with pytest.raises(ValueError, match="absent is not a folder"):
        read_folder(tmp_path / "absent")


@pytest.mark.parametrize("number", [3, 4, 12])
def test_no_split_of_a_small_folder_is_empty(number, tmp_path):
    for row in range(number):
        kind = tmp_path / ("left", "right")[row % 2]
        kind.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), row, np.uint8)).save(kind / f"{row}.png")
    parts = [read_folder(tmp_path, split=split) for split in ("train", "val", "test")]
    assert all(len(part) for part in parts)
    assert sorted(int(image.max()) for part in parts for image in part.images) == [*range(number)]
