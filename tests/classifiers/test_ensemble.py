"""Ensembles: the mixture of members, saved, calibrated, trained from one recipe."""

from __future__ import annotations

import math

import pytest
import torch

from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.ensemble import EnsembleClassifier, load_classifier
from boed.classifiers.evaluation.scoring import calibrate, score
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.data.masks import squares
from boed.data.observation import Observation

TINY = DenseNetConfig(size=8, channels=1, outputs=2, stem=2, width=8, growth=(4,), layers=(1,))


def member(seed: int, **changes) -> DenseNetClassifier:
    torch.manual_seed(seed)
    config = DenseNetConfig(**{**TINY.__dict__, **changes})
    model = DenseNetClassifier(config, ("no", "yes")).eval()
    model.temperatures = torch.tensor([1.0, 1.0 + seed / 4])
    return model


def seen(number: int = 6) -> Observation:
    generator = torch.Generator().manual_seed(0)
    scenes = torch.rand(number, 1, 8, 8, generator=generator)
    return Observation.of(scenes, squares(number, 8, generator=generator))


def test_the_belief_is_the_mean_of_the_members_beliefs():
    ensemble, observation = EnsembleClassifier([member(k) for k in range(3)]).eval(), seen()
    mean = torch.stack([m.log_probs(observation).exp() for m in ensemble.members]).mean(0)
    assert torch.allclose(ensemble.log_probs(observation).exp(), mean, atol=1e-6)
    assert ensemble.label_names == ("no", "yes")
    assert ensemble.config == TINY


def test_members_that_standardise_differently_read_differently():
    apart = EnsembleClassifier([member(0), member(1, mean=0.2, std=1.5)]).eval()
    observation = seen()
    mean = torch.stack([m.log_probs(observation).exp() for m in apart.members]).mean(0)
    assert torch.allclose(apart.log_probs(observation).exp(), mean, atol=1e-6)


@pytest.mark.parametrize("kind", ["small", "densenet121", "mlp"])
def test_what_is_judged_around_a_scene_is_what_is_judged_of_it(kind, tmp_path):
    size = 32 if kind == "densenet121" else 8
    members = [member(k, kind=kind, size=size) for k in range(2)]
    EnsembleClassifier(members).save(tmp_path / "e.safetensors", {})
    ensemble = load_classifier(tmp_path / "e.safetensors")
    generator = torch.Generator().manual_seed(0)
    scenes = torch.rand(3, 1, size, size, generator=generator)
    before = Observation.of(scenes, squares(3, size, generator=generator))
    base = torch.tensor([0, 2, 1, 0])
    shown = squares(4, size, counts=torch.ones(4).long(), generator=generator)
    after = before[base].with_seen(scenes[base], shown)
    around = ensemble.around(before)(after, base)
    assert torch.allclose(around, ensemble.log_probs(after), atol=1e-4)


def test_a_checkpoint_gives_the_same_beliefs(tmp_path):
    ensemble, observation = EnsembleClassifier([member(k) for k in range(2)]).eval(), seen()
    ensemble.temperatures = torch.tensor([0.7, 0.9])
    ensemble.save(tmp_path / "e.safetensors", {"steps": 3})
    again = load_classifier(tmp_path / "e.safetensors")
    assert isinstance(again, EnsembleClassifier)
    assert torch.allclose(again.log_probs(observation), ensemble.log_probs(observation), atol=1e-5)
    again.save(tmp_path / "f.safetensors", {"steps": 3})  # folded now
    folded = EnsembleClassifier.load(tmp_path / "f.safetensors")
    assert torch.allclose(folded.log_probs(observation), ensemble.log_probs(observation), atol=1e-5)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([0], "members is 1 classifiers, expected at least 2"),
        ([0, {"size": 16}], "members have size 8 and 16, expected the same"),
        ([0, {"channels": 3}], "members have channels 1 and 3, expected the same"),
        ([0, "other"], "members have label_names .* and .*, expected the same"),
    ],
)
def test_members_that_do_not_belong_together_are_refused(members, words):
    made = []
    for each in members:
        made.append(member(0, **each) if isinstance(each, dict) else member(0))
        if each == "other":
            made[-1].label_names = ("a", "b")
    with pytest.raises(ValueError, match=words):
        EnsembleClassifier(made)


def test_calibration_sharpens_the_mixture_of_calibrated_members(train, val):
    """Members that err apart are each calibrated; their mean is too unsure (Wu and Gales 2021)."""

    class Sure(DenseNetClassifier):
        """Right for four scenes of five, which ones depends on the seed, and always as sure."""

        def __init__(self, seed: int) -> None:
            super().__init__(DenseNetConfig(**{**TINY.__dict__, "size": val.size}), ("a", "b"))
            self.seed = seed

        def judged(self, read):
            generator = torch.Generator().manual_seed(self.seed)
            right = torch.rand(len(val), generator=generator) < 0.8
            answer = torch.where(right, val.labels, 1 - val.labels)
            answer = answer.repeat(len(read) // len(val))
            return torch.nn.functional.one_hot(answer, 2) * math.log(0.8 / 0.2)

    ensemble = EnsembleClassifier([Sure(k) for k in range(5)])
    before = score(ensemble, val, (1,))["all"]["nll"]
    calibrate(ensemble, val)
    assert (ensemble.temperatures < 0.9).all()
    assert score(ensemble, val, (1,))["all"]["nll"] < before - 0.02
