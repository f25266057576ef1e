"""Warnings on the command line: one line each, in the program's own words."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from boed.classifiers.training import train_classifier
from boed.cli import app
from boed.cli.console import explained
from boed.data import load
from boed.training import ClassifierTrainingConfig

BOED: Any = typer.main.get_command(app)


def said(words: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as end:
        BOED.main(words.split(), prog_name="boed")
    told = capsys.readouterr().err
    assert end.value.code == 0, told
    return told.splitlines()


@pytest.mark.parametrize("category", [UserWarning, RuntimeWarning, FutureWarning])
def test_a_warning_is_one_line(category: type[Warning], capsys: pytest.CaptureFixture[str]) -> None:
    with explained({"size": "--size"}):
        warnings.warn("size is odd:\n  give `size`", category, stacklevel=1)
    assert capsys.readouterr().err == "boed: --size is odd: give --size\n"


def inverted(folder: Path) -> str:
    digits = load("digits", 32)
    (folder / "test").mkdir()
    for row in range(12):
        picture = 255 - digits.images[row, 0] if row == 3 else digits.images[0, 0]
        Image.fromarray(picture.numpy()).save(folder / "test" / f"{row}.png")
    return "sheet --data . --completer aipo-digits-32 --library digits --patch 0.4"


def twelve_bits(folder: Path) -> str:
    Image.fromarray(np.full((32, 32), 900, np.uint16)).save(folder / "one.png")
    return "scan one.png --data digits --policy random --grid 2 --steps 1"


def odd_dicom(folder: Path) -> str:
    """One with a UID that is none, of which pydicom warns twice."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    header.PhotometricInterpretation, header.SamplesPerPixel = "MONOCHROME2", 1
    header.Rows = header.Columns = 32
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelRepresentation = 15, 0
    header.RescaleSlope, header.RescaleIntercept = "1", "0"
    header.PixelData = np.arange(1024, dtype=np.uint16).tobytes() + b"\0\0"
    header.save_as(folder / "one.dcm", enforce_file_format=True)
    return "scan one.dcm --data digits --policy random --grid 2 --steps 1"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (inverted, "1 of 12 pictures look inverted"),
        (twelve_bits, "one.png has 16 bits of grey"),
        (odd_dicom, "one.dcm is not quite as DICOM asks: "),
    ],
)
def test_a_command_warns_in_lines_of_its_own(
    make: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    lines = said(make(tmp_path), capsys)
    assert any(words in line for line in lines), lines
    assert all(line.startswith("boed: ") for line in lines), lines
    assert not any(re.search(r"\.py:\d+|UserWarning", line) for line in lines), lines


@pytest.mark.parametrize(
    ("present", "words"),
    [
        ([0, 1], None),
        ([0], "none or all of its 4 scenes are no, yes, so AUROC on it has no value"),
    ],
)
def test_a_val_split_without_an_answer_is_told_of(
    present: list[int], words: str | None, tmp_path: Path
) -> None:
    import torch

    from boed.data import Dataset

    def scenes(labels: list[int], split: str) -> Dataset:
        images = torch.arange(len(labels) * 256).reshape(-1, 1, 16, 16).to(torch.uint8)
        return Dataset(name="made", split=split, images=images, labels=torch.tensor(labels),
                       label_names=("no", "yes"))  # fmt: skip

    class Stopped(Exception):
        pass

    def stop(*_: Any) -> None:
        raise Stopped

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(Stopped):
            train_classifier(
                scenes([0, 1, 0, 1], "train"),
                scenes((present * 4)[:4], "val"),
                ClassifierTrainingConfig(steps=1, batch=2),
                out=tmp_path / "made.safetensors",
                on_step=stop,
            )
    told = [str(each.message) for each in warned if "AUROC" in str(each.message)]
    assert len(told) == (words is not None)
    assert all(str(words) in each for each in told), told
