"""Beliefs of another population: only the frequencies of the answers differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import xarray as xr

from boed.benchmark import benchmark
from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.ensemble import load_classifier
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.fingerprint import fingerprint
from boed.foundation.options import Shares
from boed.foundation.shipped import shipped
from boed.policies import Random
from boed.report.page import what_was_run
from boed.sensors import PatchSensor
from boed.setup import setup


def model(labels=("no", "yes"), prior=(0.25, 0.75), *, multi_label=False) -> DenseNetClassifier:
    outputs = 2 * len(labels) if multi_label else len(labels)
    torch.manual_seed(0)
    made = DenseNetClassifier(
        DenseNetConfig(
            size=8, channels=1, outputs=outputs, stem=2, width=8, growth=(4,), layers=(1,)
        ),
        labels,
        multi_label,
    ).eval()
    made.provenance = {"prior": prior}
    return made


def blank() -> Observation:
    return Observation.nothing(3, 1, 8)


@pytest.mark.parametrize("asked", [{"yes": 0.4}, {"no": 0.6}, {"no": 0.6, "yes": 0.4}, {"": 0.4}])
def test_odds_change_by_the_ratio_of_the_odds_assumed(asked):
    classifier = model()
    before = classifier.log_probs(blank())
    classifier.set_prevalence(asked)
    after = classifier.log_probs(blank())
    assert torch.allclose(after.exp().sum(-1), torch.ones(3))
    moved = (after[:, 1] - after[:, 0]) - (before[:, 1] - before[:, 0])
    assert torch.allclose(moved.exp(), torch.tensor((0.4 / 0.6) / (0.75 / 0.25)), atol=1e-5)
    classifier.set_prevalence(None)
    assert torch.equal(classifier.log_probs(blank()), before)


def test_what_training_assumed_changes_nothing():
    classifier = model()
    before = classifier.log_probs(blank())
    classifier.set_prevalence({"yes": 0.75})
    assert torch.allclose(classifier.log_probs(blank()), before, atol=1e-6)


def test_of_findings_only_the_named_ones_change():
    prior = [[0.5, 0.5], [0.9, 0.1]]
    classifier = model(("a", "b"), prior, multi_label=True)
    before = classifier.log_probs(blank())
    classifier.set_prevalence({"b": 0.5})
    after = classifier.log_probs(blank())
    assert torch.allclose(after[:, 0], before[:, 0], atol=1e-6)
    moved = (after[:, 1, 1] - after[:, 1, 0]) - (before[:, 1, 1] - before[:, 1, 0])
    assert torch.allclose(moved.exp(), torch.tensor(9.0), rtol=1e-4)


def test_results_know_it():
    classifier = model()
    before = fingerprint(classifier)
    classifier.set_prevalence({"yes": 0.4})
    assert fingerprint(classifier) != before


@pytest.mark.parametrize(
    ("labels", "asked", "words"),
    [
        (("no", "yes"), {"yse": 0.4}, "prevalence is 'yse': did you mean 'yes'"),
        (("no", "yes"), {"yes": 1.0}, "prevalence of yes is 1.0, expected 0 < p < 1"),
        (("no", "yes"), {"yes": float("nan")}, "prevalence of yes is nan"),
        (("no", "yes"), {"yes": 0.4, "no": 0.4}, "prevalence sums to 0.8, expected 1"),
        (("a", "b", "c"), {"a": 0.4, "b": 0.1}, "prevalence lacks c: give that of each class"),
        (("a", "b", "c"), {"": 0.4}, "prevalence is 0.4 without a name"),
    ],
)
def test_what_is_refused(labels, asked, words):
    with pytest.raises(ValueError, match=words):
        model(labels, [1 / len(labels)] * len(labels)).set_prevalence(asked)


def test_a_checkpoint_that_does_not_say_what_it_assumed():
    classifier = model()
    classifier.provenance = {}
    with pytest.raises(ValueError, match="does not say which one it was trained for"):
        classifier.set_prevalence({"yes": 0.4})


@pytest.mark.parametrize("given", ["a=b", "", "a", True, [0.3], "0", "1.5", "a=0.2,b", {"a": "x"}])
def test_shares_that_are_none(given):
    with pytest.raises(ValueError, match="prevalence"):
        Shares().check("prevalence", given)


@pytest.mark.parametrize(
    ("given", "table"),
    [("0.3", {"": 0.3}), (0.3, {"": 0.3}), ("a=0.2, b=0.8", {"a": 0.2, "b": 0.8})],
)
def test_shares_as_they_are_given(given, table):
    assert Shares().of("prevalence", given) == table


def test_a_run_is_about_the_population_that_was_asked_for():
    rare = ",".join(f"{name}={0.91 if name == '3' else 0.01}" for name in map(str, range(10)))
    made = setup(policies=("random",), prevalence=rare)
    usual = setup(policies=("random",))
    nothing = Observation.nothing(1, 1, 32)
    assert made.classifier.log_probs(nothing).exp()[0, 3] > 0.8
    assert usual.classifier.log_probs(nothing).exp()[0, 3] < 0.2
    assert made.options["prevalence"] == rare
    with pytest.raises(ValueError, match="prevalence is given, which is for DenseNet classifiers"):
        setup("breast_cancer", policies=("random",), prevalence=0.3)


@pytest.mark.parametrize(
    ("labels", "prior", "asked", "said"),
    [
        (("no", "yes"), (0.25, 0.75), {"": 0.4}, {"no": 0.6, "yes": 0.4}),
        (("a", "b", "c"), (0.2, 0.3, 0.5), {"a": 0.1, "b": 0.1, "c": 0.8}, None),
        (("a", "b"), ((0.5, 0.5), (0.9, 0.1)), {"b": 0.3}, {"a": 0.5, "b": 0.3}),
    ],
)
def test_what_was_set_can_be_read(labels, prior, asked, said):
    classifier = model(labels, prior, multi_label=isinstance(prior[0], tuple))
    assert classifier.prevalence is None
    classifier.set_prevalence(asked)
    assert classifier.prevalence == pytest.approx(said or asked, abs=1e-5)
    classifier.set_prevalence(None)
    assert classifier.prevalence is None


def scenes() -> Dataset:
    return Dataset(
        name="scenes",
        split="test",
        images=torch.arange(6 * 64).reshape(6, 1, 8, 8).remainder(256).byte(),
        labels=torch.arange(6) % 2,
        label_names=("no", "yes"),
    )


def ran(out: Path, prevalence: dict[str, float] | None, precision: Any = "fp32") -> xr.Dataset:
    classifier = model().ready()
    classifier.precision = precision
    classifier.set_prevalence(prevalence)
    sensor = PatchSensor(8, 0.5, 2)
    return benchmark(scenes(), sensor, classifier, policies={"r": Random()}, steps=1, out=out)


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ((None,), ({"yes": 0.1},), r"prevalence is not given there, now \{'no': 0.9, 'yes': 0.1\}"),
        (({"yes": 0.1},), (None,), r"prevalence is \{'no': 0.9, 'yes': 0.1\} there, now not given"),
        (({"yes": 0.1},), ({"yes": 0.2},), "prevalence: no is 0.9 there, now 0.8"),
        ((None,), (None, "bf16"), "precision is not given there, now 'bf16'"),
    ],
)
def test_a_run_with_another_one_is_refused_by_its_name(before, now, words, tmp_path):
    ran(tmp_path, *before)
    with pytest.raises(ValueError, match=f"holds a run with other settings: {words}"):
        ran(tmp_path, *now)


def test_the_report_names_it(tmp_path):
    rows = dict(what_was_run(ran(tmp_path / "rare", {"yes": 0.1})))
    assert rows["prevalence of the answers"] == "no 0.9, yes 0.1"
    assert "prevalence of the answers" not in dict(what_was_run(ran(tmp_path / "usual", None)))


def test_where_training_balanced_the_answers_those_of_its_own_data_count():
    balanced, plain = model(("no", "yes"), [0.5, 0.5]), model(("no", "yes"), [0.25, 0.75])
    for each in (balanced, plain):
        each.provenance["frequencies"] = [0.25, 0.75]
        each.assume_trained_on()
    assert balanced.prevalence == {"no": 0.25, "yes": 0.75}
    assert plain.prevalence is None  # nothing to change


def test_a_balanced_classifier_assumes_the_frequencies_of_its_own_data_alone():
    ours = load_classifier(shipped("ensemble-kermany-64"))
    for name, assumed in (("kermany_pneumonia_128", 0.745), ("mine", None)):
        scenes = Dataset(
            name=name,
            split="test",
            images=torch.zeros(4, 1, 64, 64, dtype=torch.uint8),
            labels=torch.tensor([0, 1, 0, 1]),
            label_names=ours.label_names,
        )
        made = setup(scenes, policies=("random",), classifier="ensemble-kermany-64")
        assert (made.classifier.prevalence or {}).get("pneumonia") == pytest.approx(
            assumed, abs=1e-3
        )
