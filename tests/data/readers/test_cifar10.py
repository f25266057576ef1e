"""CIFAR-10 from the official binary archive and from JPEG files, whole and damaged."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from boed.data import load
from boed.data.readers.cifar10 import NAMES, fetch, read_cifar10


def pack(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def records(number, seed=0):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 256, (number, 3073), np.uint8)
    table[:, 0] %= 10
    return table


@pytest.fixture
def official(tmp_path):
    batches = {f"cifar-10-batches-bin/data_batch_{k}.bin": records(20, k) for k in range(1, 6)}
    batches["cifar-10-batches-bin/test_batch.bin"] = records(7, 9)
    members = {name: table.tobytes() for name, table in batches.items()}
    return pack(tmp_path / "cifar-10-binary.tar.gz", members), batches


def picture(colour):
    buffer = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), colour, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_official_archive(official):
    path, batches = official
    test = read_cifar10(path, "test")
    table = batches["cifar-10-batches-bin/test_batch.bin"]
    assert test.label_names == NAMES
    assert test.labels.tolist() == table[:, 0].tolist()
    red = torch.from_numpy(table[2, 1:1025].reshape(32, 32).copy())
    assert torch.equal(test.images[2, 0], red)
    train, val = (read_cifar10(path, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (90, 10)
    every = np.concatenate(
        [batches[f"cifar-10-batches-bin/data_batch_{k}.bin"] for k in range(1, 6)]
    )
    assert sorted(every[:, 0]) == sorted([*train.labels.tolist(), *val.labels.tolist()])
    assert not {each.numpy().tobytes() for each in train.images} & {
        each.numpy().tobytes() for each in val.images
    }


def test_pictures_in_folders(tmp_path):
    members = {
        f"train/{name}/{k:04}.png": picture((k, 2 * k, 9)) for name in NAMES for k in range(10)
    }
    members |= {f"test/{name}/0000.png": picture((1, 2, 3)) for name in NAMES}
    path = pack(tmp_path / "mine.tar.gz", members)
    test = load(path, split="test")
    assert (test.name, len(test)) == ("mine", 10)
    assert test.images[0, :, 0, 0].tolist() == [1, 2, 3]
    assert load(path, 16, "val").images.shape == (10, 3, 16, 16)
    assert load(path, split="train").labels.bincount().tolist() == [9] * 10


def test_the_archive_is_found_by_name(official, monkeypatch):
    path, _ = official
    assert len(load("cifar10", split="test", root=path.parent)) == 7
    monkeypatch.setenv("BOED_DATA", str(path.parent))
    assert len(load("cifar10", split="val")) == 10
    with pytest.raises(ValueError, match=r"there is no cifar10_jpeg_32\.tar\.gz in"):
        load("cifar10_jpeg_32")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.txt": b"x"}, "has no image of test; expected cifar-10-batches-bin"),
        ({"x/test_batch.bin": b"123"}, "has 3 bytes, expected a multiple of 3,073"),
        ({"x/test_batch.bin": b"\xff" * 3073}, r"labels up to 255, expected 0\.\.9"),
        ({"test/zebra/0.png": b""}, "'zebra' is none of airplane"),
        ({"test/cat/0.png": b"no picture"}, "is not a readable image"),
        ({"test/cat/0.png": b"0" * (1 << 20) + b"1"}, "expected at most 1,048,576"),
    ],
)
def test_wrong_content(tmp_path, members, message):
    with pytest.raises(ValueError, match=message):
        read_cifar10(pack(tmp_path / "wrong.tar.gz", members))


def test_pictures_of_another_size(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "PNG")
    path = pack(tmp_path / "small.tar.gz", {"test/cat/0.png": buffer.getvalue()})
    with pytest.raises(ValueError, match=r"is \(8, 8\) pixels, expected \(32, 32\)"):
        read_cifar10(path)


def test_damaged_archives(tmp_path, official):
    with pytest.raises(ValueError, match="does not exist"):
        read_cifar10(tmp_path / "nothing.tar.gz")
    whole = official[0].read_bytes()
    for name, content in {"cut": whole[: len(whole) // 2], "other": b"hello" * 100}.items():
        path = tmp_path / f"{name}.tar.gz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is damaged or is no tar archive"):
            read_cifar10(path)


def test_what_does_not_have_the_published_checksum_is_not_kept(tmp_path, official):
    import functools
    import http.server
    import threading

    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=official[0].parent)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/cifar-10-binary.tar.gz"
    try:
        with pytest.raises(ValueError, match=r"SHA256 is .* expected c4a38c50"):
            fetch(tmp_path / "kept", url, progress=False)
    finally:
        server.shutdown()
    assert [each.suffix for each in (tmp_path / "kept").iterdir()] in ([], [".lock"])


@pytest.mark.slow
def test_the_real_archive(real_data):
    test = load("cifar10_jpeg_32", split="test", root=real_data)
    assert test.images.shape == (10_000, 3, 32, 32)
    assert test.labels.bincount().tolist() == [1000] * 10
