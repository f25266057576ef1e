"""Training completers end to end on the toy world; presets."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch

from boed.completion import AIPO, VDVAE
from boed.completion.sources import val_situations
from boed.completion.training import (
    standardised_for,
    train_completer,
    train_vae,
)
from boed.completion.vae import presets
from boed.data.dataset import Dataset
from boed.data.masks import MASKS, named, squares
from boed.data.observation import Observation
from boed.foundation.files import load_weights, save_weights
from boed.training.checkpoints import best_path
from boed.training.config import TrainingConfig
from boed.training.recipes import Recipe

SHORT = TrainingConfig(steps=6, batch=8, warmup=2, every=3)


def test_what_a_checkpoint_says_of_itself(brief, train):
    header = load_weights(brief[1])[1]
    assert header["kind"] == "aipo"
    assert header["objective"] == "aipo, from scratch"
    assert header["data"] == {
        "name": "halves",
        "split": "train",
        "images": 256,
        "sha256": train.sha256,
    }
    assert header["steps"] == header["fit"]["steps"] == 6
    assert [row["step"] for row in header["history"]] == [3, 6]
    assert header["scores"] == header["history"][-1]
    assert header["config"]["mean"] == pytest.approx(float(train.scenes().mean()), abs=1e-5)


@pytest.mark.slow
def test_the_history_tells_of_what_was_learned(trained):
    first, last = load_weights(trained[1])[1]["history"]
    assert last["val_bits_per_dim"] < first["val_bits_per_dim"] < 8
    assert 0 < last["val_rate_bits_per_dim"] < last["val_bits_per_dim"]


def test_a_finished_training_leaves_the_checkpoint_and_its_recipe(brief, train):
    model, out = brief
    left = {path.name.removeprefix("halves.") for path in out.parent.iterdir()}
    assert left - {"best.safetensors"} == {"safetensors", "toml", "curve.csv", "samples.png"}
    recipe = Recipe.read(out.with_suffix(".toml"))
    assert recipe == Recipe.read(out)
    assert (recipe.kind, recipe.name, recipe.data, recipe.size) == (
        "completer",
        "aipo",
        "halves",
        8,
    )
    assert recipe.training["steps"] == 6
    assert recipe.architecture["encoder"] == model.config.encoder


@pytest.mark.slow
def test_vae_then_aipo_on_top_of_it(train, val, config, tmp_path):
    vae = train_vae(train, val, config(), training=SHORT, out=tmp_path / "vae.safetensors")
    again = VDVAE.load(tmp_path / "vae.safetensors")
    assert isinstance(again, VDVAE)
    assert torch.equal(again.sample(2, seed=1), vae.sample(2, seed=1))
    out = tmp_path / "aipo.safetensors"
    model = train_completer("aipo", train, val, training=SHORT, out=out, vae=again)
    assert load_weights(out)[1]["objective"] == "aipo, pretrained VAE"
    for name, tensor in vae.state_dict().items():
        assert torch.equal(tensor, model.vae.state_dict()[name])
        assert torch.equal(tensor, AIPO.load(out).vae.state_dict()[name])


def test_interrupted_and_resumed_gives_the_same_checkpoint(train, val, config, tmp_path):
    def stop(step, loss):
        if step == 5:
            raise KeyboardInterrupt

    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train_completer("aipo", train, val, training=SHORT, out=whole, config=config())
    with pytest.raises(KeyboardInterrupt):
        train_completer(
            "aipo", train, val, training=SHORT, out=parts, config=config(), on_step=stop
        )
    assert not parts.exists()
    train_completer("aipo", train, val, training=SHORT, out=parts, config=config())
    (one, header), (other, header2) = load_weights(whole), load_weights(parts)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert header["history"] == header2["history"]


@pytest.mark.parametrize("kill", [None, 5])
def test_the_best_weights_are_a_checkpoint_beside_the_last(
    kill, train, val, config, tmp_path, monkeypatch
):
    drawn = []

    def figures(model, scene, observation):
        as_stored = copy.deepcopy(model).to(AIPO.stored).float()
        drawn.append(as_stored.draw(observation[:2], 2))
        return {"val_bits_per_dim": float(len(drawn))}

    def stop(step, loss):
        if step == kill:
            raise KeyboardInterrupt

    monkeypatch.setattr(AIPO, "figures", figures)
    out = tmp_path / "m.safetensors"
    run = partial(train_completer, "aipo", train, val, training=SHORT, out=out, config=config())
    if kill is None:
        run()
    else:
        with pytest.raises(KeyboardInterrupt):
            run(on_step=stop)
        run()
    best, header = AIPO.load(best_path(out)), load_weights(best_path(out))[1]
    assert (header["steps"], header["fit"]["steps"]) == (3, 6)
    assert header["best"] == header["scores"] == header["history"][-1]
    assert header["scores"]["val_bits_per_dim"] == 1.0
    assert load_weights(out)[1]["best"] == header["best"]
    observation = squares_seen(val)
    assert torch.allclose(best.draw(observation, 2), drawn[0], atol=1e-5)
    assert not torch.allclose(AIPO.load(out).draw(observation, 2), drawn[0], atol=1e-5)


def squares_seen(val):
    """What validation shows of the first two scenes."""
    mask = squares(len(val), 8, generator=torch.Generator().manual_seed(0))
    return Observation.of(val.scenes(), mask)[:2]


def train_aipo(*args, **kwargs):
    return train_completer("aipo", *args, **kwargs)


@pytest.mark.parametrize("what", [train_vae, train_aipo])
def test_a_training_is_not_gone_on_with_on_other_images(what, train, val, config, tmp_path):
    out = tmp_path / "m.safetensors"
    settings = replace(SHORT, minutes=1e-9)
    what(train, val, config=config(), training=settings, out=out)
    with pytest.raises(ValueError, match="holds another training: about: sha256"):
        what(train.subset(range(20)), val, config=config(), training=settings, out=out)


def test_another_seed_is_another_training(train, val, config, tmp_path):
    paths = [tmp_path / f"{seed}.safetensors" for seed in (0, 1)]
    for seed, path in enumerate(paths):
        train_vae(train, val, config(), training=replace(SHORT, steps=1, seed=seed), out=str(path))
    one, other = (VDVAE.load(path).gain for path in paths)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("masks", [*MASKS, "top:3", "patches:2:3"])
def test_what_is_seen_in_training_follows_the_masks(masks, val):
    scenes, observation = val_situations(val, masks)
    expected = named(masks)(len(scenes), 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(observation.mask, expected)
    assert torch.equal(observation.values, scenes * expected)


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ("top:8", "masks top:8: rows is 8, expected at most 7, for scenes of 8 x 8 pixels"),
        ("squares:0.01", r"masks squares:0.01: fraction 0.01 of 8 pixels is 0; expected 1\.\.8"),
        ("patches:1:9", "masks patches:1:9: side is 9, expected at most 8"),
        ("top:x", "masks top:x: rows is 'x', expected a whole number"),
        ("top:3:4", "masks top:3:4: has 2 arguments, expected at most 1"),
    ],
)
def test_masks_that_the_scenes_cannot_have_are_refused_before_any_work(
    masks, said, train, val, config, tmp_path, monkeypatch
):
    def work(*_):
        raise AssertionError("the model is made")

    monkeypatch.setattr("boed.completion.training.standardised_for", work)
    out = tmp_path / "m.safetensors"
    with pytest.raises(ValueError, match=said):
        train_completer("aipo", train, val, training=SHORT, out=out, config=config(), masks=masks)
    assert not list(tmp_path.iterdir())


def test_wrong_inputs(train, val, config, tmp_path):
    out = tmp_path / "x.safetensors"
    with pytest.raises(ValueError, match="size 8 has no preset"):
        train_completer("aipo", train, val, training=SHORT, out=out)
    with pytest.raises(ValueError, match="completer is 'aippo': did you mean 'aipo'"):
        train_completer("aippo", train, val, training=SHORT, out=out)
    with pytest.raises(ValueError, match="masks is 'hole': did you mean 'holes'"):
        train_completer("aipo", train, val, training=SHORT, out=out, config=config(), masks="hole")
    with pytest.raises(ValueError, match="vae is for aipo and aipo-r"):
        train_completer("flow", train, val, training=SHORT, out=out, vae=VDVAE(config()))
    with pytest.raises(ValueError, match=r"either config .* or vae"):
        train_completer(
            "aipo", train, val, training=SHORT, out=out, config=config(), vae=VDVAE(config())
        )
    colour = config(channels=3)
    message = "is for 3 channels of 8 pixels; halves has 1 of 8"
    with pytest.raises(ValueError, match=message):
        train_completer("aipo", train, val, training=SHORT, out=out, config=colour)
    with pytest.raises(ValueError, match=message):
        train_completer("aipo", train, val, training=SHORT, out=out, vae=VDVAE(colour))
    with pytest.raises(ValueError, match=message):
        train_vae(train, val, colour, training=SHORT, out=out)
    black = Dataset(
        name="black",
        split="train",
        images=train.images * 0,
        labels=train.labels,
        label_names=train.label_names,
    )
    with pytest.raises(ValueError, match=r"std is 0\.0, expected more than 0"):
        standardised_for(config(), black)
    assert not out.exists()


def test_wrong_vae_checkpoints(brief, config, tmp_path):
    with pytest.raises(ValueError, match="holds 'aipo', expected 'vdvae'"):
        VDVAE.load(brief[1])
    path = tmp_path / "v.safetensors"
    for fields in ({}, {"config": 3}, {"config": vars(config(width=8))}):
        save_weights(path, VDVAE(config()).state_dict(), {"kind": "vdvae", **fields})
        with pytest.raises(ValueError, match="does not fit its configuration"):
            VDVAE.load(path)


@pytest.mark.parametrize(
    ("size", "channels", "top"), [(28, 1, 14), (32, 3, 16), (64, 1, 16), (256, 1, 16)]
)
def test_presets_build(size, channels, top):
    config, _ = presets.preset(size, channels)
    assert (config.size, config.channels, config.size // config.stem) == (size, channels, top)
    with torch.device("meta"):
        AIPO(VDVAE(config))


def test_a_size_without_preset():
    with pytest.raises(ValueError, match="size 50 has no preset; expected 28, 32 or a multiple"):
        presets.preset(50, 1)
