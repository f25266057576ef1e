"""The evaluation of completers: exact ones pass, broken ones are found, an interruption costs
nothing, and what is wrong is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from boed.completion import GaussianMixture
from boed.completion.evaluation.drawing import drawn
from boed.completion.evaluation.evaluate import evaluate
from boed.completion.evaluation.plan import Plan, check_scenes, choose_task, completions_each
from boed.completion.evaluation.results import deterministic, meanings
from boed.completion.log_probability import Meaning
from boed.data.dataset import Dataset
from boed.data.masks import named
from boed.data.observation import Observation
from boed.foundation.randomness import SceneNoise, per_scene

PLAN = Plan(scenes=40, deep=24, n=6, seeds=(0, 1), counts=(0, 2), statistics=2)


def images(number: int, seed: int, split: str) -> Dataset:
    """Smooth random fields, brighter with label 1."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % 2
    coarse = torch.randn(number, 1, 4, 4, generator=generator)
    fields = torch.nn.functional.interpolate(coarse, (16, 16), mode="bilinear")
    values = (110 + 40 * labels[:, None, None, None] + 25 * fields).clamp(0, 255)
    return Dataset(
        name="fields",
        split=split,
        images=values.to(torch.uint8),
        labels=labels,
        label_names=("dark", "bright"),
    )


class Pixels:
    """Pooled pixels for features; the mean brightness answers."""

    name = "pixels"

    def features(self, scenes):
        return torch.nn.functional.avg_pool2d(scenes, 4).flatten(1)

    def log_probs(self, scenes):
        logit = 40 * (scenes.mean((1, 2, 3)) - 130 / 255)
        return torch.stack([-logit, logit], 1).log_softmax(1)


class Noisy:
    """Any brightness at all, whatever was seen."""

    def sample(self, observation, n, seed=0):
        noise = SceneNoise(per_scene(seed, len(observation)), observation.device)
        return observation.composite(noise.uniform(n, *observation.values.shape[1:]))


class Once:
    """One and the same grey scene."""

    def __init__(self) -> None:
        self.calls = 0

    def sample(self, observation, n, seed=0):
        self.calls += 1
        return observation.composite(torch.full((n, *observation.values.shape), 0.5))


@pytest.fixture(scope="module")
def sets():
    return images(80, 1, "test"), images(120, 0, "train")


@pytest.fixture(scope="module")
def results(sets):
    test, library = sets
    fitted = GaussianMixture(library, components="classes", factors=12)
    return evaluate(
        {"fitted": fitted, "noisy": Noisy(), "once": Once()},
        test,
        library,
        extractor=Pixels(),
        plan=PLAN,
    )


def mean(results, variable, **where):
    return {
        str(name): float(results[variable].sel(completer=name, **where).mean())
        for name in results["completer"].values
    }


def test_the_good_one_is_best_in_all_that_has_a_best(results):
    for variable in ("frechet", "kernel", "l1", "crps", "energy", "label_nll"):
        found = mean(results, variable)
        assert found["fitted"] < min(found["noisy"], found["once"]), variable
    for variable in ("coverage", "recall", "psnr"):
        found = mean(results, variable)
        assert found["fitted"] > max(found["noisy"], found["once"]), variable
    assert mean(results, "frechet")["fitted"] < 3 * float(results["frechet_floor"][0])


def test_what_has_no_diversity_is_called_the_same(results):
    assert deterministic(results) == {"once"}
    assert mean(results, "feature_distance")["once"] == 0
    assert mean(results, "inception_score")["once"] == pytest.approx(1, abs=1e-5)
    assert float(results["tarp_bias"].sel(completer="once").max()) < 0
    assert (results["sbc_p"].sel(completer="once") < 1e-6).all()
    assert (results["sbc_p"].sel(completer="fitted", condition=["0", "2"]) > 1e-4).all()


def test_dimensions_and_conventions(results):
    assert list(results["condition"].values) == ["0", "2", "holes"]
    assert list(results["group"].values) == ["0", "2", "holes", "all"]
    assert results["crps"].dims == ("completer", "seed", "condition", "scene")
    assert results.sizes["scene"] == 24
    assert np.isnan(results["observed_error"].sel(condition="0")).all()
    assert (results["completions"] == completions_each(PLAN)).all()
    assert np.isnan(results["bits_per_dim"]).all()
    implied = results["implied_level"].values
    assert (np.diff(implied) >= 0).all()
    assert results.attrs["scenes"] == 40


def test_seeds_change_completions_but_not_scenes(results):
    noisy = results["crps"].sel(completer="noisy")
    assert not np.allclose(noisy.sel(seed=0), noisy.sel(seed=1))
    once = results["crps"].sel(completer="once")
    assert np.array_equal(once.sel(seed=0), once.sel(seed=1))


def test_finished_parts_are_kept_and_belong_to_their_plan(sets, tmp_path):
    test, library = sets
    reported: list[int] = []
    first = Once()
    evaluate(
        {"once": first},
        test,
        library,
        extractor=Pixels(),
        plan=PLAN,
        folder=tmp_path,
        advance=lambda _, k: reported.append(k),
    )
    assert first.calls > 0
    assert sum(reported) == 2 * completions_each(PLAN)
    whole = evaluate({"once": first}, test, library, extractor=Pixels(), plan=PLAN)

    class Broken(Once):
        def sample(self, observation, n, seed=0):
            raise KeyboardInterrupt

    model = Once()
    model.calls = first.calls  # it counts, and is part of what it holds
    with pytest.raises(KeyboardInterrupt):
        evaluate({"once": Broken()}, test, library, extractor=Pixels(), plan=PLAN, folder=tmp_path)
    kept = sorted((tmp_path / "parts").iterdir())
    assert [path.name for path in kept] == ["once-0.safetensors", "once-1.safetensors"]
    kept[0].write_bytes(b"garbage")  # of no plan
    other = Plan(scenes=40, deep=24, n=5, seeds=(0, 1), counts=(0, 2), statistics=2)
    again = evaluate(
        {"once": Once()}, test, library, extractor=Pixels(), plan=other, folder=tmp_path
    )
    assert again.attrs["n"] == 5
    assert whole.attrs["n"] == 6


class Scoring(Noisy):
    """It says how likely scenes are: black or white, each equally often."""

    log_prob_is, levels, counts = "exact", 2, "hidden"

    def log_prob(self, scene, observation):
        return math.log(0.5) * (1 - observation.mask).sum((1, 2, 3))


class Unsaid(Noisy):
    def log_prob(self, scene, observation):
        return torch.zeros(len(scene))


@pytest.fixture(scope="module")
def masked(sets):
    """With other masks, too."""
    plan = replace(PLAN, masks=("top:4", "blobs"))
    return evaluate({"scoring": Scoring(), "once": Once()}, *sets, extractor=Pixels(), plan=plan)


def test_masks_are_conditions_of_their_own(sets, masked):
    plain = evaluate({"scoring": Scoring(), "once": Once()}, *sets, extractor=Pixels(), plan=PLAN)
    assert list(masked["condition"].values) == ["0", "2", "holes", "top:4", "blobs"]
    assert list(masked["group"].values) == ["0", "2", "holes", "top:4", "blobs", "all"]
    for name, values in plain.items():  # the same numbers, all together among them
        if name in ("seconds", "completions"):
            continue
        at = {axis: plain[axis] for axis in ("condition", "group") if axis in values.dims}
        np.testing.assert_array_equal(masked[name].sel(at).values, values.values, str(name))
    assert masked["crps"].notnull().all()
    task = choose_task(*sets, replace(PLAN, masks=("top:4", "blobs")))
    assert torch.equal(task.masks["top:4"], named("top:4")(40, 16))
    assert len(torch.unique(task.masks["blobs"], dim=0)) > 30


def test_bits_are_of_what_the_completer_says(masked):
    bits = masked["bits_per_dim"].sel(completer="scoring")
    assert float(bits.sel(condition="0")) == pytest.approx(1)
    assert float(bits.sel(condition="top:4")) == pytest.approx(0.75)
    assert np.isnan(masked["bits_per_dim"].sel(completer="once")).all()
    assert meanings(masked) == {"scoring": Meaning(log_prob_is="exact", levels=2, counts="hidden")}


def test_a_log_prob_that_does_not_say_what_it_is_is_refused_before_any_work(sets):
    with pytest.raises(ValueError, match="Unsaid has log_prob, but does not say what it is"):
        evaluate({"unsaid": Unsaid()}, *sets, extractor=Pixels(), plan=PLAN)


def test_metrics_of_the_papers(masked):
    squares = masked.sel(condition=["0", "2"])
    assert (squares["relative_l1_best"] <= squares["relative_l1"] + 1e-4).all()
    assert (squares["decibels"] >= squares["psnr"] - 1e-4).all()  # mean of dB, dB of the mean
    same = squares.sel(completer="once")
    np.testing.assert_allclose(same["decibels"], same["psnr"], rtol=1e-5)
    hidden = same.sel(condition="0")
    np.testing.assert_allclose(hidden["squared_error"], 10 ** (-hidden["psnr"] / 10), rtol=1e-4)
    assert ((squares["share_within"] >= 0) & (squares["share_within"] <= 1)).all()


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ("tpo", "masks is 'tpo': did you mean 'top'"),
        (("top:x",), "masks top:x: rows is 'x', expected a whole number"),
        (("top", "top"), "masks: top stands there twice"),
        (("holes",), "masks has 'holes', a condition that is measured already"),
        (5, "masks is 5, expected names"),
    ],
)
def test_masks_that_there_are_not(masks, said):
    with pytest.raises(ValueError, match=said):
        replace(PLAN, masks=masks)


def test_masks_that_the_scenes_cannot_have(sets):
    plan = replace(PLAN, masks=("blobs", "top:16"))
    with pytest.raises(ValueError, match="masks top:16: rows is 16, expected at most 15"):
        check_scenes(plan, *sets)
    with pytest.raises(ValueError, match="masks top:16: rows is 16, expected at most 15"):
        evaluate({"o": Once()}, *sets, extractor=Pixels(), plan=plan)


def test_more_completions_than_memory_has_room_for_are_refused(sets):
    test, library = sets
    plan = Plan(scenes=40, deep=24, n=10**9, seeds=(0, 1), counts=(0, 2), statistics=2)
    with pytest.raises(ValueError, match=r"completions 1000000000: of 24 scenes needs about"):
        evaluate({"once": Once()}, test, library, extractor=Pixels(), plan=plan)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 1}, "n is 1, expected at least 2"),
        ({"deep": 50}, "deep is 50, expected at most `scenes`, 40"),
        ({"scenes": 3, "deep": 8}, "scenes is 3, expected at least 8"),
        ({"seeds": ()}, "seeds and counts must not be empty"),
    ],
)
def test_wrong_plans(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PLAN, **changes)


def test_more_scenes_than_there_are(sets):
    test, library = sets
    with pytest.raises(ValueError, match=r"scenes is 90, but fields \(test\) has 80"):
        evaluate({"once": Once()}, test, library, extractor=Pixels(), plan=Plan(scenes=90))


@pytest.mark.parametrize(("scenes", "deep"), [(8, 8), (40, 40), (64, 64), (256, 64)])
def test_how_many_scenes_get_many_completions_follows_how_many_there_are(scenes, deep):
    assert Plan(scenes=scenes).deep == deep
    assert Plan().deep == 64
    assert Plan(scenes=scenes, deep=8).deep == 8


def test_completions_that_are_not_finite_are_told_with_whose_they_are() -> None:
    class Diverged:
        def sample(self, observation, n, seed=0):
            return observation.values.expand(n, -1, -1, -1, -1) * math.nan

    observation = Observation.of(torch.rand(3, 1, 4, 4), torch.ones(3, 1, 4, 4))
    with pytest.raises(ValueError, match=r"completer: Diverged\.sample drew 96 of 96 pixels"):
        drawn(Diverged(), observation, 2, seeds=[0, 1, 2], batch=8, report=lambda _: None)
