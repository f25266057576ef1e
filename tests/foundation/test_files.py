"""Files are whole or not there."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch

from boed.foundation.files import (
    atomic,
    load_weights,
    read_model,
    save_weights,
    sha256,
    write_json,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_atomic_writes_through_missing_folders(tmp_path):
    with atomic(tmp_path / "new" / "a.txt") as path:
        path.write_text("hello")
        assert names(tmp_path / "new") != ["a.txt"]
    assert names(tmp_path / "new") == ["a.txt"]
    assert (tmp_path / "new" / "a.txt").read_text() == "hello"


def write_half(target, error):
    with atomic(target) as path:
        path.write_text("half of the n")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_leaves_the_old_file_and_no_other(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(error):
        write_half(target, error)
    assert (names(tmp_path), target.read_text()) == (["a.txt"], "old")


def test_full_disk_names_the_target(tmp_path):
    with pytest.raises(OSError, match=r"could not write .*a\.txt: .*No space left"):
        write_half(tmp_path / "a.txt", OSError(28, "No space left on device"))
    assert names(tmp_path) == []


def test_json_that_cannot_be_written_leaves_nothing(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "b.json", float("nan"))
    assert names(tmp_path) == ["a.json"]


def test_sha256_of_a_file_larger_than_one_piece(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


@pytest.fixture
def weights(tmp_path):
    tensors = {"a.b": torch.arange(6.0).reshape(2, 3).T, "c": torch.tensor([1, 2])}
    save_weights(tmp_path / "w.safetensors", tensors, {"size": 64, "scores": {"auroc": 0.9}})
    return tmp_path / "w.safetensors"


def test_weights_come_back_with_their_provenance(weights):
    tensors, header = load_weights(weights)
    assert header == {"size": 64, "scores": {"auroc": 0.9}}
    assert torch.equal(tensors["a.b"], torch.arange(6.0).reshape(2, 3).T)
    assert tensors["c"].tolist() == [1, 2]
    assert names(weights.parent) == ["w.safetensors"]


@pytest.mark.parametrize("kept", [0, 4, 60, -1])
def test_damaged_weights_are_refused_by_name(weights, kept):
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"w\.safetensors is damaged or was not written by boed"):
        load_weights(weights)


def test_missing_and_foreign_weights_are_refused(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(ValueError, match=r"absent\.safetensors does not exist"):
        load_weights(tmp_path / "absent.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match=r"foreign\.safetensors .*not written by boed"):
        load_weights(tmp_path / "foreign.safetensors")


def test_the_folder_of_a_model_stands_for_its_weights(tmp_path):
    with pytest.raises(ValueError, match=r"weights\.safetensors does not exist"):
        load_weights(tmp_path)
    save_weights(tmp_path / "weights.safetensors", {"a": torch.ones(1)}, {"kind": "line"})
    assert load_weights(tmp_path, "line")[1] == {"kind": "line"}


def linear(header, tensors):
    return torch.nn.Linear(header["inputs"], len(tensors["bias"]))


def test_a_model_comes_back_in_evaluation_mode_with_its_header(tmp_path):
    path, trained = tmp_path / "w.safetensors", torch.nn.Linear(2, 3)
    save_weights(path, trained.state_dict(), {"kind": "line", "inputs": 2})
    model = read_model(path, linear, "curve", "line")
    assert torch.equal(model.weight, trained.weight)
    assert (model.training, model.provenance) == (False, {"kind": "line", "inputs": 2})


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"kind": "arc", "inputs": 2}, r"w\.safetensors holds 'arc', expected 'curve' or 'line'"),
        ({"kind": "line"}, r"w\.safetensors does not fit its configuration: 'inputs'"),
        ({"kind": "line", "inputs": 5}, r"does not fit its configuration: .*size mismatch"),
        ({"kind": "line", "inputs": "a"}, "does not fit its configuration"),
    ],
)
def test_a_model_that_is_not_what_its_file_says_is_refused(tmp_path, header, words):
    path = tmp_path / "w.safetensors"
    save_weights(path, torch.nn.Linear(2, 3).state_dict(), header)
    with pytest.raises(ValueError, match=f"(?s){words}"):
        read_model(path, linear, "curve", "line")
