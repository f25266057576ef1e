"""Training may start from a trained classifier of another size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from boed.classifiers import DenseNetClassifier
from boed.classifiers.training import start_from, train_classifier
from boed.data.dataset import Dataset
from boed.foundation.files import load_weights, sha256
from boed.training.config import ClassifierTrainingConfig

LABELS = ("left", "right")


def saved(config, path, labels=LABELS):
    model = DenseNetClassifier(config, labels)
    with torch.no_grad():
        for buffer in model.network.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    model.temperatures.fill_(3.0)
    model.save(path, {"steps": 7, "data": {"name": "halves"}, "command": "boed train classifier"})
    return model


@pytest.mark.parametrize(("kind", "size", "other"), [("small", 8, 16), ("densenet121", 32, 64)])
def test_weights_and_statistics_are_taken_over(tiny, tmp_path, kind, size, other):
    path = tmp_path / "small.safetensors"
    trained = saved(replace(tiny, kind=kind, size=size), path)
    model = DenseNetClassifier(replace(tiny, kind=kind, size=other), LABELS)
    origin = start_from(model, path)
    assert origin == {
        "steps": 7, "data": {"name": "halves"}, "command": "boed train classifier", "size": size,
        "sha256": sha256(path),
    }  # fmt: skip
    expected = trained.network.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in model.network.state_dict().items())
    assert torch.equal(model.temperatures, torch.ones(2))  # calibration is not taken over


@pytest.mark.parametrize(
    ("changes", "labels", "message"),
    [
        ({"kind": "densenet121", "size": 32}, LABELS, "kind densenet121, the model to train small"),
        ({"channels": 3}, LABELS, "channels 3, the model to train 1"),
        ({"outputs": 3}, ("a", "b", "c"), "outputs 3, the model to train 2"),
        ({}, ("ill", "well"), r"labels \('ill', 'well'\), the model to train \('left', 'right'\)"),
        ({"width": 12}, LABELS, "other layers than the model to train: features.0.conv.weight is"),
        ({"layers": (1, 2)}, LABELS, "other layers than the model to train: features"),
    ],
)
def test_another_network_is_refused(tiny, tmp_path, changes, labels, message):
    path = tmp_path / "other.safetensors"
    saved(replace(tiny, **changes), path, labels)
    model = DenseNetClassifier(tiny, LABELS)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        start_from(model, path)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_folded_network_is_refused(tiny, tmp_path):
    path, folded = tmp_path / "as_trained.safetensors", tmp_path / "folded.safetensors"
    saved(tiny, path)
    DenseNetClassifier.load(path).save(folded, {})
    with pytest.raises(ValueError, match="norms folded into its convolutions and cannot be train"):
        start_from(DenseNetClassifier(tiny, LABELS), folded)


def test_a_network_without_norms_is_as_it_was_written(tiny, tmp_path):
    path = tmp_path / "flat.safetensors"
    flat = replace(tiny, kind="mlp", width=8, layers=(2,))
    begun = saved(flat, path)
    model = DenseNetClassifier(flat, LABELS)
    start_from(model, path)
    assert all(map(torch.equal, model.parameters(), begun.parameters()))


def test_training_goes_on_from_it(train, val, trained, tiny, tmp_path):
    """One update from a trained network stays near it, on images twice as large."""

    def doubled(dataset):
        images = dataset.images.repeat_interleave(2, -1).repeat_interleave(2, -2)
        return Dataset(
            name="twice",
            split=dataset.split,
            images=images,
            labels=dataset.labels,
            label_names=dataset.label_names,
        )

    out, settings = tmp_path / "m.safetensors", ClassifierTrainingConfig(steps=1, batch=16, lr=1e-6)
    config = replace(tiny, size=16)
    train_classifier(
        doubled(train), doubled(val), settings, out=out, config=config, init=trained[1]
    )
    weights, header = load_weights(out)
    begun, before = load_weights(trained[1])
    assert header["init"] == {
        "data": before["data"], "steps": 200, "command": None, "size": 8,
        "sha256": sha256(trained[1]),
    }  # fmt: skip
    for name, value in weights.items():
        if name.endswith("weight"):
            assert torch.allclose(value, begun[name], atol=1e-4)
