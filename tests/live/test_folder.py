"""Sessions over a folder: files that are taken, refused, waited for, and left alone."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from boed.live import Folder, LiveSession
from boed.live.folder import REFUSED
from boed.policies import CentreOut
from boed.session.log import Log
from tests.live.sessions import patch, record, small, until

Pixels = NDArray[Any]


def npy(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, pixels)
    return buffer.getvalue()


def png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.round(255 * pixels[0]).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def deep_png(pixels: Pixels) -> bytes:
    """Of 16 bits."""
    buffer = io.BytesIO()
    Image.fromarray(np.round(65535 * pixels[0]).astype(np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


def dicom(pixels: Pixels, *, window: bool = True) -> bytes:
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    stored = np.round(255 * pixels[0]).astype(np.uint8)
    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    made.SOPClassUID, made.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    made.Rows, made.Columns = stored.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    if window:
        made.WindowCenter, made.WindowWidth = 128, 256
    made.PixelData = stored.tobytes()
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def following(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "next.json").read_text())
    return content


@pytest.fixture
def live(tmp_path: Path) -> LiveSession:
    return small(tmp_path / "log", policy=CentreOut())


@pytest.fixture
def watched(live: LiveSession, tmp_path: Path) -> Folder:
    """One whose look 0 is pending."""
    watched = Folder(live, tmp_path / "looks")
    assert watched.poll()
    return watched


@pytest.mark.parametrize(
    ("ending", "made"), [("npy", npy), ("png", png), ("PNG", deep_png), ("dcm", dicom)]
)
def test_a_reading_is_taken_and_the_next_look_appears(
    ending: str, made: Callable[[Pixels], bytes], live: LiveSession, watched: Folder
) -> None:
    asked = following(watched.folder)
    assert (asked["id"], asked["file"], asked["shape"]) == (0, "0.npy", [1, 4, 4])
    assert {"design", "eig", "cost", "belief", "spent", "ended"} <= set(asked)
    expected = patch(live, 0)
    (watched.folder / f"0.{ending}").write_bytes(made(expected))
    watched.poll()
    watched.poll()
    assert live.session.looks[0].status == "taken"
    seen = live.session.observation
    values = seen.values[0][:, seen.mask[0, 0] > 0].numpy()
    assert values == pytest.approx(expected.reshape(1, -1), abs=1 / 255)
    assert following(watched.folder)["file"] == "1.npy"
    assert following(watched.folder)["spent"] == 1 / 16


def test_a_look_that_failed(live: LiveSession, watched: Folder) -> None:
    (watched.folder / "0.failed").touch()
    watched.poll()
    watched.poll()
    assert [each.status for each in live.session.looks] == ["failed", "pending"]


HALF = np.full((1, 4, 4), 0.5, np.float32)
WRONG: dict[str, tuple[str, bytes, str]] = {
    "another shape": ("0.npy", npy(HALF[:, :2]), "reading is (1, 2, 4), expected (1, 4, 4)"),
    "whole numbers": ("0.npy", npy(np.ones((1, 4, 4), int)), "reading is int64, expected floating"),
    "NaN": ("0.npy", npy(HALF * np.nan), "reading has 16 NaN"),
    "objects": ("0.npy", npy(np.array([{}, 1], object)), "Python objects"),
    "cut short": ("0.npy", npy(HALF)[:-9], "cannot be read as .npy"),
    "another kind": ("0.npy", b"hello, world" * 20, "0.npy is none of .npy, .png, .dcm"),
    "a picture of another size": ("0.png", png(HALF[:, :3]), "4 x 3 pixels (width x height), exp"),
    "a picture cut short": ("0.png", png(HALF)[:50], "not a readable image"),
    "no window": ("0.dcm", dicom(HALF, window=False), "0.dcm has no window"),
    "DICOM cut short": ("0.dcm", dicom(HALF)[:200], "0.dcm"),
    "too large": ("0.npy", b"\x93NUMPY" + bytes(2**21), "bytes, expected at most"),
    **{
        f"another ending, {ending}": (f"0.{ending}", b"II*\0", "expected one of 0.npy, 0.png, 0.dc")
        for ending in ("tif", "TIFF", "jpg", "npz", "h5", "csv", "txt", "raw")
    },
    "unknown look": ("7.npy", npy(HALF), "look is 7, expected the id"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_told_beside_it_and_changes_nothing(
    name: str, live: LiveSession, watched: Folder
) -> None:
    file, content, told = WRONG[name]
    before, asked = record(live), following(watched.folder)
    (watched.folder / file).write_bytes(content)
    for _ in range(3):
        assert watched.poll()
    error = watched.folder / f"{file[0]}.error.txt"
    assert error.read_text().startswith(f"{file}: ")
    assert told in error.read_text()
    assert record(live) == before
    assert following(watched.folder) == asked
    if file[0] == "0":  # a better file takes its place
        (watched.folder / "0.npy").write_bytes(npy(patch(live, 0)))
        watched.poll()
        watched.poll()
        assert live.session.looks[0].status == "taken"
        assert not error.exists()


def test_a_second_file_of_a_look_is_told(live: LiveSession, watched: Folder) -> None:
    for ending in ("npy", "png"):
        (watched.folder / f"0.{ending}").write_bytes({"npy": npy, "png": png}[ending](HALF))
        watched.poll()
        watched.poll()
    assert "look 0 was taken" in (watched.folder / "0.error.txt").read_text()
    assert len(live.session.beliefs()) == 2


def test_foreign_files_are_left_alone(live: LiveSession, watched: Folder) -> None:
    before = record(live)
    for name in ("notes.txt", "0.npy.part", "00.npy", "a.npy", "-1.npy", "1.tif", "0.error.txt"):
        (watched.folder / name).write_bytes(npy(HALF))
    (watched.folder / "0.npy").mkdir()
    (watched.folder / "0.png").symlink_to(watched.folder / "notes.txt")
    files = sorted(watched.folder.iterdir())
    for _ in range(3):
        watched.poll()
    assert sorted(watched.folder.iterdir()) == files
    assert record(live) == before


def test_a_file_with_another_ending_is_told_when_its_look_is_pending(
    live: LiveSession, watched: Folder
) -> None:
    """And keeps no session from going on."""
    (watched.folder / "1.tif").write_bytes(b"II*\0")
    dropped(watched, "0.npy", npy(patch(live, 0)))
    assert [each.status for each in live.session.looks] == ["taken", "pending"]
    watched.poll()
    assert "1.tif: is not read by" in (watched.folder / "1.error.txt").read_text()
    Folder(live, watched.folder)
    dropped(watched, "1.npy", npy(patch(live, 1)))
    assert live.session.looks[1].status == "taken"
    assert not list(watched.folder.glob("*.error.txt"))


def test_what_is_still_being_written_is_waited_for(live: LiveSession, watched: Folder) -> None:
    content = npy(patch(live, 0))
    with (watched.folder / "0.npy").open("wb") as file:
        for begin in range(0, len(content), 40):
            watched.poll()
            file.write(content[begin : begin + 40])
            file.flush()
    watched.poll()
    assert live.session.looks[0].status == "pending"
    watched.poll()
    assert live.session.looks[0].status == "taken"


def test_a_session_goes_on_beside_its_own_files(tmp_path: Path) -> None:
    folder = tmp_path / "looks"
    live = small(tmp_path / "log", policy=CentreOut())
    watched = Folder(live, folder)
    watched.poll()
    (folder / "0.npy").write_bytes(npy(patch(live, 0)))
    for _ in range(2):
        watched.poll()
    live.session.close()
    again = small(tmp_path / "log", policy=CentreOut())
    (folder / "1.npy").write_bytes(npy(patch(again, 1)))
    watched = Folder(again, folder)
    for _ in range(2):
        watched.poll()
    assert [each.status for each in again.session.looks] == ["taken", "taken", "pending"]
    assert not list(folder.glob("*.error.txt"))
    with pytest.raises(ValueError, match=r"holds [01].npy, a reading of a look that was not yet"):
        Folder(small(tmp_path / "new"), folder)


def dropped(watched: Folder, name: str, content: bytes) -> None:
    (watched.folder / name).write_bytes(content)
    for _ in range(2):
        watched.poll()


def again(watched: Folder, log: Path) -> tuple[LiveSession, Folder]:
    """The same session and folder after a restart."""
    watched.live.session.close()
    live = small(log, policy=CentreOut())
    return live, Folder(live, watched.folder)


@pytest.mark.parametrize("name", ["1.npy", "1.failed", "1.png"])
@pytest.mark.parametrize("refused", [False, True])
def test_no_file_is_read_as_that_of_a_later_look(name: str, refused: bool, tmp_path: Path) -> None:
    """After undo a look has the id of an earlier one, whose file may still be there."""
    live = small(tmp_path / "log", policy=CentreOut())
    watched = Folder(live, tmp_path / "looks")
    watched.poll()
    dropped(watched, "0.npy", npy(patch(live, 0)))
    good = {"npy": npy, "png": png}.get(name[2:], lambda pixels: b"")(patch(live, 1))
    if refused:
        live.fail(1)
    dropped(watched, name, good)
    assert live.session.looks[1].status == (
        "taken" if name[2:] != "failed" and not refused else "failed"
    )
    while len(live.session.looks) > 1:
        live.undo()
    for _ in range(2):  # a restart whose look 1 is not yet there, and one where it is pending
        live, watched = again(watched, tmp_path / "log")
        for _ in range(3):
            watched.poll()
        assert [each.status for each in live.session.looks] == ["taken", "pending"]
    dropped(watched, "1.npy", npy(patch(live, 1) / 2))  # a new file is a new reading
    assert live.session.looks[1].status == "taken"
    assert len(live.session.beliefs()) == 3


@pytest.mark.parametrize("ending", ["npy", "png", "dcm", "failed"])
def test_a_file_read_before_a_crash_is_not_read_again(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right after the event, then undone without the folder, then begun with it again."""
    live = small(tmp_path / "log", policy=CentreOut())
    watched = Folder(live, tmp_path / "looks")
    watched.poll()
    made = {"npy": npy, "png": png, "dcm": dicom}.get(ending, lambda pixels: b"")

    class Killed(BaseException):
        pass

    append = Log.append

    def killed(log: Log, *event: Any) -> Any:
        append(log, *event)
        raise Killed

    monkeypatch.setattr(Log, "append", killed)
    with pytest.raises(Killed):
        dropped(watched, f"0.{ending}", made(patch(live, 0)))
    monkeypatch.undo()
    live.session.close()
    alone = small(tmp_path / "log", policy=CentreOut())
    assert alone.session.looks[0].status == ("failed" if ending == "failed" else "taken")
    while alone.session.looks:
        alone.undo()
    alone.next()
    alone.session.close()
    live, watched = again(watched, tmp_path / "log")
    for _ in range(3):
        watched.poll()
    assert [each.status for each in live.session.looks] == ["pending"]
    dropped(watched, "0.npy", npy(patch(live, 0) / 2))  # a new file is a new reading
    assert live.session.looks[0].status == "taken"


def test_a_list_of_refused_files_that_is_damaged_is_told(watched: Folder, tmp_path: Path) -> None:
    (tmp_path / "log" / REFUSED).write_text('[["0.npy"]]')
    with pytest.raises(ValueError, match=r"files.json is damaged .* the files that were refused"):
        again(watched, tmp_path / "log")


def test_a_folder_that_cannot_be_written_is_told_and_tried_again(
    live: LiveSession, watched: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    live._say = said.append
    (watched.folder / "0.npy").write_bytes(npy(patch(live, 0)))
    append, told, end = Log.append, threading.Event(), threading.Event()

    def full(log: Log, *event: Any) -> Any:
        told.set()
        raise OSError("disk full")

    monkeypatch.setattr(Log, "append", full)
    monkeypatch.setattr("boed.live.folder.EVERY", 0.001)
    monkeypatch.setattr("boed.live.folder.AFTER_TROUBLE", 0.001)
    with pytest.raises(OSError, match="disk full"):  # which ends a command that nobody else uses
        watched.watch(end)
    thread = threading.Thread(target=watched.watch, args=(end,), kwargs={"on": True})
    thread.start()
    try:
        until(lambda: live.trouble is not None)
        assert "disk full" in live.state()["trouble"]
        assert live.session.looks[0].status == "pending"
        monkeypatch.setattr(Log, "append", append)
        until(lambda: live.trouble is None)
        until(lambda: live.session.looks[0].status == "taken")
    finally:
        end.set()
        thread.join()
    assert said == [f"folder {watched.folder} (OSError: disk full)", "it works again"]
    assert not list(watched.folder.glob("*.error.txt"))


def test_it_says_that_it_decides(live: LiveSession, tmp_path: Path) -> None:
    watched, seen = Folder(live, tmp_path / "looks"), []
    following_before = live.session.suggest

    def suggest(n: int = 1) -> Any:
        seen.append((following(watched.folder)["deciding"], live.state()["deciding_what"]))
        return following_before(n)

    live.session.suggest = suggest  # type: ignore[method-assign]
    watched.poll()
    dropped(watched, "0.npy", npy(patch(live, 0)))
    assert seen == [("the first look",) * 2, ("the next look",) * 2]
    assert following(watched.folder)["deciding"] is None


def test_nothing_is_decided_again_when_nothing_has_changed(tmp_path: Path) -> None:
    live = small(policy=CentreOut(), budget=1 / 32)
    watched = Folder(live, tmp_path)
    assert not watched.poll()
    changes = live.changes
    watched.poll()
    assert live.changes == changes


def test_it_ends_when_nothing_is_left(tmp_path: Path) -> None:
    live = small(policy=CentreOut(), budget=1 / 16)
    watched = Folder(live, tmp_path)
    assert watched.poll()
    (tmp_path / "0.npy").write_bytes(npy(patch(live, 0)))
    watched.poll()
    assert not watched.poll()
    assert following(tmp_path)["id"] is None
    assert following(tmp_path)["ended"] == "the budget of 0.0625 has no room for the next look"
    live.undo()
    live.stop("enough")
    watched.watch(threading.Event())  # which ends
    assert (following(tmp_path)["file"], following(tmp_path)["ended"]) == (None, "enough")
