"""Pickled networks are read as arrays, and nothing that a file names is run."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from boed.classifiers.torchxrayvision import pickled_network
from boed.classifiers.torchxrayvision.pickled_network import read_network
from boed.foundation.torchvision_compat import torchxrayvision


class Calls:
    """Pickled as the call of a function."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def small():
    models = torchxrayvision().models
    network = models.DenseNet(
        growth_rate=2, block_config=(1, 1, 1, 1), num_init_features=4, bn_size=1, num_classes=3
    )
    return network.eval()


def save(thing, path, legacy):
    torch.save(thing, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("old", [True, False])
def test_both_formats_hold_the_state(tmp_path, legacy, old):
    network = small()
    if old:  # as modules were before torch 1.4
        from torch.nn.backends.thnn import _get_thnn_function_backend

        for module in network.modules():
            module.__dict__["_backend"] = Calls(_get_thnn_function_backend)
            del module.__dict__["_non_persistent_buffers_set"]
        state = small().state_dict().keys()
    else:
        state = network.state_dict().keys()
    parts = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    read = read_network(save(network, tmp_path / "n.pt", legacy))
    assert read.keys() == state
    for name, each in read.items():
        assert np.array_equal(each, parts[name].detach().numpy())


def payloads(marker):
    text = f"open({str(marker)!r}, 'w')"
    return {
        "os.system": Calls(os.system, f"touch {marker}"),
        "eval": Calls(eval, text),
        "exec": Calls(exec, text),
        "open": Calls(open, str(marker), "w"),
        "subprocess": Calls(subprocess.check_call, ["touch", str(marker)]),
        "import": Calls(importlib.import_module, "this"),
        "getattr": Calls(getattr, dict, "get"),
        "torch.save": Calls(torch.save, 0, str(marker)),
        "numpy": Calls(np.save, str(marker), 0),
        "pickle": Calls(pickle.loads, pickle.dumps(Calls(os.system, f"touch {marker}"))),
    }


@pytest.mark.parametrize("name", payloads("marker"))
@pytest.mark.parametrize("where", ["whole", "attribute", "buffer"])
@pytest.mark.parametrize("legacy", [True, False])
def test_what_it_calls_is_refused_and_not_run(tmp_path, legacy, where, name):
    marker = tmp_path / "ran"
    thing = network = payloads(marker)[name]
    if where != "whole":
        network = small()
        holder = network.__dict__ if where == "attribute" else network._buffers
        holder["thing"] = thing
    with pytest.raises(ValueError, match=r"names .*, which no DenseNet is made of") as error:
        read_network(save(network, tmp_path / "n.pt", legacy))
    assert "nothing of it was run" in str(error.value)
    assert not marker.exists()
    assert "this" not in sys.modules


RAW = {
    "global, protocol 0": b"cos\nsystem\n(S'touch MARKER'\ntR.",
    "instance": b"(S'touch MARKER'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'touch MARKER'\no.",
    "stacked global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch MARKER\x85R.",
    "dotted": b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.fromkeys\x93.",
    "extension": b"\x80\x02\x82\x01.",
    "persistent": b"\x80\x02cos\nsystem\nQ.",
    "a type of storage": b"\x80\x02(X\x07\x00\x00\x00storageK\x01X\x01\x00\x00\x000NK\x01tQ.",
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", RAW)
def test_opcodes_of_other_kinds_are_refused(tmp_path, monkeypatch, name, zipped):
    monkeypatch.chdir(tmp_path)
    raw, path = RAW[name], tmp_path / "n.pt"
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("n/data.pkl", raw)
    else:
        path.write_bytes(raw)
    with pytest.raises(ValueError, match="nothing of it was run"):
        read_network(path)
    assert not (tmp_path / "MARKER").exists()


def test_an_ordinary_reader_would_have_run_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(RAW["global, protocol 0"])
    assert (tmp_path / "MARKER").exists()


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("kept", [0, 1, 100, 5000, -4, -10_000])
def test_a_part_of_a_file_is_refused(tmp_path, legacy, kept):
    path = save(small(), tmp_path / "n.pt", legacy)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="no pickled DenseNet"):
        read_network(path)


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("thing", [{}, [1], None, torch.zeros(3), {"features": torch.ones(2)}])
def test_other_things_are_refused(tmp_path, legacy, thing):
    with pytest.raises(ValueError, match="no pickled DenseNet"):
        read_network(save(thing, tmp_path / "n.pt", legacy))


def test_transposed_weights_are_refused(tmp_path):
    network = small()
    network.classifier.weight = torch.nn.Parameter(network.classifier.weight.detach().T)
    with pytest.raises(ValueError, match="has strides"):
        read_network(save(network, tmp_path / "n.pt", False))


@pytest.mark.parametrize(
    ("offset", "shape"),
    [(-1, (2,)), (0, (9,)), (3, (2,)), (0, (-2,)), (0, (-1, -2)), (10**9, (1,))],
)
def test_a_tensor_out_of_its_storage_is_refused(offset, shape):
    storage = pickled_network._Storage("0", "<f4", 4)
    strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    tensor = pickled_network._Tensor(storage, offset, shape, strides)
    with pytest.raises(ValueError, match="numbers begins at"):
        pickled_network._array(tensor, {"0": np.zeros(4, "<f4")})


def test_a_network_that_holds_itself_is_refused(tmp_path):
    network = torch.nn.Sequential()
    network._modules["again"] = network
    with pytest.raises(ValueError, match="no pickled DenseNet"):
        read_network(save(network, tmp_path / "n.pt", False))


def test_all_that_names_stand_for_is_inert():
    assert all(
        value in (set, pickled_network.OrderedDict)
        or isinstance(value, str)
        or value.__module__ == pickled_network.__name__
        for value in pickled_network.INERT.values()
    )
