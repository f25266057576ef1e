"""Downloads from a server on loopback: whole, resumed, interrupted, corrupted."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from boed import data
from boed.data import download
from boed.data.readers import medmnist


class Server(ThreadingHTTPServer):
    """Serves `payload`; each request's Range header is kept in `ranges`."""

    payload: bytes
    with_range = True
    with_length = True
    ignores_start = False
    break_after: int | None = None
    pause = 0.0
    before: Callable[[], object] | None = None
    ranges: list[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        whole = self.server.payload
        if self.path != "/files/pneumoniamnist.npz":
            return self.send_error(404)
        start = 0
        if asked and self.server.with_range:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            start = 0 if self.server.ignores_start else start
            if start >= len(whole):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        else:
            self.send_response(200)
        if self.server.with_length:
            self.send_header("Content-Length", str(len(whole) - start))
        self.end_headers()
        stop = len(whole) if self.server.break_after is None else start + self.server.break_after
        with contextlib.suppress(ConnectionError):  # the client may have had enough
            middle = min(start + 1000, stop)
            self.wfile.write(whole[start:middle])
            self.wfile.flush()
            time.sleep(self.server.pause)
            if self.server.before is not None:
                self.server.before()
            self.wfile.write(whole[middle:stop])
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(content, write, monkeypatch) -> Iterator[Server]:
    rng = np.random.default_rng(3)
    for split in ("train", "val", "test"):
        content[f"{split}_images"] = rng.integers(0, 256, (200, 28, 28), np.uint8)
        content[f"{split}_labels"] = rng.integers(0, 2, (200, 1), np.uint8)
        del content[f"{split}_patients"]
    del content["label_names"]
    running = Server(("127.0.0.1", 0), Handler)
    running.payload = write(content).read_bytes()
    running.ranges = []
    checksums = {28: hashlib.md5(running.payload).hexdigest(), 64: "0" * 32}
    published = replace(medmnist.SOURCES["pneumoniamnist"], md5=checksums)
    monkeypatch.setitem(medmnist.SOURCES, "pneumoniamnist", published)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def get(server, tmp_path):
    return functools.partial(
        medmnist.fetch, root=tmp_path / "kept", base_url=server.url, progress=False
    )


def kept(tmp_path):
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    return sorted(names - {"pneumoniamnist.npz.lock", "pneumoniamnist_64.npz.lock"})


@pytest.mark.parametrize("with_length", [True, False])
def test_downloads_once(server, get, tmp_path, with_length):
    server.with_length = with_length
    path = get("pneumoniamnist", 28)
    assert path.read_bytes() == server.payload
    assert [each.name for each in path.parent.iterdir()] == ["pneumoniamnist.npz"]
    assert get("pneumoniamnist", 28) == path
    assert server.ranges == [None]


def test_goes_on_where_it_broke_off(server, get, tmp_path):
    server.break_after = 300_000
    with pytest.raises(OSError, match=r"broke off after 300,000 of \d+,\d+ bytes; the same"):
        get("pneumoniamnist", 28)
    assert kept(tmp_path) == ["pneumoniamnist.npz.part"]
    server.break_after = None
    assert get("pneumoniamnist", 28).read_bytes() == server.payload
    assert server.ranges == [None, "bytes=300000-"]
    assert kept(tmp_path) == ["pneumoniamnist.npz"]


@pytest.mark.parametrize("quirk", [{"with_range": False}, {"ignores_start": True}])
def test_starts_again_where_the_server_cannot_go_on(server, get, quirk):
    server.break_after = 300_000
    with pytest.raises(OSError, match="broke off"):
        get("pneumoniamnist", 28)
    server.break_after = None
    vars(server).update(quirk)
    assert get("pneumoniamnist", 28).read_bytes() == server.payload


def test_a_complete_part_needs_no_server(server, get, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "pneumoniamnist.npz.part").write_bytes(server.payload)
    assert get("pneumoniamnist", 28).read_bytes() == server.payload
    assert server.ranges == []


def test_a_part_that_is_too_long_is_fetched_anew(server, get, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "pneumoniamnist.npz.part").write_bytes(server.payload + b"more")
    assert get("pneumoniamnist", 28).read_bytes() == server.payload
    assert server.ranges == [f"bytes={len(server.payload) + 4}-", None]


def test_corrupted_payload_is_deleted(server, get, tmp_path):
    server.payload = server.payload[:-1] + bytes([server.payload[-1] ^ 1])
    with pytest.raises(ValueError, match=r"MD5 is .*, expected .*deleted"):
        get("pneumoniamnist", 28)
    assert kept(tmp_path) == []


def test_a_corrupted_part_does_not_survive(server, get, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "pneumoniamnist.npz.part").write_bytes(b"something else")
    with pytest.raises(ValueError, match="MD5 is"):
        get("pneumoniamnist", 28)
    assert kept(tmp_path) == []
    assert get("pneumoniamnist", 28).read_bytes() == server.payload


@pytest.mark.parametrize(
    ("with_length", "message"), [(True, "bytes offered"), (False, "sends more")]
)
def test_refuses_more_bytes_than_the_set_can_have(server, get, with_length, message):
    server.payload, server.with_length = bytes(6_000_000), with_length
    with pytest.raises(ValueError, match=message):
        get("pneumoniamnist", 28)


def test_two_at_once_are_one_download(server, get, tmp_path):
    server.pause = 0.2
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: get("pneumoniamnist", 28), range(2)))
    assert [path.read_bytes() == server.payload for path in paths] == [True, True]
    assert server.ranges == [None]


def test_what_another_program_writes_between_is_noticed(server, get, tmp_path):
    server.break_after = 300_000
    with pytest.raises(OSError, match="broke off"):
        get("pneumoniamnist", 28)
    part = tmp_path / "kept" / "pneumoniamnist.npz.part"

    def another():
        with part.open("ab") as file:
            file.write(b"of another program")

    server.break_after, server.before, server.pause = None, another, 0.1
    with pytest.raises(ValueError, match=r"pneumoniamnist\.npz: MD5 is .*, expected .*deleted"):
        get("pneumoniamnist", 28)
    assert kept(tmp_path) == []


@pytest.mark.parametrize("after", [None, 0, 1000])
def test_a_server_that_stalls_is_named(server, get, monkeypatch, after):
    monkeypatch.setattr(download, "_TIMEOUT_S", 0.05)
    server.break_after, server.pause = after, 0.3
    said = r"/files/pneumoniamnist\.npz: .*(timed out|Timeout).*; the same command goes on"
    with pytest.raises(OSError, match=said):
        get("pneumoniamnist", 28)


@pytest.mark.parametrize(
    "error", [ConnectionResetError(104, "reset"), TimeoutError("timed out"), IncompleteRead(b"")]
)
def test_a_broken_connection_names_the_url(server, get, monkeypatch, error):
    def broken(self, *_):
        raise error

    monkeypatch.setattr("http.client.HTTPResponse.read", broken)
    with pytest.raises(OSError, match=r"pneumoniamnist\.npz: broke off after 0 .*same command"):
        get("pneumoniamnist", 28)


def test_a_full_disk_names_the_file(server, get, tmp_path, monkeypatch):
    file = mock.MagicMock()
    file.__enter__.return_value.write.side_effect = OSError(errno.ENOSPC, "No space left")
    monkeypatch.setattr(Path, "open", lambda *_: file)
    with pytest.raises(OSError, match=r"could not write .*pneumoniamnist\.npz\.part: disk full"):
        get("pneumoniamnist", 28)


def test_no_such_file_and_no_server(server, get, tmp_path):
    with pytest.raises(OSError, match=r"pneumoniamnist_64\.npz: the server answers 404"):
        get("pneumoniamnist", 64)
    server.shutdown()
    server.server_close()
    with pytest.raises(OSError, match="no connection"):
        get("pneumoniamnist", 28)
    assert kept(tmp_path) == []


def test_refuses_what_is_not_published(get):
    with pytest.raises(ValueError, match="name is 'pathmnist': did you mean 'chestmnist'"):
        get("pathmnist", 28)
    with pytest.raises(ValueError, match="size is 32; pneumoniamnist has 28, 64, 128, 224"):
        get("pneumoniamnist", 32)
    with pytest.raises(ValueError, match=r"http:// or https://, got 'file:"):
        get("pneumoniamnist", 28, base_url="file:///etc")


def test_progress_goes_to_stderr(server, get, capsys):
    get("pneumoniamnist", 28, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "pneumoniamnist.npz" in shown.err


def test_load_fetches_resizes_and_remembers(server, content, tmp_path, monkeypatch):
    monkeypatch.setenv("BOED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BOED_DATA", raising=False)
    monkeypatch.setattr(
        medmnist,
        "fetch",
        functools.partial(medmnist.fetch, base_url=server.url, progress=False),
    )
    dataset = data.load("pneumoniamnist", size=14)
    assert (dataset.name, dataset.size, len(dataset)) == ("pneumoniamnist", 14, 200)
    assert dataset.label_names == ("normal", "pneumonia")
    assert dataset.labels.tolist() == content["test_labels"][:, 0].tolist()
    assert data.load("pneumoniamnist", split="val").size == 28
    assert server.ranges == [None]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["pneumoniamnist.npz"]


def test_load_prefers_the_data_folder(write, tmp_path, monkeypatch):
    monkeypatch.setattr(medmnist, "fetch", lambda *_: pytest.fail("must not download"))
    images = np.zeros((2, 64, 64), np.uint8)
    labels = np.eye(2, 14, dtype=np.uint8)
    write({"test_images": images, "test_labels": labels}, "chestmnist_64")
    dataset = data.load("chestmnist", size=48, root=tmp_path)
    assert dataset.size == 48
    assert dataset.label_names[::14] == ("atelectasis", "any")
    assert dataset.labels.sum(1).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("asked", "native"), [(None, 28), (28, 28), (29, 64), (100, 128), (224, 224), (512, 224)]
)
def test_native_size_is_the_nearest_not_smaller(asked, native):
    assert medmnist.native_size(asked) == native
