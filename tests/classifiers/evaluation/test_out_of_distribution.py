"""Images of another kind are called so, those of the classifier's own kind hardly ever."""

import os

import pytest
import torch

from boed.classifiers import DenseNetClassifier
from boed.classifiers.ensembling import combine
from boed.classifiers.evaluation.out_of_distribution import (
    KEY,
    feature_distance,
    feature_record,
    knows_looks,
    relative_distance,
)
from boed.data import Observation, load
from boed.data.looking import Squares, seen
from boed.data.readers.image import read_image
from boed.foundation.shipped import shipped, shipped_names
from boed.training import Recipe
from tests.classifiers.conftest import TINY, halves

needs_data = pytest.mark.skipif(not os.environ.get("BOED_DATA"), reason="needs $BOED_DATA")
SLOW = [needs_data, pytest.mark.slow]
DIGITS = "densenet-digits-32"
OWN = [n for n in shipped_names("classifiers") if n.startswith("densenet-")]
TEST = {
    "digits-32": "digits",
    "kermany-64": "kermany_pneumonia_128",
    "cifar10-32": "cifar10_jpeg_32",
}


def of_its_own_kind(name: str, number: int = 300) -> torch.Tensor:
    """Test scenes of the data that a shipped classifier is for."""
    kind = next(each for each in TEST if name.endswith(each))
    test = load(TEST[kind], int(kind.rpartition("-")[2]), "test")
    rows = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[:number]
    return test.scenes(rows)


def shipped_classifier(name: str) -> DenseNetClassifier:
    return DenseNetClassifier.load(shipped(name))


@pytest.mark.parametrize("name", OWN)
def test_every_shipped_classifier_knows_what_is_usual(name):
    record = shipped_classifier(name).provenance[KEY]
    assert record["limit"] > 0
    assert record["quantile"] == 0.99
    assert record["scenes"] >= 4096


@pytest.mark.parametrize(
    "name", [DIGITS, *(pytest.param(each, marks=SLOW) for each in OWN if each != DIGITS)]
)
def test_test_images_are_hardly_ever_called_unlike(name):
    found = feature_distance(shipped_classifier(name), of_its_own_kind(name))
    assert float(found.unlike.float().mean()) <= 0.03


@pytest.mark.parametrize("name", [DIGITS, pytest.param("densenet-kermany-64", marks=SLOW)])
@pytest.mark.parametrize("kind", ["inverted", "noise", "ct", "black", "white", "another set"])
def test_images_of_another_kind_are_called_unlike(name, kind):
    model = shipped_classifier(name)
    size = model.config.size
    generator = torch.Generator().manual_seed(1)
    if kind == "inverted":
        scenes = 1 - of_its_own_kind(name, 100)
    elif kind == "noise":
        scenes = torch.rand(20, 1, size, size, generator=generator)
    elif kind == "ct":
        from pydicom.data import get_testdata_file

        scenes = read_image(get_testdata_file("CT_small.dcm", download=False), size)[None] / 255
    elif kind == "another set":
        other = "mnist_28" if "kermany" in name else "kermany_pneumonia_128"
        if not os.environ.get("BOED_DATA"):
            pytest.skip("needs $BOED_DATA")
        scenes = load("digits" if other == "mnist_28" else other, size, "test").scenes(slice(50))
    else:
        scenes = torch.full((1, 1, size, size), float(kind == "white"))
    assert float(feature_distance(model, scenes).unlike.float().mean()) >= 0.99


def test_the_record_is_the_same_after_folding_and_in_pieces(monkeypatch):
    val = load("digits", 32, "val").subset(torch.arange(150))
    model = shipped_classifier("densenet-digits-32")
    whole = feature_record(model, val, val)
    monkeypatch.setattr("boed.classifiers.evaluation.out_of_distribution.AT_ONCE", 32 * 32 * 37)
    pieces = feature_record(model, val, val)
    assert pieces["limit"] == pytest.approx(whole["limit"], rel=1e-3)
    for one, other in zip(whole["looks"]["knots"], pieces["looks"]["knots"], strict=True):
        assert one["limit"] == pytest.approx(other["limit"], rel=1e-3)


@pytest.mark.parametrize("record", [{}, {"means": 3, "whitening": "", "limit": 1.0},
                         {"means": "AAAA", "whitening": "AAAA", "limit": 1.0}, [1]])  # fmt: skip
def test_a_damaged_record_is_refused(record):
    model = shipped_classifier("densenet-digits-32")
    model.provenance = {**model.provenance, KEY: record}
    with pytest.raises(ValueError, match="record of features"):
        feature_distance(model, torch.rand(1, 1, 32, 32))


def test_no_record_is_no_answer():
    model = shipped_classifier("densenet-digits-32")
    model.provenance = {}
    assert feature_distance(model, torch.rand(1, 1, 32, 32)) is None


@pytest.fixture(scope="module")
def partly():
    """A small classifier that knows partly seen scenes, and others of their kind."""
    torch.manual_seed(0)
    model = DenseNetClassifier(TINY, ("left", "right")).ready()
    model.provenance = {KEY: feature_record(model, halves(1500, 0), halves(1500, 1))}
    return model, halves(500, 2).scenes()


@pytest.mark.parametrize("count", [1, 2, 3, 8, None])
def test_partly_seen_scenes_of_its_own_kind_are_hardly_ever_unlike_and_black_ones_are(
    partly, count
):
    model, scenes = partly
    own, black = (
        relative_distance(model, seen(each, count, looking=Squares(), seed=9))
        for each in (scenes, torch.zeros_like(scenes))
    )
    assert float((own > 1).float().mean()) <= 0.03
    assert float((black > 1).float().mean()) >= 0.9


def test_whole_scenes_are_as_far_as_they_were_and_nothing_seen_is_no_distance(partly):
    model, scenes = partly
    whole = feature_distance(model, scenes)
    found = relative_distance(model, Observation.everything(scenes))
    assert torch.equal(found, whole.distance / whole.limit)
    assert relative_distance(model, Observation.nothing_of(scenes)).isnan().all()


def test_each_scene_is_judged_by_how_much_of_it_was_seen(partly):
    model, scenes = partly
    parts = [seen(scenes[:5], count, looking=Squares(), seed=2) for count in (0, 1, 4, None)]
    mixed = Observation(
        torch.cat([each.values for each in parts]), torch.cat([each.mask for each in parts])
    )
    apart = torch.cat([relative_distance(model, each) for each in parts])
    assert torch.allclose(relative_distance(model, mixed), apart, rtol=1e-4, equal_nan=True)
    almost = Observation.everything(scenes[:5])
    almost.mask[:, :, 0, 0] = 0
    knots = model.provenance[KEY]["looks"]["knots"]
    assert knots[-1]["looks"] == 8
    assert not torch.allclose(
        relative_distance(model, almost),
        relative_distance(model, Observation.everything(scenes[:5])),
    )


@pytest.mark.parametrize("harm", [{"knots": [{}]}, {"knots": 3}, {"whitening": "AAAA"}, None, 3])
def test_a_damaged_record_of_looks_is_refused(partly, harm):
    model, scenes = partly
    record = model.provenance[KEY]
    broken = {**record["looks"], **harm} if isinstance(harm, dict) else harm
    other = DenseNetClassifier(TINY, ("left", "right")).ready()
    other.provenance = {KEY: {**record, "looks": broken}}
    with pytest.raises(ValueError, match="record of features"):
        relative_distance(other, seen(scenes[:3], 1, looking=Squares(), seed=0))


def test_who_knows_partly_seen_scenes(partly):
    assert knows_looks(partly[0])
    assert not knows_looks(object())
    other = DenseNetClassifier(TINY, ("left", "right")).ready()
    for record in ({}, {"limit": 1.0}, [1], None):
        other.provenance = {KEY: record}
        assert not knows_looks(other)


@pytest.mark.parametrize("kind", ["trained", "ensemble"])
def test_what_training_writes_knows_partly_seen_scenes(kind, trained, train, val, tmp_path):
    model, path = trained
    if kind == "ensemble":
        recipe = Recipe(kind="classifier", data="halves", members=2)
        out = tmp_path / "both.safetensors"
        model = combine([path, path], train, val, out=str(out), looking=Squares(), recipe=recipe)
    else:
        model = DenseNetClassifier.load(path)
    assert knows_looks(model)
    own = relative_distance(model, seen(val.scenes(), 3, looking=Squares(), seed=4))
    assert float((own > 1).float().mean()) <= 0.05


@pytest.mark.filterwarnings("error")
def test_a_single_scene_has_no_spread_and_a_record_all_the_same():
    """What is like it is near, all else is far, and no number is lost."""
    train, val = halves(1, seed=0), halves(4, seed=1)
    model = DenseNetClassifier(TINY, train.label_names).eval()
    model.provenance = {KEY: feature_record(model, train, val)}
    found = feature_distance(model, torch.cat([train.scenes(), val.scenes()]))
    assert torch.isfinite(found.distance).all()
    assert float(found.distance[0]) < float(found.distance[1:].min())
