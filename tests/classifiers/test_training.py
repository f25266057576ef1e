"""Training on partial views, calibration, scores by number of looks."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch

from boed.classifiers import DenseNetClassifier
from boed.classifiers.calibration import cross_entropy
from boed.classifiers.evaluation import scoring
from boed.classifiers.evaluation.scoring import calibrate, score
from boed.classifiers.training import preset, train_classifier
from boed.data.dataset import Dataset
from boed.data.looking import (
    EVERYTHING,
    LOOKS,
    Squares,
    most_looks,
    random_counts,
    repeats_of,
    some_counts,
)
from boed.data.observation import Observation
from boed.foundation.files import load_weights
from boed.sensors import Lines, PatchSensor, PixelBlocks
from boed.sensors.random_looks import RandomLooks
from boed.training.checkpoints import best_path
from boed.training.config import ClassifierTrainingConfig
from boed.training.recipes import Recipe

STRETCHES = [(math.log(5 * 5**k), math.log(25 * 5**k)) for k in range(2)]
SHORT = ClassifierTrainingConfig(steps=4, batch=16, warmup=1, every=2)


class OverConfident(DenseNetClassifier):
    """Knows the answer 80 % of the time and is always sure of it."""

    def __init__(self, config, answers):
        super().__init__(config, ("left", "right"))
        self.answers, self.at = answers, 0

    def logits(self, observation):
        rows = torch.arange(self.at, self.at + len(observation)) % len(self.answers)
        self.at += len(observation)
        wrong = rows % 5 == 0
        said = torch.where(wrong, 1 - self.answers[rows], self.answers[rows])
        return torch.nn.functional.one_hot(said, 2) * 12.0


def test_it_beats_chance_from_partial_views(trained, val):
    scores = score(trained[0], val, (0, 1, 3, 6))
    assert scores["0"]["auroc"] == pytest.approx(0.5)  # nothing seen, nothing known
    assert abs(scores["0"]["nll"] - 0.693) < 0.03
    assert scores["1"]["accuracy"] > 0.6
    assert scores["3"]["accuracy"] > scores["1"]["accuracy"]
    assert scores["all"]["accuracy"] > 0.95
    nll = [scores[name]["nll"] for name in ("0", "1", "3", "6", "all")]
    assert nll == sorted(nll, reverse=True)
    assert all(each["ece"] < 0.12 for each in scores.values())


def test_what_a_checkpoint_says_of_itself(trained, train, val):
    header = load_weights(trained[1])[1]
    assert header["data"]["sha256"] == train.sha256
    assert header["look_fraction"] == 0.25
    assert header["steps"] == 200
    assert header["scores"]["val"] == score(trained[0], val)
    assert set(header["scores"]["val"]) == {*map(str, LOOKS), "all"}
    assert [row["step"] for row in header["history"]] == [100, 200]
    assert header["config"]["mean"] == pytest.approx(float(train.scenes().mean()), abs=1e-5)
    left = {path.name.removeprefix("halves.") for path in trained[1].parent.iterdir()}
    assert left - {"best.safetensors"} == {"safetensors", "toml", "curve.csv"}
    recipe = Recipe.read(trained[1])
    assert recipe == Recipe.read(trained[1].with_suffix(".toml"))
    assert (recipe.kind, recipe.patch, recipe.training["steps"]) == ("classifier", 0.25, 200)
    assert recipe.architecture["growth"] == [8, 8]


def test_calibration_takes_the_over_confidence_away(tiny, val):
    model = OverConfident(tiny, val.labels)
    labels = val.labels
    model.at = 0
    before = cross_entropy(model.log_probs(Observation.nothing(256, 1, 8)), labels).mean()
    model.at = 0
    calibrate(model, val)
    assert len(model.knots) == len(model.temperatures) == len(LOOKS) + 1
    assert model.knots[0] == 0
    assert model.knots[-1] == 1
    assert (model.knots.diff() > 0).all()
    # the best temperature makes 12 / T the log odds of the rate of right answers
    right = float((torch.arange(256) % 5 != 0).float().mean())
    assert model.temperatures[0].item() == pytest.approx(
        12 / torch.logit(torch.tensor(right)).item(), rel=0.02
    )
    model.at = 0
    after = cross_entropy(model.log_probs(Observation.nothing(256, 1, 8)), labels).mean()
    assert before > 2
    assert after < 0.52


def test_calibration_does_not_move_batch_norm(trained, val):
    model = copy.deepcopy(trained[0])
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    model.train()
    calibrate(model, val)
    assert all(torch.equal(v, before[k]) for k, v in model.network.state_dict().items())


def test_findings_are_trained_too(train, val, tiny, tmp_path):
    def two(dataset):
        labels = torch.stack([dataset.labels, torch.ones_like(dataset.labels)], dim=1)
        return Dataset(
            name="two",
            split=dataset.split,
            images=dataset.images,
            labels=labels,
            label_names=("right", "always"),
        )

    settings = replace(SHORT, steps=30, lr=1e-2)
    config = replace(tiny, outputs=4)
    model = train_classifier(
        two(train), two(val), settings, out=tmp_path / "m.safetensors", config=config
    )
    log_probs = model.log_probs(Observation.of(val.scenes(), torch.ones(256, 1, 8, 8)))
    assert log_probs.shape == (256, 2, 2)
    assert log_probs[:, 1, 1].exp().mean() > 0.8
    assert model.multi_label


def test_interrupted_and_resumed_gives_the_same_checkpoint(train, val, tiny, tmp_path):
    def stop(step, loss):
        if step == 3:
            raise KeyboardInterrupt

    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train_classifier(train, val, SHORT, out=whole, config=tiny)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(train, val, SHORT, out=parts, config=tiny, on_step=stop)
    train_classifier(train, val, SHORT, out=parts, config=tiny)
    (one, header), (other, header2) = load_weights(whole), load_weights(parts)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert header["scores"] == header2["scores"]


def test_the_best_weights_are_a_calibrated_checkpoint_beside_the_last(
    train, val, tiny, tmp_path, monkeypatch
):
    def run(out, figures, **how):
        figures = iter([each for each in figures for _ in ("shifted", "clean")])
        monkeypatch.setattr(scoring, "fmean", lambda _: next(figures))
        train_classifier(train, val, SHORT, out=out, config=tiny, **how)

    def stop(step, loss):
        if step == 3:
            raise KeyboardInterrupt

    last, out, parts = (tmp_path / f"{each}.safetensors" for each in ("last", "out", "parts"))
    run(last, [2.0, 1.0])
    assert not best_path(last).exists()
    run(out, [1.0, 2.0])
    with pytest.raises(KeyboardInterrupt):
        run(parts, [1.0], on_step=stop)
    run(parts, [2.0])
    one, other, best, again = map(load_weights, (last, out, best_path(out), best_path(parts)))
    assert all(torch.equal(one[0][k], other[0][k]) for k in one[0])  # the same in either case
    assert one[1]["scores"] == other[1]["scores"]
    assert (best[1]["steps"], best[1]["best"]["val_nll"]) == (2, 1.0)
    assert all(torch.equal(best[0][k], again[0][k]) for k in best[0])
    assert best[1]["scores"] == again[1]["scores"] != other[1]["scores"]
    model = DenseNetClassifier.load(best_path(out))
    assert len(model.knots) == len(LOOKS) + 1
    found = score(model, val)
    for looks, figures in best[1]["scores"]["val"].items():
        assert found[looks]["nll"] == pytest.approx(figures["nll"], rel=1e-4)


def test_a_training_is_not_gone_on_with_on_other_images(train, val, tiny, tmp_path):
    def stop(step, loss):
        if step == 3:
            raise KeyboardInterrupt

    out = tmp_path / "m.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_classifier(train, val, SHORT, out=out, config=tiny, on_step=stop)
    with pytest.raises(ValueError, match=r"of another training: sha256 is .* there, now"):
        train_classifier(train.subset(range(500)), val, SHORT, out=out, config=tiny)
    with pytest.raises(ValueError, match=r"look_fraction is 0\.25 there, now 0\.5; give the same"):
        train_classifier(train, val, SHORT, out=out, config=tiny, fraction=0.5)
    assert not out.exists()


def test_wrong_network(train, val, tiny, tmp_path):
    with pytest.raises(ValueError, match=r"the network is for .*; halves has 1 of 8"):
        train_classifier(train, val, SHORT, out=tmp_path / "x", config=replace(tiny, size=16))
    with pytest.raises(ValueError, match="outputs is 7, expected 2 for the labels"):
        train_classifier(train, val, SHORT, out=tmp_path / "x", config=replace(tiny, outputs=7))
    assert not list(tmp_path.iterdir())


def test_squares_show_a_number_of_looks():
    scenes = torch.rand(50, 1, 16, 16)

    def mask(count, seed=0):
        counts = torch.full((50,), count)
        seen = Squares(0.25)(scenes, counts, torch.Generator().manual_seed(seed))
        assert torch.equal(seen.values, scenes * seen.mask)
        return seen.mask

    assert mask(EVERYTHING).min() == 1
    assert mask(0).max() == 0
    assert (mask(1).sum((1, 2, 3)) == 16).all()
    assert mask(3).sum((1, 2, 3)).max() <= 48
    assert torch.equal(mask(1), mask(1))
    assert not torch.equal(mask(1), mask(1, seed=1))


def test_training_sees_nothing_to_everything_as_often():
    counts = random_counts(9000, torch.Generator().manual_seed(0))
    assert counts.unique().tolist() == [EVERYTHING, *range(8)]
    assert counts.add(1).bincount().float().div(1000).sub(1).abs().max() < 0.12  # 4 sigma


def test_small_looks_are_many_in_training():
    counts = random_counts(9000, torch.Generator().manual_seed(0), most=343)
    assert (counts.min(), counts.max()) == (EVERYTHING, 343)
    for kind in (EVERYTHING, 0):  # one of nine each
        assert abs(float((counts == kind).float().mean()) - 1 / 9) < 0.014
    some = counts[counts > 0].double().log()  # as many between 5 and 25 as between 25 and 125
    shares = [float(((low < some) & (some <= high)).float().mean()) for low, high in STRETCHES]
    assert shares == pytest.approx([shares[0]] * len(STRETCHES), abs=0.04)
    assert sum(shares) > 0.4


@pytest.mark.parametrize(
    ("sensor", "most", "counts"),
    [
        (PatchSensor(32, 0.25, 9), 7, LOOKS),
        (PatchSensor(32, 0.5, 5), 7, LOOKS),
        (PixelBlocks(32), 448, (0, 1, 3, 11, 39, 132, 448)),
        (PixelBlocks(32, block=2), 112, (0, 1, 3, 7, 17, 44, 112)),
        (PixelBlocks(32, block=4), 7, LOOKS),
        (Lines(32), 7, LOOKS),
    ],
)
def test_as_many_looks_are_trained_with_as_show_what_seven_squares_show(sensor, most, counts):
    looking = RandomLooks(sensor, (1, 32, 32))
    assert most_looks(looking) == most
    assert some_counts(looking) == counts
    many = looking(torch.rand(64, 1, 32, 32), torch.full((64,), most))
    if most > 7:
        assert float(many.fraction_seen.mean()) == pytest.approx(7 / 16, abs=0.01)


def test_a_number_of_looks_to_train_with_is_one():
    looking = Columns()
    assert most_looks(looking) == 7
    looking.most = 0
    with pytest.raises(ValueError, match=r"Columns\.most is 0, expected a number of looks"):
        most_looks(looking)
    assert repeats_of(looking) == 1
    looking.repeats = 0.5
    with pytest.raises(ValueError, match=r"Columns\.repeats is 0\.5, expected a number of times"):
        repeats_of(looking)


def test_single_pixels_are_calibrated_at_many_numbers_of_looks(train, val, tiny, tmp_path):
    looking = RandomLooks(PixelBlocks(8), (1, 8, 8))
    model = train_classifier(
        train, val, SHORT, out=tmp_path / "m.safetensors", config=tiny, looking=looking
    )
    assert set(model.provenance["scores"]["val"]) == {*map(str, some_counts(looking)), "all"}
    shown = torch.tensor([*some_counts(looking), 64]) / 64
    torch.testing.assert_close(model.knots, shown)


class Columns:
    """Looks at whole random columns, from left to right in a random rotation."""

    def __call__(self, scenes, counts, generator=None):
        start = torch.randint(8, (len(scenes), 1), generator=generator)
        column = (torch.arange(8) - start) % 8
        counts = torch.where(counts == EVERYTHING, 8, counts)
        mask = (column < counts[:, None]).float()[:, None, None].expand(-1, 1, 8, -1)
        return Observation.of(scenes, mask)


def test_looks_of_another_sensor(train, val, tiny, tmp_path):
    """They are what it is trained, calibrated and scored with."""
    out, columns = tmp_path / "m.safetensors", Columns()
    settings = ClassifierTrainingConfig(steps=60, batch=32, lr=1e-2, warmup=5, every=30)

    def blind(scenes, counts, generator=None):
        return Squares()(scenes, 0 * counts, generator)

    with pytest.raises(ValueError, match="looking: any number of looks shows the fraction 0;"):
        train_classifier(train, val, SHORT, out=out, config=tiny, looking=blind)
    out.with_suffix(".training.safetensors").unlink()
    model = train_classifier(train, val, settings, out=out, config=tiny, looking=columns)
    assert torch.allclose(model.knots, torch.tensor([0, 1, 2, 3, 4, 6, 8]) / 8)
    header = load_weights(out)[1]
    assert "Columns" in header["looking"]
    assert "look_fraction" not in header
    scores = score(model, val, looking=columns)
    assert header["scores"]["val"] == scores
    assert scores["4"]["accuracy"] > 0.8
    assert scores["1"]["accuracy"] < scores["8"]["accuracy"]


@pytest.mark.parametrize(
    ("size", "channels", "labels", "outputs", "stem"),
    [
        (28, 1, torch.zeros(4, dtype=torch.int64), 3, 4),
        (64, 3, torch.zeros(4, dtype=torch.int64), 3, 4),
        (128, 1, torch.zeros(4, 3, dtype=torch.int64), 6, 8),
    ],
)
def test_presets_build(size, channels, labels, outputs, stem):
    images = torch.zeros(4, channels, size, size, dtype=torch.uint8)
    dataset = Dataset(
        name="x", split="train", images=images, labels=labels, label_names=("a", "b", "c")
    )
    config, _ = preset(dataset)
    assert (config.size, config.channels, config.outputs) == (size, channels, outputs)
    assert config.stem == stem
    model = DenseNetClassifier(config, dataset.label_names, dataset.multi_label).eval()
    log_probs = model.log_probs(Observation.nothing(2, channels, size))
    assert log_probs.shape == ((2, 3, 2) if dataset.multi_label else (2, 3))
