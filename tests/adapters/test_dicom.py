"""A session's looks and belief as DICOM, read back."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch

pytest.importorskip("highdicom", reason="needs the extra dicom: pip install 'boed[dicom]'")

import highdicom as hd
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from typer.testing import CliRunner

from boed.adapters.dicom import RESEARCH, write_dicom
from boed.cli import app
from boed.cli.live import _as_dicom
from boed.live import Sessions
from boed.policies import CentreOut, Random
from boed.sensors import Foveated, KSpaceLines, PatchSensor, Sensor
from boed.sensors.reading import read
from boed.session import Session
from tests.doubles import ClueClassifier, Clues, Constant, FindingsClassifier, RowSensor
from tests.live.sessions import small

SENSOR = PatchSensor(16, 0.25, 4)
SCENE = Clues().dataset(1, seed=3).scenes()
NAMES = ("dark", "middle", "hell, größer")


def session_of(classifier: Any = None) -> Session:
    """Look 0 was taken, 1 failed, 2 was vetoed, 3 is pending."""
    session = Session(SENSOR, CentreOut(), classifier or ClueClassifier())
    first, second, third, _ = session.suggest(4)
    session.ingest(first, read(SENSOR, SCENE, torch.tensor(first.design)))
    session.ingest(second, None)
    session.veto(third)
    return session


def image(path: Path, rows: int = 64, columns: int = 64, **elements: Any) -> Path:
    """One grey frame of a patient."""
    written = pydicom.Dataset()
    written.file_meta = pydicom.dataset.FileMetaDataset()
    written.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    written.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    written.SOPClassUID, written.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    written.file_meta.MediaStorageSOPInstanceUID = written.SOPInstanceUID
    written.StudyInstanceUID, written.SeriesInstanceUID = generate_uid(), generate_uid()
    for name in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
                 "ReferringPhysicianName", "StudyID"):  # fmt: skip
        setattr(written, name, "")
    written.PatientName, written.PatientID, written.Modality = "Roe^Jane", "77", "OT"
    written.Rows, written.Columns, written.SamplesPerPixel = rows, columns, 1
    written.BitsAllocated = written.BitsStored = 8
    written.HighBit, written.PixelRepresentation = 7, 0
    written.PhotometricInterpretation = "MONOCHROME2"
    written.PixelData = bytes(rows * columns)
    for name, value in elements.items():
        if value is None:
            delattr(written, name)
        else:
            setattr(written, name, value)
    written.save_as(path, enforce_file_format=True)
    return path


def measured(group: Any) -> dict[str, float]:
    return {each.name.meaning: float(each.value) for each in group.get_measurements()}


def outlines(path: Path) -> list[list[float]]:
    (annotation,) = pydicom.dcmread(path).GraphicAnnotationSequence
    return [list(each.GraphicData) for each in annotation.get("GraphicObjectSequence", [])]


def test_the_report_says_what_the_session_does(tmp_path: Path) -> None:
    session = session_of()
    files = write_dicom(session, tmp_path, answers=NAMES)
    report = hd.sr.srread(files.report)
    assert (report.CompletionFlag, report.VerificationFlag) == ("PARTIAL", "UNVERIFIED")
    (belief,) = report.content.get_image_measurement_groups()
    expected = [f"probability of {name}" for name in NAMES]
    assert measured(belief) == pytest.approx(
        dict(zip(expected, session.belief().tolist(), strict=True)), abs=1e-6
    )
    groups = report.content.get_planar_roi_measurement_groups()
    looks = [session.looks[number] for number in (0, 1, 3)]
    status = [each.get_qualitative_evaluations()[0].value.meaning for each in groups]
    assert status == ["taken", "failed", "pending"]
    for group, look in zip(groups, looks, strict=True):
        row, column = look.design
        assert f"look {look.id} at {row:g}, {column:g}" in group.tracking_identifier
        assert measured(group)["cost"] == pytest.approx(look.cost)
        corners = group.roi.value
        assert corners.min(0).tolist() == [column, row]
        assert corners.max(0).tolist() == [column + 4, row + 4]


def test_what_was_seen_is_an_image_with_the_looks_drawn(tmp_path: Path) -> None:
    session = session_of()
    files = write_dicom(session, tmp_path / "new", answers=NAMES)
    assert files.seen is not None
    seen, looks = pydicom.dcmread(files.seen), pydicom.dcmread(files.looks)
    expected = (session.observation.values[0, 0] * 255).round().byte().numpy()
    assert np.array_equal(seen.pixel_array, expected)
    row, column = session.looks[0].design
    corners = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)]
    drawn = [value for right, down in corners for value in (column + right, row + down)]
    assert outlines(files.looks)[0] == drawn
    (annotation,) = looks.GraphicAnnotationSequence
    texts = [each.UnformattedTextValue for each in annotation.TextObjectSequence]
    assert texts[:3] == ["0", "1 (failed)", "3 (pending)"]
    assert texts[3].startswith(RESEARCH)
    assert NAMES[2] in texts[3]
    (series,) = looks.ReferencedSeriesSequence
    assert series.ReferencedImageSequence[0].ReferencedSOPInstanceUID == seen.SOPInstanceUID
    for path in (files.report, files.looks, files.seen):
        content = pydicom.dcmread(path)
        assert content.SeriesDescription == RESEARCH
        assert content.ContentQualification == "RESEARCH"
        assert content.StudyInstanceUID == seen.StudyInstanceUID
    again = write_dicom(session, tmp_path / "new", answers=NAMES)
    assert sorted(each.name for each in (tmp_path / "new").iterdir()) == [
        "looks.dcm", "report.dcm", "seen.dcm",
    ]  # fmt: skip
    assert again == files


def test_beside_the_image_that_was_read(tmp_path: Path) -> None:
    """Patient and study are the image's, and regions are in its pixels."""
    session, source = session_of(), image(tmp_path / "image.dcm", 64, 64)
    files = write_dicom(session, tmp_path / "out", image=source)
    assert files.seen is None
    theirs = pydicom.dcmread(source)
    for path in (files.report, files.looks):
        ours = pydicom.dcmread(path)
        assert (ours.PatientID, ours.PatientName) == ("77", "Roe^Jane")
        assert ours.StudyInstanceUID == theirs.StudyInstanceUID
        assert ours.SeriesInstanceUID != theirs.SeriesInstanceUID
    row, column = session.looks[0].design
    assert outlines(files.looks)[0][:4] == [4 * column, 4 * row, 4 * column + 16, 4 * row]


def table(**elements: Any) -> pydicom.Dataset:
    """A look-up table that inverts."""
    made = pydicom.Dataset()
    made.add_new("LUTDescriptor", "US", [256, 0, 8])
    made.add_new("LUTData", "US", list(range(255, -1, -1)))
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def greys(header: pydicom.Dataset, *, inverted: bool) -> np.ndarray:
    """What a viewer shows of a ramp: modality, then values of interest, then presentation."""
    ramp = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    values = apply_voi_lut(apply_modality_lut(ramp, header), header).astype(float)
    return -values if inverted else values


SHOWN: dict[str, dict[str, Any]] = {
    "as it is": {},
    "inverted": {"PhotometricInterpretation": "MONOCHROME1"},
    "a window": {"WindowCenter": 100, "WindowWidth": 50},
    "an inverted window": {"WindowCenter": 100, "WindowWidth": 50,
                           "PhotometricInterpretation": "MONOCHROME1"},
    "windows": {"WindowCenter": [100, 60], "WindowWidth": [50, 9],
                "WindowCenterWidthExplanation": ["lung", "bone"]},
    "a sigmoid": {"WindowCenter": 100, "WindowWidth": 50, "VOILUTFunction": "SIGMOID"},
    "an empty window": {"WindowCenter": "", "WindowWidth": ""},
    "half a window": {"WindowCenter": 100},
    "a table": {"VOILUTSequence": [table()]},
    "a table and a window": {"VOILUTSequence": [table()], "WindowCenter": 9, "WindowWidth": 9},
    "no table": {"VOILUTSequence": []},
    "rescaled": {"RescaleSlope": 2, "RescaleIntercept": -100, "RescaleType": "US",
                 "WindowCenter": 100, "WindowWidth": 50},
    "rescaled to who knows what": {"RescaleSlope": 2, "RescaleIntercept": -100},
    "an empty scale": {"RescaleSlope": "", "RescaleIntercept": "", "RescaleType": ""},
    "a table of the modality": {"ModalityLUTSequence": [table(ModalityLUTType="OD")]},
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_an_image_is_shown_as_without_the_looks(name: str, tmp_path: Path) -> None:
    """A presentation state stands in for all that the image says of its greys."""
    theirs = pydicom.dcmread(image(tmp_path / "image.dcm", **SHOWN[name]))
    state = pydicom.dcmread(write_dicom(session_of(), tmp_path, image=tmp_path / "image.dcm").looks)
    for keyword in SHOWN[name]:  # an element that is empty is none
        if theirs[keyword].is_empty or name == "half a window":
            del theirs[keyword]
    header = pydicom.Dataset()
    header.update({each.tag: each for each in state})
    for item in state.get("SoftcopyVOILUTSequence", []):
        header.update({each.tag: each for each in item})
    header.BitsStored, header.PixelRepresentation = 8, 0
    header.PhotometricInterpretation = "MONOCHROME2"
    ours = greys(header, inverted=state.PresentationLUTShape == "INVERSE")
    inverted = theirs.PhotometricInterpretation == "MONOCHROME1"
    assert np.array_equal(ours, greys(theirs, inverted=inverted))
    assert ("RescaleType" in state) == ("RescaleSlope" in state)


@pytest.mark.parametrize(
    ("given", "keyword", "expected"),
    [
        ({}, "PresentationPixelAspectRatio", [1, 1]),
        ({"PixelAspectRatio": [2, 1]}, "PresentationPixelAspectRatio", [2, 1]),
        ({"PixelSpacing": [0.1, 0.2]}, "PresentationPixelSpacing", [0.1, 0.2]),
    ],
)
def test_pixels_keep_their_proportions(
    given: dict[str, Any], keyword: str, expected: list[float], tmp_path: Path
) -> None:
    source = image(tmp_path / "image.dcm", **given)
    state = pydicom.dcmread(write_dicom(session_of(), tmp_path, image=source).looks)
    (area,) = state.DisplayedAreaSelectionSequence
    kinds = ("PresentationPixelAspectRatio", "PresentationPixelSpacing")
    assert [each for each in kinds if each in area] == [keyword]
    assert list(area[keyword].value) == expected


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        ("ISO_IR 100", "Gr\xf6\xdfe^J\xf6rg"),
        ("ISO_IR 192", "Иванов^Иван"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ],
)
def test_patients_have_names_in_any_script(
    characters: str | list[str], name: str, tmp_path: Path
) -> None:
    source = image(tmp_path / "image.dcm", SpecificCharacterSet=characters, PatientName=name)
    files = write_dicom(session_of(), tmp_path, image=source)
    for path in (files.report, files.looks):
        assert str(pydicom.dcmread(path).PatientName) == name


SENSORS: dict[str, tuple[Callable[[], Sensor], tuple[int, int, int]]] = {
    "patch": (lambda: SENSOR, (1, 16, 16)),
    "k-space": (lambda: KSpaceLines((6, 8), noise=0.1), (2, 6, 8)),
    "foveated": (lambda: Foveated((12, 10), 2, 3), (3, 12, 10)),
    "a user's rows": (RowSensor, (1, 6, 6)),
}


@pytest.mark.parametrize("name", SENSORS)
def test_every_sensor(name: str, tmp_path: Path) -> None:
    """Boxes are within the image, before the first look as well."""
    make, shape = SENSORS[name]
    sensor = make()
    session = Session(sensor, Random(), Constant((-0.7, -0.7)), shape=shape)
    assert outlines(write_dicom(session, tmp_path).looks) == []
    for look in session.suggest(2)[:1]:
        session.ingest(look, read(sensor, torch.rand(1, *shape), torch.tensor(look.design)))
    files = write_dicom(session, tmp_path)
    for outline in outlines(files.looks):
        columns, rows = np.array(outline).reshape(-1, 2).T
        assert 0 <= columns.min() < columns.max() <= shape[2]
        assert 0 <= rows.min() < rows.max() <= shape[1]
        if name in ("k-space", "foveated"):  # a reading that is no pixels is of all of them
            assert (columns.max(), rows.max()) == (shape[2], shape[1])
            assert (columns.min(), rows.min()) == (0, 0)
    assert len(outlines(files.looks)) == 2
    assert files.seen is not None
    assert pydicom.dcmread(files.seen).pixel_array.shape == shape[1:]


def test_findings_have_a_probability_each(tmp_path: Path) -> None:
    session = session_of(FindingsClassifier())
    report = hd.sr.srread(write_dicom(session, tmp_path, answers=("dark", "bright")).report)
    (belief,) = report.content.get_image_measurement_groups()
    expected = session.belief()[:, 1].tolist()
    assert list(measured(belief).values()) == pytest.approx(expected, abs=1e-6)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"rows": 64, "columns": 48}, r"is 64 x 48 \(rows x columns\), expected the proportions of"),
    ({"SamplesPerPixel": 3}, "1 frames and 3 samples a pixel, expected one grey frame"),
    ({"NumberOfFrames": 2}, "2 frames and 1 samples"),
    ({"Rows": None}, "has 0 x 64 pixels"),
    ({"StudyInstanceUID": None}, "lacks what DICOM references need: .*StudyInstanceUID"),
]


@pytest.mark.parametrize(("given", "told"), WRONG)
def test_an_image_that_cannot_be_meant_is_refused(
    given: dict[str, Any], told: str, tmp_path: Path
) -> None:
    source = image(tmp_path / "image.dcm", **given)
    with pytest.raises(ValueError, match=told):
        write_dicom(session_of(), tmp_path / "out", image=source)
    assert not (tmp_path / "out").exists()


def test_other_wrong_input(tmp_path: Path) -> None:
    other = tmp_path / "other.dcm"
    other.write_text("no image")
    for source in (other, tmp_path / "absent.dcm"):
        with pytest.raises(ValueError, match=re.escape(f"image {source} is not a readable")):
            write_dicom(session_of(), tmp_path / "out", image=source)
    with pytest.raises(ValueError, match="answers are 2, expected 3 names"):
        write_dicom(session_of(), tmp_path / "out", answers=("a", "b"))
    with pytest.raises(ValueError, match="session is None"):
        write_dicom(None, tmp_path / "out")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian's dicom3tools)"
)
def test_the_files_keep_to_the_standard(tmp_path: Path) -> None:
    source = image(tmp_path / "image.dcm")
    alone = write_dicom(session_of(), tmp_path / "alone", answers=NAMES)
    beside = write_dicom(session_of(), tmp_path / "beside", answers=NAMES, image=source)
    for path in (alone.report, alone.looks, alone.seen, beside.report, beside.looks):
        checked = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
        assert "Error" not in checked.stderr, checked.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--dicom-image", "here.dcm"), "--dicom-image belongs to --dicom of one session"),
        (("--dicom", "out", "--dicom-image", "here.dcm", "--several"), "--dicom-image belongs to"),
        (("--dicom", "out", "--dicom-image", "here.dcm"), "here.dcm is not a readable DICOM"),
        (("--dicom", "out", "--dicom-image", "absent.dcm"), "--dicom-image is 'absent.dcm'"),
        (("--dicom", "here.dcm"), "--dicom is 'here.dcm', which is a file"),
    ],
)
def test_what_the_command_refuses(
    arguments: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.dcm").write_text("no image")
    monkeypatch.setattr("boed.live.make_live", lambda *given, **more: small(policy=CentreOut()))
    refused = CliRunner().invoke(app, ["live", *arguments])
    assert refused.exit_code == 2, refused.output
    assert told in " ".join(refused.output.split())
    assert not (tmp_path / "out").exists()


def test_the_command_writes_what_became_of_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boed.live.make_live", lambda *given, **more: small(policy=CentreOut()))
    lines = '{"action": "next"}\n{"action": "take", "look": 0}\n'
    given = ["live", "--stdio", "--demo", "--dicom", str(tmp_path / "out")]
    run = CliRunner().invoke(app, given, input=lines)
    assert run.exit_code == 0, run.output
    assert len(outlines(tmp_path / "out" / "looks.dcm")) == 1
    sessions = Sessions(lambda path: small(policy=CentreOut()))
    with _as_dicom(sessions, tmp_path / "several"):
        sessions.begin("2").next()
    number = [len(outlines(tmp_path / "several" / name / "looks.dcm")) for name in ("1", "2")]
    assert number == [0, 1]
