"""A user's plain class with three methods is a sensor everywhere, and its mistakes name it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from boed.acquire import Budget, acquire
from boed.benchmark.sweep import benchmark
from boed.completion import Retrieval
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.eig import eig_map
from boed.policies import BOED, CentreOut, Decision, FirstLook, Oracle, Random
from boed.report import results as stored
from boed.report import statistics, write_report
from boed.report.worked_scenes import describe
from boed.sensors import Foveated, Lines, PatchSensor, PixelBlocks, Sensor
from tests.doubles import BACKGROUND, LEVELS, ClueClassifier

BAND = 2
"""Rows that one look shows."""

BAR = 6
"""First row of the bar whose level is the class."""


class LineScan:
    """Sees a band of two rows; a design is the first row, `[D, 1]`."""

    def designs(self, observation: Observation) -> Tensor:
        return torch.arange(0, observation.shape[0], BAND)[:, None]

    def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
        rows = torch.arange(scene.shape[-2])
        shown = (rows >= design) & (rows < design + BAND)  # [B, H]
        return observation.with_seen(scene, shown[:, None, :, None] * torch.ones_like(scene))

    def cost(self, design: Tensor) -> Tensor:
        return torch.ones(len(design))


class BandMeans:
    """Sees no pixels: the mean of a band of two rows, shown all over the band."""

    @staticmethod
    def forward(scene: Tensor) -> Tensor:
        return scene.mean((1, 3)).unflatten(1, (-1, BAND)).mean(2)

    def designs(self, observation: Observation) -> Tensor:
        return torch.arange(observation.shape[0] // BAND)[:, None]

    def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
        taken = torch.nn.functional.one_hot(design[:, 0], scene.shape[-2] // BAND).float()
        if observation.taken is not None:
            taken = torch.maximum(taken, observation.taken)
        readings = self.forward(scene) * taken
        mask = self.spread(taken, scene)
        return Observation(self.spread(readings, scene), mask, readings=readings, taken=taken)

    def cost(self, design: Tensor) -> Tensor:
        return torch.ones(len(design))

    @staticmethod
    def spread(bands: Tensor, scene: Tensor) -> Tensor:
        rows = bands.repeat_interleave(BAND, dim=1)
        return rows[:, None, :, None].expand(-1, 1, -1, scene.shape[-1]).contiguous()


def bars(number: int, height: int, width: int, seed: int = 0) -> Dataset:
    """Grey scenes with a bar two rows high, whose level is the class."""
    answers = torch.as_tensor(np.random.default_rng(seed).integers(3, size=number))
    scenes = torch.full((number, 1, height, width), BACKGROUND)
    scenes[:, :, BAR : BAR + BAND] = LEVELS[answers][:, None, None, None]
    images = (scenes * 255).round().to(torch.uint8)
    return Dataset(
        name="bars",
        split="test",
        images=images,
        labels=answers,
        label_names=("dark", "middle", "bright"),
    )


@dataclass(frozen=True)
class World:
    """A sensor, the shape of its scenes, and the look that shows the bar."""

    make: Callable[[], Any]
    height: int
    width: int
    best: int
    transform: Callable[[Tensor], Tensor] | None = None

    def data(self, number: int = 12) -> Dataset:
        return bars(number, self.height, self.width)

    def policy(self, **options: Any) -> BOED:
        completer = Retrieval(bars(30, self.height, self.width, 1), 0.1, self.transform)
        return BOED(completer, ClueClassifier(), n=5, first_look=FirstLook(n=30), **options)


WORLDS = {
    "line scan": World(LineScan, 16, 16, BAR),
    "line scan, wide scenes": World(LineScan, 12, 20, BAR),
    "line scan, tall scenes": World(LineScan, 20, 8, BAR),
    "readings of wide scenes": World(BandMeans, 12, 20, BAR // BAND, BandMeans.forward),
}


@pytest.fixture(params=list(WORLDS.values()), ids=list(WORLDS))
def world(request: pytest.FixtureRequest) -> World:
    return request.param


def compared(world: World, **options: Any) -> xr.Dataset:
    policies = {"boed": world.policy(), "random": Random()}
    sensor, data = world.make(), world.data()
    return benchmark(data, sensor, ClueClassifier(), policies=policies, steps=2, **options)


@pytest.mark.parametrize("kind", [LineScan, BandMeans])
def test_it_is_a_plain_class(kind: type) -> None:
    assert kind.__mro__ == (kind, object)
    assert isinstance(kind(), Sensor)


def test_acquire_looks_at_the_bar(world: World) -> None:
    data = world.data()
    found = acquire(
        data.scenes(), world.make(), world.policy(), steps=2, classifier=ClueClassifier()
    )
    assert found.designs[:, 0, 0].tolist() == [world.best] * len(data)
    assert torch.equal(found.log_beliefs[:, 1].argmax(-1), data.labels)
    assert found.costs.tolist() == [[1.0, 1.0]] * len(data)
    rows = found.observations[1].mask[:, 0, :, 0].nonzero()[:, 1]
    assert rows.tolist() == [BAR, BAR + 1] * len(data)
    assert found.observations[2].mask.shape == (len(data), 1, world.height, world.width)


@pytest.mark.parametrize("policy", [Random(), CentreOut()])
def test_scans_look_somewhere_new(world: World, policy: Any) -> None:
    found = acquire(
        world.data(4).scenes(), world.make(), policy, steps=2, classifier=ClueClassifier()
    )
    assert not (found.designs[:, 0] == found.designs[:, 1]).any()


def test_the_oracle_looks_at_the_bar(world: World) -> None:
    oracle = Oracle(ClueClassifier())
    found = acquire(
        world.data(4).scenes(), world.make(), oracle, steps=1, classifier=ClueClassifier()
    )
    assert found.designs[:, 0, 0].tolist() == [world.best] * 4


def test_budgets_count_its_cost(world: World) -> None:
    budget = Budget(cost=2.5)
    scenes = world.data(4).scenes()
    found = acquire(
        scenes, world.make(), Random(), steps=5, classifier=ClueClassifier(), budget=budget
    )
    assert found.looks.tolist() == [2] * 4


def test_results_are_saved_and_loaded(world: World, tmp_path: Path) -> None:
    results = compared(world)
    stored.save(results, tmp_path / "results.nc")
    again = stored.load(tmp_path / "results.nc")
    xr.testing.assert_identical(again, results)
    assert again["axis"].values.tolist() == ["design_0"]
    masks = again["candidate_mask"]
    assert masks.shape == (world.height // BAND, world.height, world.width)
    assert np.array_equal(masks.sum(("y", "x")), [BAND * world.width] * (world.height // BAND))
    right = statistics.curves(again, "accuracy")
    assert right.sel(policy="boed", look=1) == 1
    assert right.sel(policy="random", look=1) < 0.8
    assert f'"kind": "{world.make.__name__}"' in again.attrs["sensor"]


def test_an_interrupted_run_goes_on(world: World, tmp_path: Path) -> None:
    first = compared(world, out=tmp_path / "run")
    again = compared(world, out=tmp_path / "run")
    xr.testing.assert_equal(first, again)  # seconds too: nothing was run anew


@pytest.mark.parametrize("name", ["line scan, wide scenes", "readings of wide scenes"])
def test_the_report_shows_it(name: str, tmp_path: Path) -> None:
    world = WORLDS[name]
    data, sensor = world.data(), world.make()
    scenes = data.scenes([0, 1])
    run = acquire(scenes, sensor, world.policy(), steps=2, classifier=ClueClassifier())
    examples = describe(run, scenes, data.labels[:2], sensor=sensor)
    examples.attrs = {"policy": "boed"}
    path = tmp_path / "report.html"
    write_report(compared(world), path, examples)
    text = path.read_text()
    assert f"{world.make.__name__}, {world.height // BAND} candidates" in text
    pixels = name == "line scan, wide scenes"  # then looks also lie on the mean scene
    assert text.count("<img") == 5 + pixels  # curves, two panels, looks, calibration


def test_environment_plays_it(world: World) -> None:
    gymnasium = pytest.importorskip("gymnasium", minversion="1.1")
    from gymnasium.utils.env_checker import check_env

    from boed.environments import (
        ClassifierPredicts,
        SensingEnv,
        VectorClassifierPredicts,
        VectorSensingEnv,
        play,
    )

    data, sensor = world.data(), world.make()
    env = SensingEnv(data, sensor, 2, classifier=ClueClassifier(), cost_weight=0.1)
    with pytest.warns(UserWarning, match="Box"):  # logits have no bounds
        check_env(env, skip_render_check=True)
    single = ClassifierPredicts(env)
    assert single.action_space == gymnasium.spaces.Discrete(world.height // BAND)
    seen, _ = single.reset(seed=0)
    assert seen["image"].shape == (1, world.height, world.width)
    assert play(single, world.policy(), seed=0) == pytest.approx([-0.1, -0.1], abs=1e-5)
    vector = VectorSensingEnv(
        3, data, sensor, looks=2, classifier=ClueClassifier(), cost_weight=0.1
    )
    rewards = play(VectorClassifierPredicts(vector), world.policy(), seed=0)
    np.testing.assert_allclose(rewards, np.full((2, 3), -0.1), atol=1e-5)


# --- mistakes --------------------------------------------------------------------------------


class Cropped(LineScan):
    def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
        return Observation(scene[..., :8, :8], torch.ones(len(scene), 1, 8, 8))


class OneForAll(LineScan):
    def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
        return super().observe(observation, scene, design)[:1]


class Raw(LineScan):
    def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Any:
        return super().observe(observation, scene, design).values


class Noisy(LineScan):
    def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
        seen = super().observe(observation, scene, design)
        return Observation(seen.values / seen.mask, seen.mask)  # 0 / 0 where nothing is seen


class Nowhere(LineScan):
    def designs(self, observation: Observation) -> Tensor:
        return torch.zeros(0, 1)


class Flat(LineScan):
    def designs(self, observation: Observation) -> Tensor:
        return torch.arange(8)


class Undefined(LineScan):
    def designs(self, observation: Observation) -> Tensor:
        return torch.tensor([[0.0], [torch.nan]])


class Outside(LineScan):
    """Offers a row that there is not, and says so when it is asked to look there."""

    def designs(self, observation: Observation) -> Tensor:
        return torch.tensor([[0], [99]])

    def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
        last = scene.shape[-2] - BAND
        if design.max() > last:
            raise ValueError(f"design is {int(design.max())}, expected rows 0 to {last}")
        return super().observe(observation, scene, design)


class Listed(LineScan):
    def designs(self, observation: Observation) -> Any:
        return [[0], [2]]


class Bounded(LineScan):
    bounds = torch.tensor([[0.0], [6.0]])  # of 16 rows


class Heavy(LineScan):
    def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
        seen = super().observe(observation, scene, design)
        return Observation(seen.values, 3 * seen.mask)


class Priced(LineScan):
    def cost(self, design: Tensor) -> Any:
        return 1


class Summed(LineScan):
    def cost(self, design: Tensor) -> Tensor:
        return torch.ones(len(design)).sum()


class Refund(LineScan):
    def cost(self, design: Tensor) -> Tensor:
        return -torch.ones(len(design))


class Unpriced(LineScan):
    def cost(self, design: Tensor) -> Tensor:
        return torch.full((len(design),), torch.nan)


class Free(LineScan):
    def cost(self, design: Tensor) -> Tensor:
        return (design[:, 0] > 0).float()


WORLD = WORLDS["line scan"]
MISTAKES = {
    Cropped: r"Cropped\.observe returned values \(\d+, 1, 8, 8\), expected \(\d+, 1, 16, 16\)",
    Raw: r"Raw\.observe returned a Tensor, .*, expected an Observation",
    Noisy: r"Noisy\.observe returned values that are NaN or infinite",
    Nowhere: r"Nowhere\.designs returned no candidate",
    Flat: r"Flat\.designs returned \(8,\), expected \[D, K\]",
    Undefined: r"Undefined\.designs returned designs that are NaN or infinite",
    Outside: r"design is 99, expected rows 0 to 14",
    Listed: r"Listed\.designs returned a list, expected a tensor",
    Bounded: r"Bounded\.designs returned \[8\], outside the sensor's bounds \[0\.0\] to \[6\.0\]",
    Heavy: r"Heavy\.observe returned a mask from 0 to 3, expected 0 to 1",
    Priced: r"Priced\.cost returned an int, 1, expected a tensor",
    Summed: r"Summed\.cost returned \(\), expected \(\d+,\)",
    Refund: r"Refund\.cost returned -1 to -1, expected 0 or more",
    Unpriced: r"Unpriced\.cost returned nan to nan, expected 0 or more",
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_acquire_names_the_culprit(kind: type) -> None:
    scenes = WORLD.data(4).scenes()
    with pytest.raises(ValueError, match=MISTAKES[kind]):
        acquire(scenes, kind(), WORLD.policy(), steps=1, classifier=ClueClassifier())


@pytest.mark.parametrize("kind", MISTAKES)
def test_benchmark_names_the_culprit(kind: type, tmp_path: Path) -> None:
    policies = {"random": Random()}
    with pytest.raises(ValueError, match=MISTAKES[kind]):
        benchmark(WORLD.data(4), kind(), ClueClassifier(), policies=policies, steps=1, out=tmp_path)
    assert not list(tmp_path.rglob("*.npz"))  # nothing half-written


@pytest.mark.parametrize("kind", MISTAKES)
def test_environment_names_the_culprit(kind: type) -> None:
    pytest.importorskip("gymnasium", minversion="1.1")
    from boed.environments import ClassifierPredicts, SensingEnv

    def episode() -> None:
        env = ClassifierPredicts(SensingEnv(WORLD.data(4), kind(), 1, classifier=ClueClassifier()))
        env.reset(seed=0)
        env.step(1)

    with pytest.raises(ValueError, match=MISTAKES[kind]):
        episode()


def test_one_observation_for_all_scenes_is_refused() -> None:
    scenes = WORLD.data(4).scenes()
    message = r"OneForAll\.observe returned values \(1, 1, 16, 16\), expected \(\d+, 1, 16, 16\)"
    with pytest.raises(ValueError, match=message):
        acquire(scenes, OneForAll(), Random(), steps=1, classifier=ClueClassifier())


def test_free_looks_have_no_information_per_cost() -> None:
    scenes = WORLD.data(4).scenes()
    message = r"per_cost: Free\.cost is 0 for design \[0\]; .* costs above 0"
    with pytest.raises(ValueError, match=message):
        acquire(scenes, Free(), WORLD.policy(per_cost=True), steps=1, classifier=ClueClassifier())
    found = acquire(
        scenes, Free(), WORLD.policy(), steps=1, classifier=ClueClassifier()
    )  # fine otherwise
    assert found.designs[:, 0, 0].tolist() == [BAR] * 4


def test_no_candidate_has_no_eig() -> None:
    blank = Observation.nothing(1, 1, 16)
    completions = Retrieval(WORLD.data()).complete(blank, 4)
    with pytest.raises(ValueError, match=r"Nowhere\.designs returned no candidate"):
        eig_map(blank, completions, Nowhere(), classifier=ClueClassifier())


class Astray:
    """A policy that looks where no sensor can."""

    def choose(
        self, observation: Observation, sensor: Any, seed: Any = 0, truth: Tensor | None = None
    ) -> Decision:
        designs = sensor.designs(observation)
        return Decision(
            torch.full_like(designs[:1], 99).expand(len(observation), -1), candidates=designs
        )


@pytest.mark.parametrize(
    ("sensor", "message"),
    [
        (Lines(16), r"design \[99\]: entry 0 must lie between 0 and 15"),
        (PixelBlocks(16), r"design \[99, 99\]: entry 0 must lie between 0 and 15"),
        (Foveated(16), r"design \[99.*\]: entry 0 must lie between"),
        (PatchSensor(16), r"design spans pixels 99\.\.102; the scene has 0\.\.15"),
        (Outside(), "design is 99, expected rows 0 to 14"),
    ],
)
def test_designs_outside_the_bounds(sensor: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        acquire(WORLD.data(2).scenes(), sensor, Astray(), steps=1, classifier=ClueClassifier())
