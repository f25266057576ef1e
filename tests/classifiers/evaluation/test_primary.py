"""What a run is judged by is stated in one form."""

from dataclasses import replace

import pytest

from boed.classifiers.evaluation.metrics import METRICS
from boed.classifiers.evaluation.primary import Primary
from boed.data import load
from boed.zoo import primary_for


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("looks", [1, 3])
def test_what_is_written_is_read(metric, looks):
    assert Primary.read(str(Primary(metric, looks)), steps=3) == Primary(metric, looks)


@pytest.mark.parametrize(
    "text",
    ["", "accuracy", "accuracy@", "accuracy@0", "accuracy@4", "nll@-1", "nll@1.5", "nll@x", 2],
)
def test_another_form_is_refused(text):
    with pytest.raises(ValueError, match=r"primary is .*METRIC@LOOKS with 1 to 3 looks"):
        Primary.read(text, steps=3)


@pytest.mark.parametrize("text", ["acuracy@1", "@1", "f1@2"])
def test_an_unknown_metric_is_refused(text):
    with pytest.raises(ValueError, match=r"primary: metric is .*auroc, accuracy, nll"):
        Primary.read(text, steps=3)


@pytest.mark.parametrize(("steps", "looks"), [(1, 1), (2, 2), (3, 2), (9, 2)])
def test_digits_are_judged_by_accuracy_after_two_looks(steps, looks):
    data = replace(load("iris"), name="digits")
    assert primary_for(data, steps) == Primary("accuracy", looks)


@pytest.mark.parametrize(("name", "metric"), [("iris", "accuracy"), ("breast_cancer", "auroc")])
def test_other_sets_are_judged_after_half_the_looks(name, metric):
    assert primary_for(load(name), 4) == Primary(metric, 2)
    assert primary_for(load(name), 1) == Primary(metric, 1)
