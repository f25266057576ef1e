"""Beliefs: shapes, calibration by what was seen, checkpoints."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from boed.classifiers import Classifier, DenseNetClassifier, DenseNetConfig
from boed.classifiers.calibration import cross_entropy
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.files import load_weights, save_weights


def observed(size=8, batch=6, channels=1):
    generator = torch.Generator().manual_seed(0)
    scene = torch.rand(batch, channels, size, size, generator=generator)
    mask = squares(
        batch, size, 0.25, counts=torch.arange(batch), overhang=False, generator=generator
    )
    return Observation.of(scene, mask)


def test_all_of_a_reconstruction_counts(tiny):
    """A line of k-space, which the mask shows, changes the picture everywhere."""
    seen = observed()
    model = with_temperatures(tiny, [0.0, 1.0], [1.0, 1.0])
    taken = torch.ones(len(seen), 3)
    values = torch.rand(seen.values.shape, generator=torch.Generator().manual_seed(1))
    read = Observation(values, seen.mask, readings=taken, taken=taken)
    hidden = torch.where(seen.mask > 0, values, torch.tensor(0.7))
    moved = Observation(hidden, seen.mask, readings=taken, taken=taken)
    assert not torch.allclose(model.log_probs(read), model.log_probs(moved), atol=1e-4)
    nothing = Observation(values, seen.mask, readings=0 * taken, taken=0 * taken)
    other = Observation(hidden, seen.mask, readings=0 * taken, taken=0 * taken)
    assert torch.equal(model.log_probs(nothing), model.log_probs(other))


def with_temperatures(config, knots, temperatures):
    torch.manual_seed(0)
    model = DenseNetClassifier(config, ("a", "b")).eval()
    model.knots, model.temperatures = torch.tensor(knots), torch.tensor(temperatures)
    return model


def test_single_label_beliefs(tiny):
    model = DenseNetClassifier(replace(tiny, outputs=3), ("a", "b", "c")).eval()
    log_probs = model.log_probs(observed())
    assert log_probs.shape == (6, 3)
    assert torch.allclose(log_probs.exp().sum(-1), torch.ones(6))
    assert not log_probs.requires_grad


def test_multi_label_beliefs(tiny):
    model = DenseNetClassifier(replace(tiny, outputs=6), ("a", "b", "c"), multi_label=True).eval()
    log_probs = model.log_probs(observed())
    assert log_probs.shape == (6, 3, 2)
    assert torch.allclose(log_probs.exp().sum(-1), torch.ones(6, 3))
    logits = model.logits(observed())
    assert torch.allclose(log_probs, F.log_softmax(logits, -1), atol=1e-6)


def test_hidden_pixels_do_not_matter(tiny):
    model = DenseNetClassifier(tiny, ("a", "b")).eval()
    observation = observed()
    hidden = torch.where(observation.mask > 0, observation.values, torch.tensor(0.7))
    expected = model.log_probs(observation)
    assert torch.equal(model.log_probs(Observation(hidden, observation.mask)), expected)


def test_temperature_is_linear_between_the_knots(tiny):
    model = with_temperatures(tiny, [0.0, 0.25, 1.0], [4.0, 2.0, 1.0])
    fraction = torch.tensor([0.0, 0.125, 0.25, 0.625, 1.0])
    assert torch.allclose(model.temperature(fraction), torch.tensor([4.0, 3.0, 2.0, 1.5, 1.0]))
    beyond = with_temperatures(tiny, [0.2, 0.5], [3.0, 2.0]).temperature(torch.tensor([0.0, 1.0]))
    assert torch.allclose(beyond, torch.tensor([3.0, 2.0]))


def test_knots_of_a_look_that_shows_everything(tiny):
    model = with_temperatures(tiny, [0.0, 1.0, 1.0], [4.0, 2.0, 1.0])
    assert model.temperature(torch.tensor([0.0, 0.5, 1.0])).tolist() == [4, 3, 2]


def test_logits_are_divided_by_the_temperature(tiny):
    model = with_temperatures(tiny, [0.0, 1.0], [3.0, 1.0])
    observation = observed()
    logits = model.logits(observation)
    temperature = 3 - 2 * observation.fraction_seen
    expected = F.log_softmax(logits / temperature[:, None], -1)
    assert torch.allclose(model.log_probs(observation), expected, atol=1e-6)


def test_cross_entropy_averages_over_findings():
    log_probs = torch.log(torch.tensor([[[0.9, 0.1], [0.4, 0.6]]]))
    loss = cross_entropy(log_probs, torch.tensor([[0, 0]]))
    expected = -torch.log(torch.tensor([0.9, 0.4])).mean()
    assert torch.allclose(loss, expected[None])
    single = cross_entropy(log_probs[:, 0], torch.tensor([1]))
    assert torch.allclose(single, -torch.log(torch.tensor([0.1])))


def test_a_saved_model_believes_the_same(trained):
    model, path = trained
    again = DenseNetClassifier.load(path)
    assert again.label_names == ("left", "right")
    assert again.provenance["data"]["name"] == "halves"
    assert torch.equal(again.knots, model.knots)
    assert torch.equal(again.temperatures, model.temperatures)
    assert (again.log_probs(observed()) - model.log_probs(observed())).abs().max() < 1e-5
    assert not any(p.requires_grad for p in again.parameters())
    assert not any("norm" in name for name in again.state_dict())  # folded


def test_a_loaded_model_can_be_saved_again(trained, tmp_path):
    once = DenseNetClassifier.load(trained[1])
    once.save(tmp_path / "again.safetensors", {})
    twice = DenseNetClassifier.load(tmp_path / "again.safetensors")
    assert torch.equal(twice.log_probs(observed()), once.log_probs(observed()))


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("densenet121", "features.conv0"),
        ("resnet18", "features.0.conv"),
        ("mlp", "features.1"),
    ],
)
@pytest.mark.parametrize("multi_label", [False, True])
def test_other_kinds_end_to_end(tmp_path, multi_label, kind, first):
    torch.manual_seed(0)
    config = DenseNetConfig(size=32, channels=1, outputs=4, kind=kind, width=8, mean=0.4)
    names = ("a", "b") if multi_label else ("a", "b", "c", "d")
    model = DenseNetClassifier(config, names, multi_label)
    observation = observed(32, 2)
    loss = model.logits(observation).square().mean()
    loss.backward()
    assert model.network.get_submodule(first).weight.grad.abs().sum() > 0
    model.eval().save(tmp_path / "other.safetensors", {"note": "x"})
    again = DenseNetClassifier.load(tmp_path / "other.safetensors")
    assert again.config == config
    assert again.provenance["note"] == "x"
    log_probs = again.log_probs(observation)
    assert log_probs.shape == ((2, 2, 2) if multi_label else (2, 4))
    assert (log_probs - model.log_probs(observation)).abs().max() < 1e-4


def test_protocol(tiny):
    assert isinstance(DenseNetClassifier(tiny, ("a", "b")), Classifier)

    class Own:
        def log_probs(self, observation):
            return torch.zeros(len(observation), 2)

    assert isinstance(Own(), Classifier)
    assert not isinstance(torch.nn.Identity(), Classifier)


def test_wrong_inputs(tiny):
    model = DenseNetClassifier(tiny, ("a", "b")).eval()
    for wrong in (
        Observation.nothing(1, 1, 16),
        Observation.nothing(1, 3, 8),
        Observation(torch.zeros(1, 1, 16, 8), torch.zeros(1, 1, 16, 8)),
    ):
        with pytest.raises(ValueError, match="classifier is for 1 channels of 8 pixels"):
            model.log_probs(wrong)
    with pytest.raises(ValueError, match="outputs is 2, expected 3 for the labels"):
        DenseNetClassifier(tiny, ("a", "b", "c"))
    with pytest.raises(ValueError, match="outputs is 2, expected 4 for the labels"):
        DenseNetClassifier(tiny, ("a", "b"), multi_label=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "aipo"}, "holds 'aipo', expected 'densenet classifier'"),
        ({"config": None}, "does not fit its configuration"),
        ({"config": {"size": 8}}, "does not fit its configuration"),
        ({"label_names": ["only"]}, "does not fit its configuration: outputs is 2, expected 1"),
        ({"multi_label": True}, "does not fit its configuration: outputs is 2, expected 4"),
        ({"width": 16}, "does not fit its configuration"),
        ({"growth": 3}, "does not fit its configuration"),
        ({"colour": 1}, "does not fit its configuration"),
    ],
)
def test_wrong_checkpoints(trained, tmp_path, change, message):
    tensors, header = load_weights(trained[1])
    if set(change) & {"width", "growth", "colour"}:
        header["config"] |= change
    else:
        header |= change
    path = tmp_path / "wrong.safetensors"
    save_weights(path, tensors, header)
    with pytest.raises(ValueError, match=rf"checkpoint .*wrong\.safetensors {message}"):
        DenseNetClassifier.load(path)


@pytest.mark.parametrize("missing", ["knots", "network.output.bias"])
def test_checkpoints_that_lack_a_tensor(trained, tmp_path, missing):
    tensors, header = load_weights(trained[1])
    del tensors[missing]
    path = tmp_path / "less.safetensors"
    save_weights(path, tensors, header)
    with pytest.raises(ValueError, match=r"less\.safetensors does not fit its configuration"):
        DenseNetClassifier.load(path)
