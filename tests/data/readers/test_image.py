"""One picture from a file: PNG, JPEG and DICOM, with what their headers ask for."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from boed.data.readers.image import read_image

RAMP = np.arange(0, 4096, 64, dtype=np.uint16).reshape(8, 8)


def shown(path, **options):
    return read_image(path, **options)[0].numpy().astype(int)


def save(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def test_grey_png_is_read_as_it_is(tmp_path):
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    image = read_image(save(tmp_path / "a.png", pixels))
    assert image.shape == (1, 8, 8)
    assert np.array_equal(image[0].numpy(), pixels)
    assert np.array_equal(
        read_image(tmp_path / "a.png", channels=3).numpy(), np.stack([pixels] * 3)
    )


def test_sixteen_bits_keep_their_range(tmp_path):
    pixels = np.array([[0, 257], [32768, 65535]], np.uint16)
    assert shown(save(tmp_path / "deep.png", pixels)).tolist() == [[0, 1], [128, 255]]


def test_colour_becomes_luma_or_stays(tmp_path):
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[..., 0] = 255
    path = save(tmp_path / "red.png", pixels)
    assert shown(path).tolist() == [[76] * 4] * 4
    assert np.array_equal(read_image(path, channels=3).numpy(), pixels.transpose(2, 0, 1))


def test_palettes_and_transparency_are_seen_through(tmp_path):
    grey = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) * 16)
    for mode in ("LA", "RGBA", "P"):
        grey.convert(mode).save(tmp_path / f"{mode}.png")
        assert np.abs(shown(tmp_path / f"{mode}.png") - np.asarray(grey).astype(int)).max() <= 1


SHADES = np.linspace(0, 1, 64).reshape(8, 8)


@pytest.mark.parametrize("name", ["a.tif", "a.tiff"])
def test_floats_are_black_to_white(tmp_path, name):
    path = save(tmp_path / name, SHADES.astype(np.float32))
    assert np.abs(shown(path) - 255 * SHADES).max() <= 0.51


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        ((255 * SHADES).astype(np.float32), "floats from 0 to 255, expected 0 for black to 1"),
        ((SHADES - 0.5).astype(np.float32), "floats from -0.5 to 0.5"),
        (np.full((8, 8), np.nan, np.float32), "floats from nan to nan"),
        ((1e6 * SHADES).astype(np.int32), "whole numbers from 0 to 1000000, expected 16 bits"),
        (np.full((8, 8), -1, np.int32), "whole numbers from -1 to -1"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path, pixels, said):
    with pytest.raises(ValueError, match=rf"a\.tif holds {said}"):
        read_image(save(tmp_path / "a.tif", pixels))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize(("highest", "warns"), [(255, True), (4095, True), (4096, False)])
def test_twelve_bits_in_sixteen_are_told_of(tmp_path, name, highest, warns):
    path = save(tmp_path / name, (highest * SHADES).astype(np.uint16))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        assert shown(path).max() == round(highest / 257)
    assert [f"{name} has 16 bits" in str(each.message) for each in said] == [True] * warns


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.tif", "a.webp"])
def test_several_pictures_in_a_file_are_refused(tmp_path, name):
    pages = [Image.fromarray((255 * each).astype(np.uint8)) for each in (SHADES, SHADES.T)]
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match=rf"{name} holds 2 pictures, as frames or pages"):
        read_image(tmp_path / name)


def with_alpha(name, mode, alpha):
    """A picture of `SHADES` in a mode with an alpha channel, and what of it is seen."""
    grey = Image.fromarray((255 * SHADES).astype(np.uint8))
    picture = grey.convert("RGB" if mode == "RGBA" else "L")
    picture.putalpha(Image.fromarray(alpha))
    picture.save(name, **({"lossless": True} if name.suffix == ".webp" else {}))
    return np.asarray(grey)


ALPHA = [(name, mode) for name in ("a.png", "a.tif", "a.webp") for mode in ("LA", "RGBA")]


@pytest.mark.parametrize(("name", "mode"), ALPHA)
def test_an_alpha_channel_without_transparency_changes_nothing(tmp_path, name, mode):
    grey = with_alpha(tmp_path / name, mode, np.full((8, 8), 255, np.uint8))
    assert np.array_equal(shown(tmp_path / name), grey)
    assert np.array_equal(read_image(tmp_path / name, channels=3).numpy(), np.stack([grey] * 3))


@pytest.mark.parametrize("alpha", [0, 1, 254])
@pytest.mark.parametrize(("name", "mode"), ALPHA)
def test_transparent_pixels_are_refused_with_what_to_do(tmp_path, name, mode, alpha):
    few = np.full((8, 8), 255, np.uint8)
    few[0] = alpha
    with_alpha(tmp_path / name, mode, few)
    said = rf"{name} has transparent pixels, 12\.5% of them, .* magick {name} -background black"
    with pytest.raises(ValueError, match=said):
        read_image(tmp_path / name)


def test_a_transparent_colour_is_refused_where_it_is_used(tmp_path):
    grey = Image.fromarray((250 * SHADES).astype(np.uint8))
    grey.save(tmp_path / "a.png", transparency=0)
    with pytest.raises(ValueError, match=r"a\.png has transparent pixels"):
        read_image(tmp_path / "a.png")
    grey.save(tmp_path / "a.png", transparency=255)
    assert np.array_equal(shown(tmp_path / "a.png"), np.asarray(grey))


def test_a_size_beyond_the_memory_limit_is_refused(tmp_path):
    path = save(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"size 100000: .* needs about 37 GiB of memory"):
        read_image(path, 100_000)


def test_jpeg_and_its_orientation(tmp_path):
    pixels = np.zeros((16, 16), np.uint8)
    pixels[:8] = 250
    exif = Image.Exif()
    exif[0x0112] = 6  # stored a quarter turn to the left of how it is seen
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    turned = shown(tmp_path / "turned.jpg")
    assert turned[:, 10:].min() > 230
    assert turned[:, :6].max() < 20


def test_cuts_or_pads_then_resizes(tmp_path):
    pixels = np.zeros((8, 16), np.uint8)
    pixels[:, 4:12] = 100
    path = save(tmp_path / "wide.png", pixels)
    assert shown(path, size=2).tolist() == [[100, 100], [100, 100]]
    padded = shown(path, size=4, pad=True)
    assert padded.tolist() == [[0] * 4, [0, 100, 100, 0], [0, 100, 100, 0], [0] * 4]


def test_dicom_without_a_window_spans_its_values(dicom):
    expected = np.rint(RAMP / RAMP.max() * 255)
    assert np.array_equal(shown(dicom(RAMP)), expected)
    assert (shown(dicom(np.full((8, 8), 7, np.uint16))) == 0).all()


def test_monochrome1_is_inverted(dicom):
    plain = shown(dicom(RAMP))
    inverted = shown(dicom(RAMP, "two.dcm", PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(inverted, 255 - plain)


def test_window_acts_on_rescaled_values(dicom):
    stored = np.array([[0, 100], [200, 300]], np.int16)
    window = {"WindowCenter": 100.5, "WindowWidth": 201}  # DICOM's LINEAR: exactly 0..200
    path = dicom(stored, RescaleSlope=2, RescaleIntercept=-200, **window)  # -200, 0, 200, 400
    assert shown(path).tolist() == [[0, 0], [255, 255]]
    path = dicom(stored, RescaleSlope=0.5, RescaleIntercept=0, **window)  # 0, 50, 100, 150
    assert shown(path).tolist() == [[0, 64], [128, 191]]


def test_the_first_of_several_windows_is_used(dicom):
    path = dicom(RAMP, WindowCenter=[2048.5, 1], WindowWidth=[4097, 2])
    assert np.abs(shown(path) - RAMP / 4096 * 255).max() <= 1


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_agree_with_pydicom(dicom, function):
    import pydicom
    from pydicom.pixels import apply_windowing

    path = dicom(RAMP, WindowCenter=1500, WindowWidth=900, VOILUTFunction=function)
    reference = apply_windowing(RAMP.astype(float), pydicom.dcmread(path)) / 65535 * 255
    assert np.abs(shown(path) - reference).max() <= 0.51
    assert 0 < np.unique(shown(path)).size < 64 or function == "SIGMOID"


def test_voi_lut_comes_before_a_window(dicom):
    from pydicom.dataset import Dataset

    table = Dataset()
    table.LUTDescriptor = [4, 10, 8]
    table.LUTData = np.array([0, 50, 200, 255], np.uint16).tobytes()
    table["LUTData"].VR = "OW"
    stored = np.array([[9, 11], [12, 500]], np.uint16)
    path = dicom(stored, VOILUTSequence=[table], WindowCenter=1, WindowWidth=2)
    assert shown(path).tolist() == [[0, 50], [200, 255]]


def test_dicom_is_recognised_by_content(dicom, tmp_path):
    path = dicom(RAMP)
    assert np.array_equal(shown(path.rename(tmp_path / "IM0001")), np.rint(RAMP / RAMP.max() * 255))


def test_colour_dicom(dicom):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    path = dicom(
        RAMP,
        PhotometricInterpretation="RGB",
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=pixels.tobytes(),
    )
    assert np.array_equal(read_image(path, channels=3).numpy(), pixels.transpose(2, 0, 1))
    assert read_image(path).shape == (1, 8, 8)


def test_refuses_a_dicom_without_pixels(dicom):
    with pytest.raises(ValueError, match=r"one\.dcm is a DICOM file without pixels"):
        read_image(dicom(None))


def test_refuses_a_dicom_that_ends_early(dicom):
    path = dicom(RAMP)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"one\.dcm"):
        read_image(path)


def test_refuses_frames_and_empty_windows(dicom):
    with pytest.raises(ValueError, match=r"one\.dcm is a DICOM file of .*expected one grey"):
        read_image(dicom(np.stack([RAMP] * 3), NumberOfFrames=3))
    with pytest.raises(ValueError, match=r"one\.dcm: .*WindowWidth \(5.0, 0.0\) cannot be used"):
        read_image(dicom(RAMP, WindowCenter=5, WindowWidth=0))


@pytest.mark.parametrize("name", ["bad.png", "bad.jpg", "bad.dcm", "bad"])
def test_refuses_what_is_no_image(tmp_path, name):
    (tmp_path / name).write_bytes(b"no picture at all")
    with pytest.raises(ValueError, match=f"{name} is not a readable"):
        read_image(tmp_path / name)


def test_refuses_a_truncated_png_and_a_missing_file(tmp_path):
    path = save(
        tmp_path / "half.png", np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    )
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"half\.png is not a readable image"):
        read_image(path)
    with pytest.raises(ValueError, match=r"absent\.png does not exist"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(ValueError, match="channels must be 1 or 3, got 4"):
        read_image(path, channels=4)
