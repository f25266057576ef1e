"""Small files in the forms that the readers read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def real_data() -> Path:
    """The folder with the real sets."""
    folder = os.environ.get("BOED_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the real data sets: set BOED_DATA to their folder")
    return Path(folder)


@pytest.fixture
def content() -> dict[str, Any]:
    """What a sound single-label npz of the MedMNIST convention holds: 6/3/4 images of 8 pixels."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {"label_names": np.array(["healthy", "ill", "very ill"])}
    for split, number in (("train", 6), ("val", 3), ("test", 4)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (number, 8, 8), np.uint8)
        arrays[f"{split}_labels"] = (np.arange(number, dtype=np.uint8) % 3)[:, None]
        arrays[f"{split}_patients"] = np.array([f"{split}{row // 2}" for row in range(number)])
    return arrays


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write arrays as `tmp_path/small.npz`."""

    def written(arrays: dict[str, Any], name: str = "small") -> Path:
        path = tmp_path / f"{name}.npz"
        np.savez_compressed(path, **arrays)
        return path

    return written


@pytest.fixture
def dicom(tmp_path: Path) -> Callable[..., Path]:
    """Write a DICOM file of `pixels` (uint16 or int16) with further elements by keyword."""

    def written(pixels: np.ndarray | None, name: str = "one.dcm", **elements: Any) -> Path:
        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

        header = Dataset()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        header.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        header.SOPClassUID = SecondaryCaptureImageStorage
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID
        header.Modality = "DX"
        if pixels is not None:
            header.SamplesPerPixel = 1
            header.PhotometricInterpretation = "MONOCHROME2"
            header.Rows, header.Columns = pixels.shape[-2:]
            header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
            header.PixelRepresentation = int(pixels.dtype == np.int16)
            header.PixelData = pixels.tobytes()
        for keyword, value in elements.items():
            setattr(header, keyword, value)
        path = tmp_path / name
        header.save_as(path, enforce_file_format=True)
        return path

    return written
