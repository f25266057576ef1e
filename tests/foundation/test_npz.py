"""Arrays of files that anybody may have written: right, or one clear error."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest

from boed.foundation.memory import LIMIT
from boed.foundation.npz import Arrays, read_array

ARRAY = np.arange(12.0).reshape(3, 4)


def npy(array=ARRAY) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def claiming(shape: str, dtype: str = "<f8") -> bytes:
    """An npy file of a few bytes whose header says that it holds an array of this shape."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-len(header) - 11 % 64 + 53) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(96)


def zipped(path, member: bytes, compression: int = zipfile.ZIP_STORED, name: str = "a.npy"):
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr(name, member)
    return path


@pytest.mark.parametrize(
    "array", [ARRAY, ARRAY.T, np.array(7), np.array(["é", "b"]), np.zeros((0, 3), np.uint8)]
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path, array, save):
    save(tmp_path / "a.npz", a=array, b=ARRAY)
    with Arrays(tmp_path / "a.npz") as file:
        assert file.names == ["a", "b"]
        assert np.array_equal(file["a"], array)
        assert file["a"].dtype == array.dtype
    np.save(tmp_path / "a.npy", array)
    assert np.array_equal(read_array(tmp_path / "a.npy"), array)


MEMBERS = {
    "no npy": b"no array",
    "cut header": npy()[:40],
    "cut values": npy()[:-8],
    "unbalanced header": npy().replace(b"(3, 4)", b"(3, 4("),
    "header of code": npy().replace(b"(3, 4)", b"exit()"),
    "negative shape": claiming("(-1, 4)"),
    "shape of text": claiming("'ab'"),
    "unknown version": npy()[:6] + b"\x09" + npy()[7:],
    "unknown type": claiming("(3,)", "<q9"),
    "Python objects": npy(np.array([1, None], dtype=object)),
    "text beyond Unicode": claiming("(3,)", "<U2").replace(bytes(96), b"\xff" * 96),
    "text beyond Unicode of the other order": claiming("(3,)", ">U2").replace(
        bytes(96), b"\x00\x11\x00\x00" * 24
    ),
    "halves of characters": claiming("(3,)", "<U2").replace(bytes(96), b"\x00\xd8\x00\x00" * 24),
    "records": npy(np.zeros(2, [("a", "i4"), ("b", "<U1")])),
    "more than the limit": claiming("(1000000, 1000000)"),
    "more than any number": claiming("(1" + "0" * 400 + ",)"),
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_a_damaged_array_is_refused_with_its_file_and_name(tmp_path, kind):
    file = Arrays(zipped(tmp_path / "x.npz", MEMBERS[kind]))
    with file, pytest.raises(ValueError, match=r"x\.npz: 'a'"):
        file["a"]
    (tmp_path / "x.npy").write_bytes(MEMBERS[kind])
    with pytest.raises(ValueError, match=r"x\.npy"):
        read_array(tmp_path / "x.npy")


def test_what_a_compressed_file_unpacks_to_is_bounded(tmp_path, monkeypatch):
    path = zipped(tmp_path / "bomb.npz", npy(np.zeros(1 << 17)), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 12
    monkeypatch.setenv(LIMIT, "0.0005")
    with Arrays(path) as file, pytest.raises(
        ValueError, match=r"bomb\.npz: 'a', float64 \[131072\], needs about .*BOED_MEMORY_GIB"
    ):  # fmt: skip
        file["a"]
    monkeypatch.setenv(LIMIT, "0.002")
    with Arrays(path) as file:
        assert file["a"].shape == (1 << 17,)


def spoilt(content: bytes, kind: str) -> bytes:
    """A zip whose first entry says, in both of its headers, that it is encrypted or the like."""
    changed, central = bytearray(content), content.index(b"PK\x01\x02")
    if kind == "encrypted":
        changed[6] |= 1
        changed[central + 8] |= 1
    elif kind == "unknown compression":
        changed[8] = changed[central + 10] = 77
    elif kind == "wrong checksum":
        changed[200] ^= 1
    elif kind == "another name inside":
        changed[30] = ord("z")
    return bytes(changed)


@pytest.mark.parametrize(
    "kind", ["encrypted", "unknown compression", "wrong checksum", "another name inside"]
)
def test_a_zip_that_numpy_never_writes_is_refused(tmp_path, kind):
    path = zipped(tmp_path / "x.npz", npy())
    path.write_bytes(spoilt(path.read_bytes(), kind))
    with Arrays(path) as file, pytest.raises(ValueError, match=r"x\.npz: 'a' is damaged"):
        file["a"]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is not an npz"), (b"PK\x05\x06", "is not an npz"), (npy(), "holds a single array")],
)
def test_other_files_are_refused(tmp_path, content, said):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ValueError, match=rf"x\.npz.*{said}"):
        Arrays(tmp_path / "x.npz")


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"x\.npz does not exist"):
        Arrays(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="is not a file"):
        Arrays(tmp_path)
    with pytest.raises(ValueError, match=r"x\.npy cannot be read"):
        read_array(tmp_path / "x.npy")
    file = Arrays(zipped(tmp_path / "x.npz", npy()))
    with file, pytest.raises(ValueError, match="'b' is not there, found a"):
        file["b"]
    file = Arrays(zipped(tmp_path / "x.npz", npy(), name="a"))  # without .npy
    with file, pytest.raises(ValueError, match="'a' is damaged"):
        file["a"]
