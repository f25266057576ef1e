"""torchxrayvision's files are fetched, checked and converted once."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from boed.classifiers.torchxrayvision import weights
from boed.classifiers.torchxrayvision.weights import PREFIX, SHA256, VARIABLE, fetch_weights
from boed.foundation.files import load_weights
from boed.foundation.torchvision_compat import torchxrayvision
from boed.zoo.names import check_names
from tests.classifiers.published import ALL, NIH, digest, published_file, random_network


def test_names_are_those_of_the_library():
    urls = torchxrayvision().models.model_urls
    assert list(SHA256) == [each for each in urls if each.startswith("densenet121-res224-")]
    for each in SHA256:
        published = urls[each]
        assert [not name for name in published["labels"]] == np.isnan(
            published["op_threshs"]
        ).tolist()
        assert published["input_resolution"] == weights.SIZE


@pytest.mark.parametrize("argument", ["classifier", "network", "judge"])
def test_names_are_checked_before_any_work(fresh, argument):
    said = "classifier" if argument == "network" else argument
    with pytest.raises(ValueError, match=f"^{said} is .*: did you mean '{PREFIX}{ALL}'"):
        check_names(**{argument: f"{PREFIX}densenet121-res224-al"})
    with pytest.raises(
        ValueError, match=f"^{said} is .*by its SHA-256 only.* {VARIABLE}={NIH}=HEX"
    ):
        check_names(**{argument: PREFIX + NIH})
    check_names(**{argument: PREFIX + ALL})
    assert not list(fresh.iterdir())


@pytest.mark.parametrize("argument", ["completers", "search"])
def test_it_is_no_name_of_other_models(fresh, argument):
    named = [PREFIX + ALL] if argument == "completers" else PREFIX + ALL
    with pytest.raises(ValueError, match="expected one of"):
        check_names(**{argument: named})


@pytest.mark.parametrize(
    "given", ["abc", f"{ALL}=abc", f"{ALL}={'g' * 64}", f"other={'0' * 64}", f"{ALL}:{'0' * 64}"]
)
def test_checksums_of_another_form_are_refused(fresh, monkeypatch, given):
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(ValueError, match=f"{VARIABLE} has .*expected NAME=HEX with 64"):
        check_names(classifier=PREFIX + ALL)


@pytest.mark.parametrize("place", ["cache", "theirs"])
def test_a_file_of_another_checksum_is_not_read(fresh, files, monkeypatch, place):
    def never(*_, **__):
        raise AssertionError("it was read")

    monkeypatch.setattr(weights, "_unpickled", never)
    theirs = Path(torchxrayvision().utils.get_cache_dir())
    theirs.mkdir(parents=True)
    path = (fresh if place == "cache" else theirs) / published_file(ALL)
    os.link(files / published_file(ALL), path)
    with pytest.raises(
        ValueError, match=f"{path} has SHA-256 {digest(path)}, expected {SHA256[ALL]}"
    ):
        fetch_weights("classifier", PREFIX + ALL)


def test_a_malicious_file_of_the_given_checksum_runs_nothing(fresh, tmp_path, monkeypatch):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    network = random_network()
    network.note = Evil()
    path = fresh / published_file(NIH)
    torch.save(network, path, _use_new_zipfile_serialization=False)
    monkeypatch.setenv(VARIABLE, f"{NIH}={digest(path)}")
    with pytest.raises(ValueError, match=r"nothing of it was run: it names posix.system"):
        fetch_weights("classifier", PREFIX + NIH)
    assert not (tmp_path / "ran").exists()
    assert [each.name for each in fresh.iterdir()] == [path.name]


def test_another_network_is_refused(fresh, monkeypatch):
    path = fresh / published_file(NIH)
    torch.save(torchxrayvision().models.DenseNet(num_classes=3, block_config=(1, 1, 1, 1)), path)
    monkeypatch.setenv(VARIABLE, f"{NIH}={digest(path)}")
    with pytest.raises(ValueError, match=r"is another network: classifier.bias is \(3,\)"):
        fetch_weights("classifier", PREFIX + NIH)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(files, monkeypatch) -> Iterator[str]:
    """The files by http, in place of the published address."""
    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(files)))
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{running.server_port}/{published_file(ALL)}"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    table = torchxrayvision().models.model_urls
    monkeypatch.setitem(table, ALL, {**table[ALL], "weights_url": url})
    yield url
    running.shutdown()
    running.server_close()


def test_it_is_downloaded_and_converted_once(fresh, files, converted, server, monkeypatch):
    given = digest(files / published_file(ALL))
    monkeypatch.setenv(VARIABLE, f"{ALL}={given}, {NIH}={'0' * 64}")
    path = fetch_weights("classifier", PREFIX + ALL)
    tensors, header = load_weights(path)
    assert (header["url"], header["sha256"]) == (server, given)
    before = load_weights(converted)[0]
    assert tensors.keys() == before.keys()
    assert all(torch.equal(each, before[name]) for name, each in tensors.items())

    (fresh / published_file(ALL)).unlink()
    monkeypatch.setattr(weights, "download", None)
    assert fetch_weights("classifier", PREFIX + ALL) == path  # it is not fetched again


def test_what_a_server_sends_has_to_be_the_file(fresh, server):
    with pytest.raises(ValueError, match=f"{server}: SHA256 is .*, expected {SHA256[ALL]}"):
        fetch_weights("classifier", PREFIX + ALL)
    assert not list(fresh.glob("*.safetensors"))


def test_a_checksum_is_asked_for_once(fresh, converted, monkeypatch):
    os.link(converted, fresh / f"{NIH}.safetensors")
    check_names(classifier=PREFIX + NIH)
    assert fetch_weights("classifier", PREFIX + NIH) == fresh / f"{NIH}.safetensors"
    monkeypatch.setenv(VARIABLE, f"{NIH}={'0' * 64}")  # of another file than was converted
    monkeypatch.setattr(weights, "download", lambda url, *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fetch_weights("classifier", PREFIX + NIH)
