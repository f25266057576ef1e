"""Completers from observations alone: nothing of a hidden pixel reaches them, by any way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from boed.completion.flow.matching import FlowConfig
from boed.completion.registry import LEARNED
from boed.completion.sources import part_of, val_parts
from boed.completion.training import standardised_for, train_completer
from boed.completion.unsupervised.misgan import MisGANConfig
from boed.completion.unsupervised.model import UnsupervisedConfig
from boed.completion.vae.vaeac import VAEACConfig
from boed.data.incomplete import Incomplete
from boed.data.observation import Observation
from boed.foundation.files import load_weights
from boed.training.config import TrainingConfig
from boed.training.recipes import Recipe
from boed.zoo import train_recipe
from boed.zoo.kit.judging import _FIGURES

SHORT = TrainingConfig(steps=3, batch=4, warmup=1, every=3, precision="fp32")
ABLE = [name for name in LEARNED if "observations" in LEARNED[name].learns_from]
TINY = {
    "flow": FlowConfig(size=8, channels=1, stem=2, widths=(8,), steps=1),
    "vaeac": VAEACConfig(
        size=8, channels=1, widths=(8, 8), blocks=1, latent=4, stem=2, components=2
    ),
}
TINY["unsup"] = UnsupervisedConfig(
    size=8, channels=1, stem=2, widths=(8,), latent=2, critic=8, most=8
)
TINY["misgan"] = MisGANConfig(
    size=8, channels=1, stem=2, widths=(8,), latent=2, critic=8, most=8, scene_latent=4,
    critic_steps=1,
)  # fmt: skip
HIDDEN = {"nan": torch.nan, "beyond": 7.0, "noise": None}


def observed(split: str, hidden: float | None = 0.0, n: int = 24) -> Incomplete:
    """Two levels of grey, half of the pixels hidden, which are whatever is asked for."""
    generator = torch.Generator().manual_seed(len(split))
    images = (torch.rand(n, 1, 1, 1, generator=generator).round() * 0.6 + 0.2).expand(n, 1, 8, 8)
    masks = torch.rand(n, 1, 8, 8, generator=generator).round()
    wrong = torch.rand(images.shape) if hidden is None else torch.full(images.shape, hidden)
    return Incomplete(
        name="greys", split=split, images=torch.where(masks == 1, images, wrong), masks=masks
    )


def tiny(name: str, seed: int = 0):
    torch.manual_seed(seed)
    return LEARNED[name].of(standardised_for(TINY[name], observed("train")))


def everything(directory):
    """All that a training leaves: weights and headers, curves but for seconds, pictures."""
    left = {}
    for path in sorted(directory.iterdir()):
        if path.suffix == ".safetensors":
            weights, header = load_weights(path)
            left |= {f"{path.name}: {key}": each.numpy().tobytes() for key, each in weights.items()}
            left[path.name] = {k: v for k, v in header.items() if "seconds" not in k}
        elif path.suffix != ".csv":
            left[path.name] = path.read_bytes()
    return left


def test_those_that_can_are_known():
    assert {"flow", "misgan", "unsup", "vaeac"} <= set(ABLE) == TINY.keys()


@pytest.mark.parametrize("name", ABLE)
def test_whatever_is_hidden_the_training_is_the_same_to_the_bit(name, tmp_path):
    """Weights, their best, statistics, figures on val, samples: all that is written."""
    left = []
    for kind, value in HIDDEN.items():
        folder = tmp_path / kind
        folder.mkdir()
        train, val = observed("train", value), observed("val", value)
        out = folder / "m.safetensors"
        train_completer(name, train, val, training=SHORT, out=out, config=TINY[name])
        left.append(everything(folder))
    first = left[0]
    assert "m.samples.png" in first
    assert first["m.safetensors"]["masks"] == "those of the images"
    assert first["m.safetensors"]["recipe"]["learns_from"] == "observations"
    assert all(np.isfinite(list(row.values())).all() for row in first["m.safetensors"]["history"])
    for other in left[1:]:
        assert other.keys() == first.keys()
        assert [key for key in first if other[key] != first[key]] == []


@pytest.mark.parametrize("name", ABLE)
def test_statistics_are_of_seen_pixels(name, tmp_path):
    config = standardised_for(TINY[name], observed("train"))
    data = observed("train")
    values = data.images[data.masks == 1]
    assert (config.mean, config.std) == pytest.approx(
        (float(values.mean()), float(values.std())), abs=1e-5
    )
    assert config.mean > 0.3  # hidden pixels are 0


@pytest.mark.parametrize("name", [each for each in ABLE if each not in ("misgan", "unsup")])
def test_of_whole_scenes_it_is_the_usual_loss(name):
    model, scenes = tiny(name), torch.rand(6, 1, 8, 8)
    whole = Observation.everything(scenes)
    shown = part_of(whole)
    losses, figures = [], [model.figures(scenes, shown), model.partial_figures(whole, shown)]
    for loss, given in ((model.loss, scenes), (model.partial_loss, whole)):
        torch.manual_seed(0)
        losses.append(float(loss(given, shown).detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert figures[0] == pytest.approx(figures[1], rel=1e-6)


@pytest.mark.parametrize("name", ABLE)
def test_pixels_that_were_not_measured_move_nothing(name):
    """Also where an observation holds something there: neither the loss nor a gradient looks."""
    model, (measured, shown) = tiny(name), val_parts(observed("val"))
    values = measured.values.clone().requires_grad_()
    model.take_turn(1)
    model.partial_loss(Observation(values, measured.mask), shown).backward()
    assert (values.grad[measured.mask == 0] == 0).all()
    assert (values.grad[(measured.mask == 1) & (shown.mask == 0)] != 0).any()


LONG = TrainingConfig(steps=400, batch=24, lr=1e-2, betas=(0.9, 0.99), warmup=20, ema=0.98,
                      every=400, clip=1.0, precision="fp32")  # fmt: skip
LEARNING = {
    "flow": (LONG, {"widths": (16,), "steps": 4}),
    "vaeac": (LONG, {}),
    "unsup": (
        replace(LONG, steps=600, lr=4e-3, betas=(0.0, 0.99), weight_decay=0.0, clip=200.0),
        {"widths": (16,), "critic": 16, "most": 16},
    ),
    "misgan": (
        replace(LONG, steps=900, lr=4e-3, betas=(0.5, 0.9), weight_decay=0.0, clip=200.0),
        {"widths": (16,), "critic": 16, "most": 16, "critic_steps": 2},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ABLE)
def test_it_learns_what_it_never_saw_whole(name, tmp_path):
    """Scenes of one grey, of which half was seen: what is hidden is of the same grey.

    The mean of all greys in its place is wrong by 0.09, squared; measured were 0.005 (flow), 0.001.
    """
    training, changes = LEARNING[name]
    data = observed("train", n=64), observed("val")
    model = train_completer(
        name, *data, training=training, out=tmp_path / "m.safetensors",
        config=replace(TINY[name], **changes),
    )  # fmt: skip
    measured = data[1].observation()
    grey = measured.values.amax((1, 2, 3), keepdim=True)
    error = (model.sample(measured, 4) - grey).square().mean() / (1 - measured.mask).mean()
    assert float(error) < 0.02


def test_what_is_shown_lies_within_what_was_measured():
    measured = observed("val", n=200).observation()
    shown = part_of(measured, torch.Generator().manual_seed(0))
    assert (shown.mask <= measured.mask).all()
    assert torch.equal(shown.values, measured.values * shown.mask)
    share = shown.mask.flatten(1).sum(1) / measured.mask.flatten(1).sum(1)
    assert (share == 0).sum() > 5
    assert (share == 1).sum() > 5
    assert 0.3 < float(share.mean()) < 0.7


def untouched(path):
    assert not list(path.iterdir())


@pytest.mark.parametrize("name", [each for each in LEARNED if each not in ABLE])
def test_a_completer_that_needs_whole_scenes_is_refused(name, tmp_path):
    said = (
        f"learns_from is 'observations', but {name} learns from scenes alone; those that can: "
        f"{', '.join(ABLE)}"
    )
    out = tmp_path / "m.safetensors"
    with pytest.raises(ValueError, match=said):
        train_completer(name, observed("train"), observed("val"), training=SHORT, out=out)
    with pytest.raises(ValueError, match=said):
        train_recipe(
            Recipe(kind="completer", name=name, data="digits", learns_from="observations"), out
        )
    untouched(tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"masks": "squares"},
            "masks is 'squares', but train is an Incomplete, greys, whose",
        ),
        ({"looking": lambda *_: None}, "looking is .* but train is an Incomplete, greys"),
        ({"config": FlowConfig(size=16, channels=1)}, "is for 1 channels of 16 pixels; greys has"),
        ({"config": FlowConfig(size=8, channels=3)}, "is for 3 channels of 8 pixels; greys has 1"),
    ],
)
def test_what_does_not_go_with_observations(given, said, tmp_path):
    out = tmp_path / "m.safetensors"
    given = {"config": TINY["flow"], **given}
    with pytest.raises(ValueError, match=said):
        train_completer(
            "flow", observed("train"), observed("val"), training=SHORT, out=out, **given
        )
    untouched(tmp_path)


@pytest.mark.parametrize("whole", ["train", "val"])
def test_train_and_val_are_of_one_kind(whole, train, val, tmp_path):
    data = {"train": observed("train"), "val": observed("val"), whole: train}
    with pytest.raises(ValueError, match="expected two of Dataset, or two of Incomplete"):
        train_completer("flow", **data, training=SHORT, out=tmp_path / "m.safetensors")


@pytest.mark.parametrize("name", ABLE)
def test_weights_that_know_whole_scenes_are_no_start(name, train, val, tmp_path):
    given = {"config": TINY[name], "training": replace(SHORT, steps=1)}
    whole, part = tmp_path / "whole.safetensors", tmp_path / "part.safetensors"
    data = observed("train"), observed("val")
    train_completer(name, train, val, out=whole, **given)
    train_completer(name, *data, out=part, **given)
    again = {**given, "out": tmp_path / "again.safetensors"}
    with pytest.raises(ValueError, match=f"init is {name} trained on whole scenes, which would"):
        train_completer(name, *data, init=LEARNED[name].load(whole), **again)
    with pytest.raises(ValueError, match=f"init is {name} trained on whole scenes"):
        train_completer(name, *data, init=tiny(name), **again)
    train_completer(name, *data, init=LEARNED[name].load(part), **again)


@pytest.fixture
def recipe(tmp_path):
    """Of a file of records with masks, or without them; each hidden pixel is 99."""

    def written(own_masks=True, **keys):
        rng = np.random.default_rng(0)
        arrays = {}
        for split in ("train", "val"):
            arrays[f"{split}_images"] = rng.integers(0, 256, (9, 8, 8), np.uint8)
            arrays[f"{split}_labels"] = np.arange(9) % 2
            if own_masks:
                arrays[f"{split}_masks"] = rng.integers(0, 2, (9, 8, 8), np.uint8)
        path = tmp_path / "records.npz"
        np.savez(path, **arrays)
        shape = {"stem": 2, "widths": [8], "steps": 1}
        return Recipe(
            kind="completer", name="flow", data=str(path), learns_from="observations",
            architecture=shape, training={"steps": 2, "batch": 4, "precision": "fp32"}, **keys,
        )  # fmt: skip

    return written


@pytest.mark.parametrize("own_masks", [True, False])
def test_a_recipe_trains_from_observations_and_again(own_masks, recipe, tmp_path):
    masks = None if own_masks else "patches:2:3"
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    train_recipe(recipe(own_masks, masks=masks), one)
    said = Recipe.read(one.with_suffix(".toml"))
    assert (said.learns_from, said.masks, said.size) == ("observations", masks, 8)
    assert load_weights(one)[1]["masks"] == (masks or "those of the images")
    train_recipe(one.with_suffix(".toml"), other)
    weights, again = load_weights(one)[0], load_weights(other)[0]
    assert all(torch.equal(weights[key], again[key]) for key in weights)
    train_recipe(one.with_suffix(".toml"), one)  # finished: nothing to do


@pytest.mark.parametrize("own_masks", [True, False])
def test_judging_looks_at_no_hidden_pixel_either(own_masks, recipe, tmp_path):
    """What `boed train install` compares is what the training's history has."""
    out = tmp_path / "m.safetensors"
    train_recipe(recipe(own_masks), out)
    header = load_weights(out)[1]
    figures = _FIGURES["completer"](Recipe.of(header["recipe"]), out, "cpu", None)
    assert figures["val_loss"] == pytest.approx(header["history"][-1]["val_loss"], rel=1e-2)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"learns_from": "observation"}, "learns_from is 'observation': did you mean 'observat"),
        (
            {"learns_from": "observations", "sensor": {"name": "patch"}},
            "sensor is for whole scenes",
        ),
        ({"learns_from": "observations", "kind": "vae", "name": None}, "learns_from is no key of"),
        ({"learns_from": 3}, "learns_from is 3, expected text"),
    ],
)
def test_recipes_that_make_no_sense(keys, said):
    table = {"kind": "completer", "name": "flow", "data": "digits", **keys}
    with pytest.raises(ValueError, match=said):
        Recipe.of({key: value for key, value in table.items() if value is not None})
