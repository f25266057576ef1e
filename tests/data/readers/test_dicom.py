"""DICOM files of the kinds that scanners write: the right picture, or which element is wrong."""

from __future__ import annotations

import struct
import warnings

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from boed import data
from boed.data.readers.image import read_image
from boed.foundation.memory import LIMIT

RAMP = np.tile(np.linspace(0, 4095, 16).astype(np.uint16), (16, 1))
SHOWN = [17 * column for column in range(16)]
WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}


@pytest.fixture
def ramp(dicom):
    """A ramp of 12 bits in each row, with further elements."""

    def written(pixels=RAMP, stored=12, **elements):
        return dicom(pixels, BitsStored=stored, HighBit=stored - 1, **elements)

    return written


def table(descriptor, entries):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", "US" if entries else "OW", entries)
    return Sequence([item])


def rows(path):
    image = read_image(path)[0]
    assert (image == image[:1]).all()
    return image[0].tolist()


@pytest.mark.parametrize(
    "elements",
    [
        {},
        WINDOW,
        {"RescaleSlope": None, "RescaleIntercept": None, **WINDOW},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": None, "RescaleIntercept": 0, **WINDOW},
        {"RescaleSlope": 2, "WindowCenter": 4095.5, "WindowWidth": 8191},
        {"RescaleIntercept": -1000, "WindowCenter": 1048, "WindowWidth": 4096},
        {"RescaleSlope": "1e300", "RescaleIntercept": "0"},
        {"RescaleSlope": "-1e304", "PhotometricInterpretation": "MONOCHROME1"},
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": None, "WindowWidth": 1},
        {"WindowCenter": 5},
        {"VOILUTFunction": None, **WINDOW},
        {"VOILUTSequence": Sequence([]), **WINDOW},
        {"VOILUTSequence": Sequence([Dataset()]), **WINDOW},
        {"VOILUTSequence": table(None, None), **WINDOW},
        {"VOILUTSequence": table([4096, 0, 12], None), **WINDOW},
        {"VOILUTSequence": table([2, 0, 8], [0, 255]), "PixelPaddingValue": None},
        {"ModalityLUTSequence": Sequence([]), **WINDOW},
        {"ModalityLUTSequence": table(None, None), **WINDOW},
        {"PixelPaddingValue": None},
        {"PixelPaddingValue": 4000},
    ],
)  # fmt: skip
def test_what_scanners_leave_empty_counts_as_absent(ramp, elements):
    if "VOILUTSequence" in elements and "WindowCenter" not in elements:
        assert rows(ramp(**elements)) == [0] + [255] * 15  # a table that has data is used
    else:
        assert rows(ramp(**elements)) == SHOWN


def test_an_element_of_unknown_kind_that_nobody_needs_is_passed_over(ramp):
    path = ramp(ImageComments="x", **WINDOW)
    whole = path.read_bytes()
    comments = struct.pack("<HH", 0x20, 0x4000) + b"LT"
    assert whole.count(comments) == 1
    path.write_bytes(whole.replace(comments, comments[:4] + b"ZZ"))
    assert rows(path) == SHOWN


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_not_part_of_the_range(ramp, kind):
    padded = RAMP.copy()
    padded[:, :2] = 65535
    expected = np.rint((RAMP[0, 2:] - 546) / (4095 - 546) * 255)
    expected = [0, 0, *(expected if kind == "MONOCHROME2" else 255 - expected)]
    path = ramp(padded, 16, PixelPaddingValue=65535, PhotometricInterpretation=kind)
    assert rows(path) == expected
    path = ramp(
        padded, 16,
        PixelPaddingValue=65530, PixelPaddingRangeLimit=65535, PhotometricInterpretation=kind,
    )  # fmt: skip
    assert rows(path) == expected


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"RescaleSlope": "1e308", "RescaleIntercept": "0"}, r"RescaleSlope, .*\(1e308, 0\)"),
        ({"RescaleSlope": "1e308", "RescaleIntercept": "0", **WINDOW}, "RescaleSlope"),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "RescaleSlope.* shows nothing of its pixels"),
        ({"WindowCenter": 60000, "WindowWidth": 2}, "WindowCenter.*shows nothing of its pixels"),
        ({"WindowCenter": 5, "WindowWidth": 0}, r"WindowWidth \(5.0, 0.0\) cannot be used"),
        ({"WindowCenter": 5, "WindowWidth": -4, "VOILUTFunction": "SIGMOID"}, "WindowWidth"),
        ({"VOILUTFunction": "CUBIC", **WINDOW}, "VOI LUT Function value 'CUBIC'"),
        ({"VOILUTSequence": table([4, 0, 99], [1, 2, 3, 4])}, "VOILUTSequence cannot be used"),
        ({"VOILUTSequence": table([4096, 0, 12], [1, 2])}, "VOILUTSequence cannot be used"),
        ({"ModalityLUTSequence": table([9, 0, 7], [1, 2])}, "ModalityLUTSequence cannot be used"),
        ({"PhotometricInterpretation": None}, "pixels cannot be read"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "one grey or 8-bit colour"),
        ({"SamplesPerPixel": 7}, "pixels cannot be read"),
        ({"BitsAllocated": 13}, "pixels cannot be read"),
        ({"Rows": 0}, "pixels cannot be read"),
        ({"Rows": None}, "pixels cannot be read"),
        ({"Rows": 9000}, "pixels cannot be read"),
        ({"NumberOfFrames": 2_000_000_000}, "memory, the limit is"),
    ],
)  # fmt: skip
def test_an_element_that_cannot_be_used_is_named_with_the_file(ramp, elements, said):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = ramp(**elements)
        with pytest.raises(ValueError, match=rf"one\.dcm.*{said}"):
            read_image(path)


def test_a_picture_of_padding_alone_is_refused(ramp):
    with pytest.raises(ValueError, match=r"one\.dcm: all pixels are PixelPaddingValue"):
        read_image(ramp(np.full((16, 16), 7, np.uint16), PixelPaddingValue=7))


def test_a_picture_beyond_the_memory_limit_is_not_decoded(ramp, monkeypatch):
    path = ramp()
    monkeypatch.setenv(LIMIT, "1e-6")
    with pytest.raises(ValueError, match=r"one\.dcm: 16 x 16 x 1 x 1 numbers needs about"):
        read_image(path)


@pytest.mark.filterwarnings("ignore")
def test_a_file_cut_anywhere_is_refused_by_name(ramp):
    path = ramp(RescaleSlope=1, RescaleIntercept=0, ImageComments="x", **WINDOW)
    whole = path.read_bytes()
    for length in range(128, len(whole) - RAMP.nbytes + 2):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"one\.dcm"):
            read_image(path)


@pytest.mark.filterwarnings("ignore")
def test_in_a_folder_too(ramp, tmp_path):
    path = ramp(ImageComments="x", **WINDOW)
    (tmp_path / "test" / "a").mkdir(parents=True)
    whole = path.read_bytes()
    path.rename(tmp_path / "test" / "a" / "whole.dcm")
    assert data.load(tmp_path, split="test").images[0, 0, 0].tolist() == SHOWN
    (tmp_path / "test" / "a" / "cut.dcm").write_bytes(whole[:333])
    with pytest.raises(ValueError, match=r"cut\.dcm"):
        data.load(tmp_path, split="test")
