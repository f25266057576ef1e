"""`boed evaluate completer` end to end, and how completers are asked for."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import xarray as xr
from typer.testing import CliRunner

from boed.classifiers import DenseNetClassifier
from boed.classifiers.evaluation.metrics import accuracy
from boed.classifiers.networks.extractor import ClassifierExtractor
from boed.classifiers.training import preset
from boed.cli import app
from boed.completion import Retrieval, VDVAEConfig
from boed.completion.evaluation.inception import InceptionExtractor
from boed.completion.evaluation.pictures import foreign, free_form, hand_made
from boed.completion.vae.aipo import AIPO
from boed.data import load
from boed.data.observation import Observation
from boed.sensors import PatchSensor
from boed.zoo import Context, classifier_for, completer_for, named_completers

FEW = ("--scenes", "12", "--deep", "8", "--completions", "2", "--seeds", "2", "--split", "val")


@pytest.fixture(scope="module")
def digits():
    return load("digits", 32, "val"), load("digits", 32, "train")


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", "completer", *map(str, arguments)])


@pytest.mark.slow
def test_the_command_writes_figures_pictures_and_a_page(tmp_path):
    result = evaluate("aipo", "retrieval", *FEW, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    found = xr.load_dataset(tmp_path / "results.nc")
    assert list(found["completer"].values) == ["aipo", "retrieval"]
    assert found.attrs["extractor"] == "classifier shipped"
    assert np.isfinite(found["frechet"]).all()
    assert np.isfinite(found["bits_per_dim"].sel(completer="aipo")).all()
    assert float(found["parameters"].sel(completer="aipo")) > 3e5
    page = (tmp_path / "report.html").read_text()
    assert "retrieval" in page
    assert "http" not in page.split("<body")[1].split("</style>")[0]
    assert (tmp_path / "table.md").read_text().count("| aipo") >= 3
    pictures = xr.load_dataset(tmp_path / "examples.nc")
    assert list(pictures["model"].values) == ["aipo"]
    before = sorted((tmp_path / "parts").iterdir())
    assert [path.name for path in before] == [
        f"{name}-{seed}.safetensors" for name in ("aipo", "retrieval") for seed in (0, 1)
    ]
    stamp = before[0].stat().st_mtime_ns
    assert evaluate("aipo", "retrieval", *FEW, "--out", tmp_path).exit_code == 0
    assert before[0].stat().st_mtime_ns == stamp  # what is finished is kept


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("aippo",), "completer is 'aippo': did you mean 'aipo'"),
        (("aipo", "aipo"), "completer 'aipo' is given twice; write NAME=aipo"),
        (("aipo", "--scenes", "4"), "scenes is 4, expected at least 8"),
        (("aipo", "--scenes", "600", "--split", "val"), "digits (val) has 500"),
        (("aipo", "--judge", "nobody"), "judge is 'nobody'"),
        (("aipo", "--judge", "densenet-cifar10-32"), "judge"),
        (("aipo", "--judge", " "), "--judge is ' ', expected text"),
        (("flow", "--data", "nih_cxr14_64", "--size", "64"), "nih_cxr14_64"),
    ],
)
def test_what_is_refused(arguments, words, tmp_path):
    result = evaluate(*arguments, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert not (tmp_path / "run" / "results.nc").exists()


def test_names_paths_and_both(digits, tmp_path):
    context = Context(digits[0], PatchSensor(32), library=digits[1])
    path = tmp_path / "mine.safetensors"
    tiny = VDVAEConfig(size=32, channels=1, encoder="1x1", decoder="1x1", width=8, stem=32)
    AIPO.of(tiny).save(path, {"data": {"name": "digits"}})
    found = named_completers(["retrieval", str(path), f"other={path}"], context)
    assert list(found) == ["retrieval", "mine", "other"]
    assert isinstance(found["retrieval"], Retrieval)
    with pytest.raises(ValueError, match="no completer is given"):
        named_completers([], context)


def test_a_checkpoint_of_another_data_set_is_used_with_a_warning(digits, tmp_path):
    context = Context(digits[0], PatchSensor(32), library=digits[1])
    tiny = VDVAEConfig(size=32, channels=1, encoder="1x1", decoder="1x1", width=8, stem=32)
    path = tmp_path / "faces.safetensors"
    AIPO.of(tiny).save(path, {"data": {"name": "faces"}})
    message = "faces.safetensors was trained on faces, the scenes are of digits"
    with pytest.warns(UserWarning, match=message):
        completer_for(context, str(path))
    AIPO.of(tiny).save(path, {"data": {"name": "mnist_28"}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        completer_for(context, str(path))


def test_the_classifier_describes_and_answers(digits):
    extractor = ClassifierExtractor(classifier_for(Context(digits[0], PatchSensor(32))), "shipped")
    scenes = digits[0].scenes(slice(100))
    features = extractor.features(scenes)
    answers = extractor.log_probs(scenes)
    assert features.shape[0] == 100
    assert features.std(0).min() >= 0
    assert answers.exp().sum(1) == pytest.approx(torch.ones(100), abs=1e-5)
    assert accuracy(answers.numpy(), digits[0].labels[:100].numpy()) > 0.95
    alone = extractor.features(scenes[:1])
    assert torch.allclose(alone, features[:1], atol=1e-4)


def test_a_judge_answers_and_the_classifier_describes(digits):
    classifier = classifier_for(Context(digits[0], PatchSensor(32)))
    untrained = DenseNetClassifier(preset(digits[1], "resnet18")[0], digits[0].label_names)
    extractor = ClassifierExtractor(classifier, "shipped", untrained)
    plain = ClassifierExtractor(classifier, "shipped")
    scenes = digits[0].scenes(slice(20))
    assert torch.equal(extractor.features(scenes), plain.features(scenes))
    whole = Observation.everything(scenes)
    assert torch.equal(extractor.log_probs(scenes), untrained.log_probs(whole))
    assert not torch.allclose(extractor.log_probs(scenes), plain.log_probs(scenes), atol=0.1)


def test_inception_needs_its_weights(digits, tmp_path):
    extractor = ClassifierExtractor(classifier_for(Context(digits[0], PatchSensor(32))), "shipped")
    try:
        import torch_fidelity  # noqa: F401
    except ImportError:
        with pytest.raises(ValueError, match="inception needs torch-fidelity: pip install"):
            InceptionExtractor(tmp_path / "none.pth", extractor)
    else:
        with pytest.raises(ValueError, match="do not exist"):
            InceptionExtractor(tmp_path / "none.pth", extractor)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_for_the_examples(channels):
    kinds = foreign(24, channels)
    assert {"digit", "x-ray", "photograph"} < set(kinds)
    assert {tuple(each.shape) for each in kinds.values()} == {(channels, 24, 24)}
    assert all(0 <= each.min() <= each.max() <= 1 for each in kinds.values())
    by_hand = hand_made(24)
    assert {tuple(each.shape) for each in by_hand.values()} == {(1, 24, 24)}
    assert all(0.1 < float(each.mean()) < 0.7 for each in by_hand.values())
    masks = free_form(3, 24, seed=0)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert ((masks.mean((1, 2, 3)) > 0.03) & (masks.mean((1, 2, 3)) < 0.9)).all()
    assert torch.equal(masks, free_form(3, 24, seed=0))
