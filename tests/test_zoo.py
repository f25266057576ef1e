"""The shipped checkpoints do what the README says of them."""

import os

import pytest
import torch

from boed.classifiers import DenseNetClassifier
from boed.classifiers.training import score
from boed.completion import AIPO
from boed.data import Observation, load
from boed.data.readers.digits import bordered, without_shipped_test
from boed.foundation.shipped import shipped, shipped_names

ROOT = os.environ.get("BOED_DATA")
needs_data = pytest.mark.skipif(not ROOT, reason="needs $BOED_DATA")


@pytest.mark.parametrize("name", ["digits-32", "kermany-64"])
def test_checkpoints_say_where_they_come_from(name):
    for model in (
        AIPO.load(shipped(f"aipo-{name}")),
        DenseNetClassifier.load(shipped(f"densenet-{name}")),
    ):
        for key in ("data", "fit", "steps", "scores", "command"):
            assert model.provenance[key], key


def test_all_weights_together_are_small():
    files = [shipped(name) for name in shipped_names()]
    assert files
    assert sum(each.stat().st_size for each in files) < 40e6


@pytest.mark.parametrize("name", ["digits-32", "kermany-64"])
def test_completions_differ_where_nothing_was_seen_and_agree_where_something_was(name):
    model = AIPO.load(shipped(f"aipo-{name}"))
    size = model.config.size
    scene = model.sample(Observation.nothing(1, 1, size), 1, seed=3)[0]
    mask = torch.zeros(1, 1, size, size)
    mask[..., : size // 2] = 1
    seen = Observation.of(scene, mask)
    raw = model.sample(seen, 8, seed=1)
    assert torch.equal(raw * mask, scene.expand_as(raw) * mask)
    spread = raw.std(0)[0, 0]
    assert spread[:, : size // 2].max() < 1e-6
    free = model.sample(Observation.nothing(1, 1, size), 8, seed=1).std(0)[0, 0]
    assert free.mean() > 0.05
    assert spread[:, size // 2 :].mean() < free[:, size // 2 :].mean()


def test_digits_classifier_reads_whole_digits():
    model = DenseNetClassifier.load(shipped("densenet-digits-32"))
    scores = score(model, load("digits", 32, "val"), (1, 4))
    assert scores["all"]["accuracy"] > 0.97
    assert scores["1"]["accuracy"] < scores["4"]["accuracy"] < scores["all"]["accuracy"]
    assert scores["4"]["ece"] < 0.08


@needs_data
def test_digits_models_never_saw_the_digits_they_are_tested_on():
    kept = bordered(without_shipped_test(load("mnist_28", 28, "train")))
    for model in (
        AIPO.load(shipped("aipo-digits-32")),
        DenseNetClassifier.load(shipped("densenet-digits-32")),
    ):
        assert model.provenance["data"]["sha256"] == kept.sha256
    shown = {image.numpy().tobytes() for image in load("digits", 32, "test").images}
    assert not shown & {image.numpy().tobytes() for image in kept.images}


@needs_data
def test_chest_classifier_reads_whole_x_rays():
    model = DenseNetClassifier.load(shipped("densenet-kermany-64"))
    scores = score(model, load("kermany_pneumonia_128", 64, "val"), (3,))
    assert scores["all"]["auroc"] > 0.98
    assert scores["3"]["auroc"] > 0.95
