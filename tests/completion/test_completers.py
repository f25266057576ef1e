"""Every completer through the same list: what a user may count on, whichever they choose."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from boed.completion import VDVAE, Completer, GaussianMixture, Retrieval, samples
from boed.completion.classical.filling import FILLINGS
from boed.completion.registry import LEARNED, load_completer
from boed.completion.samples import TILE, UNSEEN, draw_samples
from boed.completion.training import standardised_for, train_completer
from boed.completion.vae import presets
from boed.completion.vae.latent import LatentPosterior
from boed.data.dataset import Dataset
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.files import load_weights
from boed.testing.completers import PROPERTIES, CompleterCase
from boed.training.config import TrainingConfig

SIZE = 32
OTHERS = ("retrieval", "gaussian", "importance", "nuts", *FILLINGS)
NAMES = (*LEARNED, *OTHERS)
AUTOREGRESSIVE = (
    "pc-cnn",
    "pixelcnn-c",
    "row-lstm",
    "diagonal-bilstm",
    "flattened-row-lstm",
    "pixelcnn-zone",
)

BRIEFLY = {"tv": {"iterations": 2}, "low-rank": {"iterations": 5}, "patch-match": {"iterations": 1}}


def size_of(name: str) -> int:
    """Where every pixel takes its time there are few."""
    return 8 if name in AUTOREGRESSIVE else SIZE


def library(channels: int, size: int = SIZE) -> Dataset:
    generator = torch.Generator().manual_seed(3)
    shape = (40, channels, size, size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return Dataset(
        name="dots",
        split="train",
        images=images,
        labels=torch.arange(40) % 2,
        label_names=("a", "b"),
    )


def teacher_of(name: str, config):
    """What the completer learns from, untrained, if it needs one."""
    kind = LEARNED[name].taught_by
    return None if kind is None else LEARNED[kind].of(config)


def configuration(name: str, channels: int):
    config = LEARNED[name].preset(SIZE, channels)[0]
    if name in AUTOREGRESSIVE:
        small = {"size": size_of(name), "filters": 4 * channels, "blocks": 1, "layers": 1}
        return replace(config, **{key: small[key] for key in small if hasattr(config, key)})
    small = {"steps": 3, "iterations": 3, "width": 16, "critic": 8, "most": 16}
    small = {key: value for key, value in small.items() if hasattr(config, key)}
    if getattr(config, "widths", ()):
        small["widths"] = (16,) * len(config.widths)
    return replace(config, **small)


@cache
def made(name: str, channels: int = 1) -> Completer:
    """Untrained but not at their starting points, where some networks give zeros."""
    torch.manual_seed(0)
    if name == "retrieval":
        return Retrieval(library(channels))
    if name in FILLINGS:
        return FILLINGS[name](library(channels), **BRIEFLY.get(name, {}))
    if name == "gaussian":
        return GaussianMixture(library(channels), components=2, factors=4)
    if name in ("importance", "nuts"):
        vae = VDVAE(replace(presets.latent(SIZE, channels)[0], width=16))
        return LatentPosterior(vae, name, particles=32, warmup=2, thinning=1)
    model = LEARNED[name].of(configuration(name, channels))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def observed(
    name: str, batch: int = 3, channels: int = 1, counts: tuple[int, ...] = (1, 0, 5)
) -> Observation:
    generator, size = torch.Generator().manual_seed(5), size_of(name)
    scenes = torch.rand(batch, channels, size, size, generator=generator)
    return Observation.of(
        scenes, squares(batch, size, counts=torch.tensor(counts[:batch]), generator=generator)
    )


def always_the_same(name: str) -> bool:
    return name != "retrieval" and getattr(made(name), "deterministic", False)


def number(name: str, large: int) -> int:
    return min(large, 3) if name == "nuts" else large


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("n", [1, 12])
def test_samples_have_their_shape_and_keep_what_was_seen(name, channels, n):
    n = number(name, n)
    observation = observed(name, channels=channels)
    samples = made(name, channels).sample(observation, n, seed=1)
    assert isinstance(made(name, channels), Completer)
    assert samples.shape == (n, *observation.values.shape)
    assert torch.isfinite(samples).all()
    seen = (observation.mask > 0).expand(samples.shape)
    assert torch.equal(samples[seen], observation.values.expand(samples.shape)[seen])
    if name != "gaussian":  # which knows no bounds
        assert 0 <= samples.min() <= samples.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_large_number_of_samples(name):
    n = number(name, 70 if name in LEARNED else 40)
    samples = made(name).sample(observed(name, 1), n, seed=2)
    assert len(samples) == n
    distinct = len(torch.unique(samples.flatten(1), dim=0))
    if always_the_same(name):
        assert distinct == 1
    elif name in ("retrieval", "importance"):  # which choose among what there is
        assert distinct > 1
    else:
        assert distinct == n


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides(name):
    observation = observed(name)
    model = made(name)
    state = torch.get_rng_state()
    first = model.sample(observation, 2, seed=7)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, model.sample(observation, 2, seed=7))
    other = model.sample(observation, 2, seed=8)
    assert torch.equal(first, other) == always_the_same(name)


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda holds: holds.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_what_every_completer_fulfils(name, holds):
    holds(CompleterCase(made(name), (1, size_of(name), size_of(name))))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_seen_and_everything_seen(name):
    size = size_of(name)
    blank = Observation.nothing(2, 1, size)
    samples = made(name).sample(blank, 2, seed=1)
    assert torch.isfinite(samples).all()
    if not always_the_same(name):
        assert not torch.equal(samples[0], samples[1])
        assert not torch.equal(samples[:, 0], samples[:, 1])
    scenes = torch.rand(2, 1, size, size)
    whole = made(name).sample(Observation.of(scenes, torch.ones(2, 1, size, size)), 2)
    assert torch.equal(whole, scenes.expand(2, -1, -1, -1, -1))


@pytest.mark.parametrize("name", [each for each in NAMES if each != "gaussian"])
def test_what_is_drawn_is_what_is_sampled_before_the_seen_pixels_are_put_in(name):
    observation = observed(name)
    drawn = made(name).draw(observation, 2, seed=3)
    assert torch.equal(observation.composite(drawn), made(name).sample(observation, 2, seed=3))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_refused(name):
    model, observation = made(name), observed(name)
    with pytest.raises(ValueError, match="n is 0, expected at least 1"):
        model.sample(observation, 0)
    with pytest.raises(ValueError, match=r"12|3"):
        model.sample(Observation.nothing(2, observation.channels, 12), 1)
    with pytest.raises(ValueError, match="3"):
        model.sample(Observation.nothing(2, 3, observation.size), 1)
    nan = Observation(observation.values * torch.nan, observation.mask)
    with pytest.raises(ValueError, match="NaN"):
        model.sample(nan, 1)
    with pytest.raises(ValueError, match=r"mask must be \(3, 1"):
        Observation(observation.values, observation.mask[..., 1:])


@pytest.mark.parametrize("name", [*LEARNED, *FILLINGS, "importance"])
def test_values_outside_0_1_are_refused(name):
    observation = observed(name)
    loud = Observation(observation.values * 255, observation.mask)
    with pytest.raises(ValueError, match=r"spans \[0, 2\d\d\]; expected values in \[0, 1\]"):
        made(name).sample(loud, 1)


@pytest.mark.parametrize("name", LEARNED)
def test_checkpoints_come_back_as_they_were(name, tmp_path):
    model, path = copy.deepcopy(made(name)), tmp_path / f"{name}.safetensors"
    model.save(path, {"data": {"name": "dots"}, "steps": 3})
    again = load_completer(path)
    assert type(again) is type(model)
    assert again.config == model.config
    assert again.provenance["steps"] == 3
    state = {k: v.to(model.stored).to(v.dtype) for k, v in made(name).state_dict().items()}
    for each in (model, again):
        assert all(torch.equal(state[k], v) for k, v in each.state_dict().items())
    ours, theirs = (each.sample(observed(name), 2, seed=4) for each in (model, again))
    assert ((ours - theirs).abs() > 2e-3).float().mean() < 5e-3  # another memory layout


def quick_or_slow(name):
    """Trainings of all completers take a while; these two stand for them."""
    return name if name in ("anp", "ce") else pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [quick_or_slow(each) for each in LEARNED])
def test_a_killed_training_goes_on_to_the_same_weights_and_losses(name, tmp_path):
    images = library(1, size_of(name))
    settings = replace(
        LEARNED[name].preset(SIZE, 1)[1], steps=4, batch=4, warmup=2, every=2, skip=1e9
    )
    config = configuration(name, 1)
    teacher = teacher_of(name, standardised_for(config, images))

    def run(file: str, on_step=None):
        path = tmp_path / file
        train_completer(
            name, images, images, training=settings, out=path, config=config, init=teacher,
            on_step=on_step,
        )  # fmt: skip
        return load_weights(path)

    def stop(step: int, loss: float) -> None:
        heard.append(loss)
        if step == 3:
            raise KeyboardInterrupt

    losses: list[float] = []
    heard: list[float] = []
    tensors, header = run("whole.safetensors", lambda step, loss: losses.append(loss))
    with pytest.raises(KeyboardInterrupt):
        run("parts.safetensors", stop)
    heard = heard[:2]  # what the last checkpoint knows of
    resumed, other = run("parts.safetensors", lambda step, loss: heard.append(loss))
    assert heard == losses
    assert header["history"] == other["history"]
    assert all(torch.equal(tensors[key], resumed[key]) for key in tensors)


@pytest.mark.parametrize("name", LEARNED)
def test_its_merit_is_one_of_its_figures(name):
    observation, model = observed(name), made(name)
    if model.taught_by is not None:
        model.learn_from(teacher_of(name, model.config))
    figures = model.figures(torch.rand_like(observation.values), observation)
    assert math.isfinite(figures[model.merit])


@pytest.mark.parametrize(("name", "channels"), [("ce", 3), *((each, 1) for each in LEARNED)])
def test_its_samples_are_drawn(name, channels, tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "SAMPLES", 2)
    observation, path = observed(name, channels=channels), tmp_path / "m.samples.png"
    model, state = made(name, channels), torch.get_rng_state()
    draw_samples(model, observation, path)
    assert torch.equal(torch.get_rng_state(), state)
    pixels = torch.from_numpy(np.array(Image.open(path)))
    columns = 2 if model.deterministic else 3
    assert pixels.shape == (3 * TILE, columns * TILE, 3)
    size, times = size_of(name), TILE // size_of(name)
    tiles = pixels[::times, ::times].unflatten(0, (3, size)).unflatten(2, (columns, size))
    tiles = tiles.permute(0, 2, 4, 1, 3) / 255
    seen = (observation.mask > 0).expand(-1, 3, -1, -1)
    values = observation.values.expand(-1, 3, -1, -1)
    for column in range(columns):  # what was seen is seen in all
        assert torch.allclose(tiles[:, column][seen], values[seen], atol=0.01)
    assert torch.allclose(tiles[1, 0], torch.tensor(UNSEEN)[:, None, None], atol=0.01)
    expected = model.sample(observation, columns - 1)[-1].expand(-1, 3, -1, -1)
    assert torch.allclose(tiles[:, -1], expected, atol=0.01)


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (64, 3)])
def test_presets_build_and_take_a_step(name, size, channels):
    kind = LEARNED[name]
    config, settings = kind.preset(size, channels)
    assert isinstance(settings, TrainingConfig)
    assert (config.size, config.channels) == (size, channels)
    torch.manual_seed(0)
    model = kind.of(config)
    if kind.taught_by is not None:
        model.learn_from(teacher_of(name, config))
    scenes = torch.rand(2, channels, size, size)
    observation = Observation.of(scenes, squares(2, size, counts=torch.tensor([0, 3])))
    model.loss(scenes, observation, 0.5).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(each).all() for each in gradients)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", [each for each in NAMES if each != "nuts"])
def test_on_a_gpu_as_on_the_cpu(name):
    observation = observed(name)
    model = made(name)
    ours = model.sample(observation, 2, seed=5)
    theirs = model.to("cuda").sample(observation.to("cuda"), 2, seed=5).cpu()
    model.to("cpu")
    assert ((ours - theirs).abs() > 2e-3).float().mean() < 2e-2


def test_unknown_names_and_checkpoints(tmp_path):
    with pytest.raises(ValueError, match="completer is 'pics': did you mean 'pic'"):
        LEARNED["pics"]
    from boed.foundation.files import save_weights

    path = tmp_path / "screen.safetensors"
    save_weights(path, {"a": torch.zeros(1)}, {"kind": "screen"})
    with pytest.raises(ValueError, match="holds 'screen', expected 'vdvae' or 'aipo'"):
        load_completer(path)
