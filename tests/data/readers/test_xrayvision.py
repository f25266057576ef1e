"""The guarded import, and torchxrayvision's data sets as ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boed import data
from boed.data.labels import split_of
from boed.data.readers.xrayvision import from_torchxrayvision
from boed.foundation.torchvision_compat import torchvision, torchxrayvision

FITS_BADLY = """
import torch
torch.library.register_fake("torchvision::nms")(lambda *given: None)
"""


def run(code, folder):
    environment = {
        "PYTHONPATH": f"{folder}:{Path(data.__file__).parents[1]}",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_models_can_be_built_through_the_door():
    assert sum(p.numel() for p in torchvision().models.densenet121().parameters()) == 7_978_856
    assert torchxrayvision().datasets.default_pathologies[0] == "Atelectasis"


@pytest.mark.slow
def test_missing_operators_are_defined_and_stay(tmp_path):
    (tmp_path / "torchvision.py").write_text(FITS_BADLY)
    assert "operator torchvision::nms does not exist" in run("import torchvision", tmp_path).stderr
    code = (
        "import gc, torch; from boed.foundation.torchvision_compat import torchvision; "
        "torchvision(); gc.collect();"
        "print(torch.ops.torchvision.nms.default._schema, torch.ops.torchvision.qnms)"
    )
    result = run(code, tmp_path)
    assert "torchvision::nms(Tensor dets, Tensor scores, float iou" in result.stdout, result.stderr


def test_other_errors_of_the_import_are_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('out of order')")
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RuntimeError, match="out of order"):
        torchvision()


@pytest.fixture
def nih(tmp_path):
    """torchxrayvision's own NIH class on 40 small images of 20 patients."""
    lines = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"]
    lines[0] += "View Position,OriginalImageWidth,OriginalImageHeight,x,y"
    rng = np.random.default_rng(0)
    for row in range(40):
        file = f"{row // 2:08}_{row % 2:03}.png"
        finding = ("No Finding", "Mass", "Mass|Nodule")[row % 3]
        lines.append(f"{file},{finding},0,{row // 2},50,M,PA,16,20,0.1,0.1")
        Image.fromarray(rng.integers(0, 256, (20, 16), np.uint8)).save(tmp_path / file)
    (tmp_path / "entries.csv").write_text("\n".join(lines))
    return torchxrayvision().datasets.NIH_Dataset(
        imgpath=str(tmp_path), csvpath=str(tmp_path / "entries.csv"), unique_patients=False
    )


def test_a_real_class_of_torchxrayvision(nih, tmp_path):
    dataset = from_torchxrayvision(nih, 16, split="train")
    assert (dataset.name, dataset.split, dataset.size) == ("NIH_Dataset", "train", 16)
    assert dataset.label_names == (*nih.pathologies, "any")
    rows = [row for row in range(40) if split_of(str(row // 2)) == "train"]
    assert dataset.patients is not None
    assert dataset.patients.tolist() == [str(row // 2) for row in rows]
    assert dataset.labels.sum(1).tolist() == [(0, 2, 3)[row % 3] for row in rows]
    for image, row in zip(dataset.images, rows, strict=True):
        original = np.asarray(Image.open(tmp_path / f"{row // 2:08}_{row % 2:03}.png"))
        assert np.array_equal(image[0].numpy(), original[2:18])


def test_splits_share_no_patient_and_lose_no_image(nih):
    parts = [from_torchxrayvision(nih, 8, split=split) for split in ("train", "val", "test")]
    assert sum(map(len, parts)) == 40
    patients = [set(part.patients) for part in parts]
    assert len(set.union(*patients)) == sum(map(len, patients)) == 20


class Stub:
    """The interface of a torchxrayvision set, with labels and pixels as given."""

    def __init__(self, labels, pixel=0.0, **more):
        self.labels = np.asarray(labels, float)
        self.pathologies = ["Edema", "Mass", "Nodule"][: self.labels.shape[1]]
        self.image = np.full((1, 4, 4), pixel, np.float32)
        self.__dict__.update(more)

    def __getitem__(self, row):
        return {"img": self.image, "lab": self.labels[row]}


UNKNOWN = np.nan
PARTLY_KNOWN = np.tile([[0, 1, UNKNOWN], [UNKNOWN, 0, UNKNOWN], [1, 0, UNKNOWN]], (40, 1))


def test_unknown_is_never_absent():
    rows = [row for row in range(120) if split_of(str(row)) == "test"]
    known = [row for row in rows if row % 3 != 1]
    with pytest.warns(UserWarning, match=f"dropped {len(rows) - len(known)} of {len(rows)} test"):
        dataset = from_torchxrayvision(Stub(PARTLY_KNOWN), 4)
    assert dataset.label_names == ("Edema", "Mass", "any")
    assert dataset.labels.tolist() == [[[0, 1, 1], [], [1, 0, 1]][row % 3] for row in known]


@pytest.mark.filterwarnings("error")
def test_fewer_pathologies_keep_more_images():
    dataset = from_torchxrayvision(Stub(PARTLY_KNOWN), 4, pathologies=["Mass"], name="mine")
    rows = [row for row in range(120) if split_of(str(row)) == "test"]
    assert (dataset.name, dataset.label_names) == ("mine", ("no Mass", "Mass"))
    assert dataset.labels.tolist() == [int(row % 3 == 0) for row in rows]
    assert dataset.patients is None


@pytest.mark.parametrize(("pixel", "grey"), [(-1024, 0), (0, 128), (1024, 255), (512, 191)])
def test_pixel_range(pixel, grey):
    dataset = from_torchxrayvision(Stub(np.zeros((50, 1)), pixel), 2)
    assert dataset.images.unique().tolist() == [grey]


@pytest.mark.parametrize(
    ("labels", "more", "options", "message"),
    [
        (np.zeros((50, 1)), {"pixel": 2000.0}, {}, r"spans \[2000, 2000\], expected .*-1024"),
        (np.zeros((50, 1)), {"pixel": UNKNOWN}, {}, "spans .nan, nan., expected"),
        (np.zeros((50, 1)), {"image": np.zeros((4, 4))}, {}, r"is \(4, 4\), expected \[1, H, W\]"),
        (np.full((50, 1), 2), {}, {}, "expected 0, 1, NaN"),
        (np.full((50, 2), UNKNOWN), {}, {}, "no image has a label for Edema, Mass"),
        (np.zeros((50, 2)), {}, {"pathologies": ["Hernia"]}, "no pathology 'Hernia'; it knows Ede"),
        (np.zeros((50, 2)), {}, {"split": "dev"}, "split is 'dev'"),
    ],
)
def test_refuses(labels, more, options, message):
    with pytest.raises(ValueError, match=message):
        from_torchxrayvision(Stub(labels, **more), 4, **options)


@pytest.mark.filterwarnings("ignore:Stub. dropped")
def test_refuses_when_no_image_is_fully_labelled():
    labels = np.tile([[0, UNKNOWN], [UNKNOWN, 1]], (30, 1))
    with pytest.raises(ValueError, match="no test image has all of Edema, Mass labelled; name few"):
        from_torchxrayvision(Stub(labels), 4)
