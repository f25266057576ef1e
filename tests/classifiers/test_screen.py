"""The network of a screen: its shapes, what it refuses, its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from boed.classifiers import DenseNetClassifier, DenseNetConfig, ScreenConfig, ScreenNet
from boed.classifiers.trained import checksum
from boed.data.observation import Observation
from boed.foundation.files import load_weights, save_weights

ENCODER = DenseNetConfig(
    size=16, channels=1, outputs=3, stem=2, width=8, growth=(8, 8), layers=(1, 1)
)
COLOUR = DenseNetConfig(
    size=32, channels=3, outputs=3, stem=4, width=8, growth=(8,), layers=(2,), mean=0.3
)
CONFIGS = {
    "classes": ScreenConfig(encoder=ENCODER, answers=3, width=16),
    "findings": ScreenConfig(encoder=ENCODER, answers=2, findings=3, width=16),
    "colour": ScreenConfig(encoder=COLOUR, answers=3, patch=0.3, width=16),
}


def screen(config: ScreenConfig, classifier: str = "a") -> ScreenNet:
    """A network whose guesses are anything."""
    torch.manual_seed(0)
    model = ScreenNet(config, classifier)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval().requires_grad_(False)


def shown(config: ScreenConfig, batch: int = 2, looks: int = 5) -> tuple[Any, ...]:
    """Random arguments of `log_beliefs`."""
    draw = torch.Generator().manual_seed(1)
    size = config.encoder.size
    scenes = torch.rand(batch, config.encoder.channels, size, size, generator=draw)
    mask = (torch.rand(batch, 1, size, size, generator=draw) < 0.3).float()
    question = (config.findings, config.answers) if config.findings else (config.answers,)
    beliefs = torch.randn(2, batch, *question, generator=draw).log_softmax(-1)
    corners = torch.randint(0, size * 7 // 10 + 1, (batch, looks, 2), generator=draw).float()
    return Observation.of(scenes, mask), scenes, beliefs[0], beliefs[1], corners


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_guesses_are_log_probabilities_of_the_right_shape(config: ScreenConfig) -> None:
    model, given = screen(config), shown(config)
    guessed = model.log_beliefs(*given[:3], answer=given[3], corners=given[4])
    assert guessed.shape == (2, 5, *given[2].shape[1:])
    assert torch.allclose(guessed.exp().sum(-1), torch.ones(()), atol=1e-5)
    assert guessed.std(1).max() > 1e-3  # looks differ
    assert torch.equal(model.log_beliefs(*given[:3], answer=given[3], corners=given[4]), guessed)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_untrained_no_look_changes_anything(config: ScreenConfig) -> None:
    given = shown(config)
    guessed = ScreenNet(config, "a").log_beliefs(*given[:3], answer=given[3], corners=given[4])
    assert torch.allclose(guessed, given[2][:, None].expand_as(guessed), atol=1e-5)


def test_rows_and_looks_do_not_influence_each_other() -> None:
    config = CONFIGS["classes"]
    model, (seen, scenes, belief, answer, corners) = screen(config), shown(config)
    guessed = model.log_beliefs(seen, scenes, belief, answer=answer, corners=corners)
    alone = model.log_beliefs(
        seen[1:], scenes[1:], belief[1:], answer=answer[1:], corners=corners[1:, 2:3]
    )
    assert torch.allclose(alone[0, 0], guessed[1, 2], atol=1e-5)


def test_each_thing_that_is_shown_counts() -> None:
    config = CONFIGS["classes"]
    model, (seen, scenes, belief, answer, corners) = screen(config), shown(config)
    guessed = model.log_beliefs(seen, scenes, belief, answer=answer, corners=corners)
    blank = Observation.nothing(2, 1, 16)
    for other in (
        (blank, scenes, belief, answer, corners),
        (seen, 1 - scenes, belief, answer, corners),
        (seen, scenes, belief.flip(1), answer, corners),
        (seen, scenes, belief, answer.flip(1), corners),
    ):
        assert (
            model.log_beliefs(*other[:3], answer=other[3], corners=other[4]) - guessed
        ).abs().max() > 1e-3


def test_certainty_is_finite() -> None:
    config = CONFIGS["classes"]
    model, (seen, scenes, _, _, corners) = screen(config), shown(config)
    certain = torch.eye(3)[:2].log()
    assert (
        model.log_beliefs(seen, scenes, certain, answer=certain, corners=corners).isfinite().all()
    )


def test_looks_may_be_the_same_for_all() -> None:
    config = CONFIGS["classes"]
    model, (seen, scenes, belief, answer, corners) = screen(config), shown(config)
    one = corners[:1]
    guessed = model.log_beliefs(seen, scenes, belief, answer=answer, corners=one)
    each = model.log_beliefs(seen, scenes, belief, answer=answer, corners=one.expand(2, -1, -1))
    assert torch.allclose(guessed, each, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_look_is_read_at_its_centre_and_over_its_footprint(config: ScreenConfig) -> None:
    """From maps at full resolution: the row of each pixel, and what is under the patch."""
    size, side = config.encoder.size, round(config.patch * config.encoder.size)
    corners = torch.tensor([[[0, 0], [3, 5], [size - side, 1], [2, size - side]]]).float()
    middles = torch.arange(size) + 0.5  # of the pixels
    row = middles[:, None].expand(size, size)[None, None]
    nothing, model = torch.zeros(1, 1, size, size), screen(config)
    expected = corners[0, :, 0] + side / 2
    assert torch.allclose(model._read(row, nothing, corners)[0, :, 0], expected, atol=1e-3)
    assert torch.allclose(model._read(nothing, row, corners)[0, :, 0], expected, atol=1e-3)
    bright = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    found = model._read(nothing, bright, corners)[0, :, 0]
    for (top, left), value in zip(corners[0].long().tolist(), found, strict=True):
        under = bright[0, 0, top : top + side, left : left + side].mean()
        assert value == pytest.approx(float(under), abs=1e-5)
    coarse = torch.nn.functional.avg_pool2d(bright, 4)
    repeated = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)
    cells = model._read(torch.zeros_like(coarse), coarse, corners)
    assert torch.allclose(cells, model._read(nothing, repeated, corners), atol=1e-5)


def test_a_file_brings_it_back(tmp_path: Path) -> None:
    config = CONFIGS["findings"]
    model, given = screen(config, "abc"), shown(config)
    model.save(tmp_path / "screen.safetensors", {"note": "x"})
    again = ScreenNet.load(tmp_path / "screen.safetensors")
    assert again.config == config
    assert again.classifier == "abc"
    assert again.provenance["note"] == "x"
    assert not any(parameter.requires_grad for parameter in again.parameters())
    assert torch.allclose(
        again.log_beliefs(*given[:3], answer=given[3], corners=given[4]),
        model.log_beliefs(*given[:3], answer=given[3], corners=given[4]),
        atol=1e-2,
    )
    assert torch.equal(again.output.weight, model.output.weight.half().float())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "aipo"}, "holds 'aipo', expected 'screen'"),
        ({"width": 8}, "does not fit its configuration"),
        ({"depth": 8}, "does not fit its configuration"),
        ({"encoder": {"size": 16}}, "does not fit its configuration"),
        ({"encoder": None}, "does not fit its configuration"),
        ({"config": None}, "does not fit its configuration"),
    ],
)
def test_wrong_checkpoints(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "wrong.safetensors"
    screen(CONFIGS["classes"]).save(path, {})
    tensors, header = load_weights(path)
    if "kind" not in change and "config" not in change:
        change = {"config": header["config"] | change}
    save_weights(path, tensors, header | change)
    with pytest.raises(ValueError, match=rf"wrong\.safetensors {message}"):
        ScreenNet.load(path)


@pytest.mark.parametrize(
    ("which", "other", "message"),
    [
        (0, Observation.nothing(2, 1, 8), "observation is .2, 1, 8, 8."),
        (1, torch.zeros(2, 3, 16, 16), "completion is .2, 3, 16, 16."),
        (2, torch.zeros(2, 4), "belief is .2, 4., expected .2, 3."),
        (3, torch.zeros(1, 3), "answer is .1, 3., expected .2, 3."),
    ],
)
def test_wrong_inputs(which: int, other: Observation | Tensor, message: str) -> None:
    config = CONFIGS["classes"]
    given = list(shown(config))
    given[which] = other
    with pytest.raises(ValueError, match=message):
        screen(config).log_beliefs(*given[:3], answer=given[3], corners=given[4])


def classifier(seed: int) -> DenseNetClassifier:
    torch.manual_seed(seed)
    config = DenseNetConfig(size=16, channels=1, outputs=3, width=8, growth=(8,), layers=(1,))
    return DenseNetClassifier(config, ("a", "b", "c")).eval()


def test_a_fingerprint_survives_folding_and_saving_and_tells_classifiers_apart(
    tmp_path: Path,
) -> None:
    model = classifier(0)
    found = checksum(model)
    model.save(tmp_path / "classifier.safetensors", {})
    assert checksum(DenseNetClassifier.load(tmp_path / "classifier.safetensors")) == found
    assert checksum(classifier(1)) != found
    model.temperatures = torch.tensor([1.0, 2.0])  # its beliefs are others then
    assert checksum(model) != found
    with pytest.raises(ValueError, match="classifier is object, expected one that `boed train"):
        checksum(object())  # type: ignore[arg-type]


def test_a_screen_is_for_one_classifier_and_one_patch() -> None:
    model = screen(CONFIGS["classes"], checksum(classifier(0)))
    model.check(classifier(0), 0.25)
    model.check(classifier(0), 0.26)  # the same 4 pixels
    with pytest.raises(ValueError, match=r"distilled from the classifier .* not from this one"):
        model.check(classifier(1), 0.25)
    with pytest.raises(ValueError, match="trained for looks of 4 x 4 pixels, not of 8 x 8"):
        model.check(classifier(0), 0.5)
