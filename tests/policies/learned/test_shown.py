"""Classifiers learn from what a policy shows them: its looks at half of the scenes."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from boed.classifiers.networks.densenet import DenseNetConfig
from boed.classifiers.training import train_classifier
from boed.data.looking import EVERYTHING
from boed.data.observation import Observation
from boed.foundation.fingerprint import fingerprint
from boed.foundation.identity import DIGITS
from boed.policies.learned import CandidateLooks, PolicyLooks, ValueConfig, ValueNet
from boed.sensors import PatchSensor
from boed.sensors.random_looks import RandomLooks
from boed.training import Recipe
from boed.training.config import ClassifierTrainingConfig
from boed.zoo import train_recipe
from tests.doubles import Clues

CLUES = Clues(((8, 4), (0, 8)))
TRAIN, VAL = CLUES.dataset(64), CLUES.dataset(24, seed=1)
SENSOR = PatchSensor(16, 0.25, 4)
OTHERS = RandomLooks(SENSOR, (1, 16, 16))
CONFIG = ValueConfig(
    width=16,
    encoder=DenseNetConfig(
        size=16, channels=1, outputs=3, stem=4, width=16, growth=(8,), layers=(1,), std=0.1
    ),
)


@pytest.fixture
def network() -> ValueNet:
    torch.manual_seed(0)
    looks = CandidateLooks.of(SENSOR, (1, 16, 16))
    network = ValueNet(CONFIG, looks=looks.name, classifier="any")
    for each in network.parameters():
        each.data.normal_(std=0.3)
    return network


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_half_of_the_scenes_are_seen_by_the_policy(network: ValueNet) -> None:
    scenes, counts = TRAIN.scenes(), torch.arange(64) % 4
    looking = PolicyLooks(network, OTHERS, explore=0.0)
    seen, random = looking(scenes, counts, generator()), OTHERS(scenes, counts, generator())
    assert torch.equal((seen.fraction_seen * 16).round().long(), counts)
    same = (seen.mask == random.mask).flatten(1).all(1)
    assert same[counts == 0].all()
    assert 0.3 < same[counts == 3].float().mean() < 0.8
    one = seen.mask[(counts == 1) & ~same]
    assert len(one.unique(dim=0)) == 1  # where the policy begins, of nothing seen
    assert torch.equal(seen.values, scenes * seen.mask)


def test_it_is_the_same_again_by_its_generator_alone(network: ValueNet) -> None:
    scenes, counts = TRAIN.scenes(), torch.full((64,), 3)
    looking = PolicyLooks(network, OTHERS)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = looking(scenes, counts, generator())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(looking(scenes, counts, generator()).mask, first.mask)
    assert looking(scenes, torch.full((64,), EVERYTHING), generator()).mask.all()


def test_a_policy_of_other_looks_is_refused(network: ValueNet) -> None:
    finer = RandomLooks(PatchSensor(16, 0.25, 7), (1, 16, 16))
    with pytest.raises(
        ValueError, match=r"trained for PatchSensor, 16 looks .* not for .* 49 look"
    ):
        PolicyLooks(network, finer)


def test_a_recipe_names_the_policy(network: ValueNet, tmp_path: Path) -> None:
    policy, data = tmp_path / "value.safetensors", tmp_path / "clues.npz"
    images = (TRAIN.scenes()[:, 0] * 255).round().byte().numpy()
    splits = {f"{split}_images": images for split in ("train", "val", "test")}
    labels = {f"{split}_labels": TRAIN.labels.numpy() for split in ("train", "val", "test")}
    np.savez(data, **splits, **labels)
    sensor = {"name": "patch", "grid": 4}
    recipe = Recipe(kind="policy", name="value", data=str(data), size=16, sensor=sensor)
    network.save(policy, {"recipe": recipe.table()})
    asked = Recipe(
        kind="classifier", data=str(data), size=16, policy=str(policy),
        training={"steps": 2, "batch": 8, "every": 2},
    )  # fmt: skip
    out = tmp_path / "classifier.safetensors"
    trained = train_recipe(asked, out)
    header = trained.provenance  # type: ignore[attr-defined]
    assert header["looking"].startswith("50% looks of the value policy, else random looks of Patch")
    assert header["recipe"]["sensor"] == sensor
    assert header["about"]["policy"] == fingerprint(network.load(policy))[:DIGITS]
    network.save(policy, {"recipe": recipe.table(), "more": 1})
    network.network.values.output.bias.data += 1  # type: ignore[operator, union-attr]
    network.save(policy, {"recipe": recipe.table()})
    with pytest.raises(ValueError, match="holds another training: about: policy is"):
        train_recipe(asked, out)
    with pytest.raises(ValueError, match=r"patch is 0\.25 beside policy"):
        replace(asked, patch=0.25)


def test_a_policy_looks_no_further_than_it_was_trained_for(network: ValueNet) -> None:
    scenes, counts = TRAIN.scenes(), torch.full((64,), 9)
    assert OTHERS.most == PolicyLooks(network, OTHERS).most == 7
    far = copy.deepcopy(network)
    far.provenance = {"fit": {"looks": 9}}
    random = OTHERS(scenes, counts, generator()).mask
    assert torch.equal(PolicyLooks(network, OTHERS)(scenes, counts, generator()).mask, random)
    assert not torch.equal(PolicyLooks(far, OTHERS)(scenes, counts, generator()).mask, random)


def test_the_policy_looks_once_at_a_scene_that_stands_several_times(network: ValueNet) -> None:
    passes = []
    network.register_forward_hook(lambda *_: passes.append(len(_[1][0])))
    few, counts = TRAIN.scenes(range(8)), torch.arange(32) % 4
    looking = PolicyLooks(network, OTHERS, share=1.0, explore=0.0)
    seen = looking(few.repeat_interleave(4, dim=0), counts, generator())
    assert passes == [8, 8, 8]
    alone = looking(few, torch.full((8,), 3), generator())
    assert torch.equal(seen[counts == 3].mask, alone.mask)
    assert torch.equal((seen.fraction_seen * 16).round().long(), counts)
    last = seen.mask.unflatten(0, (8, 4))
    assert (last[:, 1:] >= last[:, :-1]).all()  # each continues the one before


def test_a_long_roll_out_serves_several_times_in_training(
    network: ValueNet, tmp_path: Path
) -> None:
    assert PolicyLooks(network, OTHERS).repeats == 1
    far = copy.deepcopy(network)
    far.provenance = {"fit": {"looks": 12}}
    looking, given = PolicyLooks(far, OTHERS), []

    class Recording:
        most, repeats = looking.most, looking.repeats

        def __call__(self, scenes: Tensor, counts: Tensor, generator: Any = None) -> Observation:
            given.append(scenes)
            return looking(scenes, counts, generator)

    short = ClassifierTrainingConfig(steps=1, batch=11, warmup=1, every=1, precision="fp32")
    out = tmp_path / "m.safetensors"
    train_classifier(TRAIN, VAL, short, out=out, config=CONFIG.encoder, looking=Recording())
    assert looking.repeats == 3
    batch = given[0]
    assert len(batch) == 11
    assert torch.equal(batch, batch[::3].repeat_interleave(3, dim=0)[:11])
    assert len(batch.unique(dim=0)) > 1
