"""The evaluation of completers: exact ones pass, broken ones are found, an interruption costs
nothing, and what is wrong is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boed.completion import GaussianMixture
from boed.completion.evaluation.evaluate import evaluate
from boed.completion.evaluation.plan import Plan, completions_each
from boed.data.dataset import Dataset
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
    assert results.attrs["deterministic"] == "once"
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
    from dataclasses import replace

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
