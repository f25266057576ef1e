"""The shift suite: what shifts break is known beforehand, and finished parts are not made twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from boed.classifiers import DenseNetClassifier
from boed.classifiers.evaluation import evaluate as evaluation
from boed.classifiers.evaluation.evaluate import RESULTS, Suite, evaluate
from boed.classifiers.evaluation.out_of_distribution import KEY, feature_record, relative_distance
from boed.classifiers.evaluation.scoring import beliefs_after
from boed.data.dataset import Dataset
from boed.data.looking import Squares, off_centre, seen
from boed.data.observation import Observation
from boed.data.question import Asked
from boed.data.shifts import SHIFTS, Condition
from boed.foundation.identity import PARTS
from boed.report.classifiers.place import by_place
from boed.report.classifiers.statistics import statistics
from tests.classifiers.conftest import TINY, halves

EDGE = 0.5
"""Mean brightness beyond which a scene is called bright."""


class Brightness:
    """Calls scenes bright whose mean is more than 0.5."""

    def __init__(self, sure: float = 100.0) -> None:
        self.sure = sure

    def log_probs(self, observation: Observation) -> torch.Tensor:
        seen = observation.mask.sum((1, 2, 3)).clamp(min=1)
        bright = self.sure * (observation.values.sum((1, 2, 3)) / seen - EDGE)
        return torch.log_softmax(torch.stack([-bright, bright], 1), 1)


def flat(n: int = 32, findings: bool = False) -> Dataset:
    """Scenes of 8 pixels, all of one level: dark ones of 0.4, bright ones of 0.6."""
    labels = torch.arange(n) % 2
    levels = torch.tensor([0.4, 0.6])[labels]
    return Dataset(
        name="flat",
        split="val",
        images=levels[:, None, None, None].expand(n, 1, 8, 8).clone(),
        labels=torch.stack([labels, labels], 1) if findings else labels,
        label_names=("bright", "any") if findings else ("dark", "bright"),
    )


SUITE = Suite(scenes=32, looks=(1,), strengths=(1, 2))


@pytest.mark.parametrize("look", ["1", "whole"])
def test_what_reads_brightness_fails_under_brightness_and_not_under_rotation(look: str) -> None:
    data = flat()
    results = evaluate({"mean": Brightness()}, data, SUITE)
    accuracy = statistics(results, resamples=20).sel(name="mean", metric="accuracy", look=look)
    holds = ("clean", "rotation 2", "scale 2", "blur 2", "contrast 2", "brightness 1")
    for condition in holds:
        assert accuracy["mean"].sel(condition=condition) == 1
    scenes = SUITE.conditions[2].scenes(data.scenes(), SUITE.seed)
    assert SUITE.conditions[2].name == "brightness 2"
    right = (scenes.mean((1, 2, 3)) > EDGE) == (data.labels == 1)
    expected = float(right.float().mean())
    assert 0.2 < expected < 0.8
    assert float(accuracy["mean"].sel(condition="brightness 2")) == pytest.approx(expected)
    low, high = (float(accuracy[k].sel(condition="brightness 2")) for k in ("low", "high"))
    assert low < expected < high < 1


def test_conditions_are_clean_and_every_shift_at_every_strength() -> None:
    names = [each.name for each in SUITE.conditions]
    assert names == ["clean", *(f"{shift} {k}" for shift in SHIFTS for k in (1, 2))]


@pytest.mark.parametrize("harm", ["nothing", "cut", "lost", "other weights", "other seed"])
def test_only_what_is_not_finished_is_judged_again(
    harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, suite = flat(8), Suite(scenes=8, looks=(1,), strengths=(2,))
    first = evaluate({"mean": Brightness()}, data, suite, folder=tmp_path)
    part = tmp_path / PARTS / "mean-blur-2.safetensors"
    if harm == "cut":
        part.write_bytes(part.read_bytes()[:50])
    elif harm == "lost":
        part.unlink()
    counted: list[str] = []
    judged: list[int] = []
    monkeypatch.setattr(
        evaluation,
        "beliefs_after",
        lambda *given, **more: judged.append(1) or beliefs_after(*given, **more),
    )
    second = evaluate(
        {"mean": Brightness(sure=50.0 if harm == "other weights" else 100.0)},
        data,
        replace(suite, seed=int(harm == "other seed")),
        folder=tmp_path,
        advance=lambda name, _: counted.append(name),
    )
    every = len(suite.conditions)
    assert len(judged) == {"nothing": 0, "cut": 1, "lost": 1}.get(harm, every)
    assert len(counted) == every + 1  # and regions hidden
    assert second.equals(first) == (len(judged) < every)


@pytest.mark.parametrize("name", ["a/b", "../up", "ein Name"])
def test_parts_stay_in_their_folder_whatever_a_classifier_is_called(
    name: str, tmp_path: Path
) -> None:
    suite = Suite(scenes=8, looks=(1,), strengths=(1,))
    evaluate({name: Brightness()}, flat(8), suite, folder=tmp_path / "run")
    assert [each.name for each in tmp_path.iterdir()] == ["run"]
    assert len(list((tmp_path / "run" / PARTS).iterdir())) == len(suite.conditions) + 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scenes": 0}, "scenes is 0, expected at least 1"),
        ({"looks": ()}, r"looks is \(\), expected different"),
        ({"looks": (1, 1)}, r"looks is \(1, 1\), expected different"),
        ({"looks": (-1,)}, "looks is -1, expected at least 0"),
        ({"strengths": ()}, r"strengths is \(\), expected different"),
        ({"strengths": (2, 2)}, "strengths is"),
        ({"strengths": (0,)}, r"strengths is \(0,\), expected some of 1, 2, 3"),
        ({"strengths": (4,)}, "strengths is"),
        ({"seed": -1}, "seed is -1, expected at least 0"),
    ],
)
def test_suites_that_cannot_be(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Suite(**options)


def test_scenes_are_the_first_of_one_order_and_no_more_than_there_are() -> None:
    few, more = (Suite(scenes=n).rows(flat()) for n in (5, 20))
    assert few.tolist() == more[:5].tolist()
    with pytest.raises(ValueError, match=r"scenes is 33; flat \(val\) has 32"):
        Suite(scenes=33).rows(flat())


class Findings(Brightness):
    """Two findings, the second never there."""

    def log_probs(self, observation: Observation) -> torch.Tensor:
        first = super().log_probs(observation)
        never = torch.log(torch.tensor([0.9, 0.1])).expand_as(first)
        return torch.stack([first, never], 1)


@pytest.mark.parametrize("kind", ["one question", "findings", "a finding of them"])
def test_scenes_of_another_data_set_stand_beside(kind: str) -> None:
    findings = kind != "one question"
    other = flat(16, findings=kind == "findings")
    asked = Asked(data=other, finding=0 if kind == "a finding of them" else None)
    classifier = Findings() if findings else Brightness()
    suite = Suite(scenes=32, looks=(1,), strengths=(2,))
    results = evaluate({"mean": classifier}, flat(findings=findings), suite, also=asked)
    RESULTS.check(results)
    found = statistics(results, resamples=10)
    assert found["condition"].values.tolist()[-2:] == ["all shifts 2", "flat"]
    accuracy = found["mean"].sel(metric="accuracy", condition="flat", look="whole").item()
    assert accuracy == (0.75 if kind == "findings" else 1.0)
    assert all(np.isfinite(each.nll).all() for each in by_place(results, resamples=10))


def test_distances_are_of_what_was_seen_and_only_of_who_knows_them() -> None:
    torch.manual_seed(0)
    model = DenseNetClassifier(TINY, ("left", "right")).ready()
    model.provenance = {KEY: feature_record(model, halves(200, 0), halves(200, 1))}
    data, suite = halves(12, 2, "val"), Suite(scenes=12, looks=(0, 1, 3), strengths=(2,))
    results = evaluate({"tiny": model}, data, suite)
    RESULTS.check(results)
    for condition in (Condition(), Condition(shift="noise", strength=2)):
        scenes = condition.scenes(data.scenes(), suite.seed)
        far = results["distance"].sel(classifier="tiny", condition=condition.name)
        assert far.sel(look="0").isnull().all()
        for look, count in (("1", 1), ("3", 3), ("whole", None)):
            observation = seen(scenes, count, looking=Squares(), seed=suite.seed)
            expected = relative_distance(model, observation).float()
            np.testing.assert_allclose(far.sel(look=look), expected, rtol=1e-5)
    model.provenance = {}
    unknown = evaluate({"tiny": model}, data, suite)
    assert "distance" not in unknown
    assert unknown["log_belief"].equals(results["log_belief"])


def test_places_are_those_of_the_looks() -> None:
    mask = torch.zeros(4, 1, 9, 9)
    mask[0, :, 4, 4] = mask[1, :, 0, 0] = mask[2, :, 4, 0] = 1
    found = off_centre(mask)
    assert found[:3].tolist() == pytest.approx([0, 1, 0.5**0.5])
    assert found[3].isnan()
    data, suite = flat(16), Suite(scenes=16, looks=(0, 1), strengths=(2,))
    places = evaluate({"mean": Brightness()}, data, suite)["off_centre"]
    assert places.sel(look="0").isnull().all()
    assert float(places.sel(look="1").std()) > 0
    assert np.ptp(places.sel(look="whole").values) == pytest.approx(0)
