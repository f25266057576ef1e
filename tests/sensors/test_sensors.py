"""One list of all sensors, and what every one of them must fulfil."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import pytest
import torch
from torch import Tensor

from boed import sensors
from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig import eig_map
from boed.foundation.randomness import derive
from boed.foundation.torchvision_compat import torchvision
from boed.sensors import (
    DeepinvSensor,
    DirectSensor,
    Features,
    Foveated,
    IndirectSensor,
    KSpaceLines,
    LinearSensor,
    Lines,
    PatchSensor,
    PixelBlocks,
    Projections,
    Sensor,
)
from boed.sensors.reading import read as instrument_reads
from boed.sensors.reading import reading_shape, record
from boed.sensors.sensor import candidates, costs, look
from boed.testing.sensors import (
    PROPERTIES,
    SensorCase,
    a_scene_does_not_depend_on_its_batch,
    looking_twice_adds_nothing,
    noise_belongs_to_the_seed,
    nothing_unseen_leaks,
    unnoticed,
)
from tests.doubles import RowSensor


@dataclass(frozen=True)
class Case:
    """A sensor, how to make it with some noise, and what is known of it.

    `best` is a look whose content no other look shows; `recovers` is how far the scene may be from
    what is shown once all looks were taken, None where the looks leave something unknown.
    """

    make: Callable[[float], Sensor]
    shape: tuple[int, int]
    channels: int = 1
    best: int | None = 0
    recovers: float | None = None
    has_noise: bool = True

    def sensor(self, noise: float = 0.0) -> Sensor:
        return self.make(noise)

    def nothing(self, batch: int = 1) -> Observation:
        return Observation.nothing(batch, self.channels, self.shape)

    def scenes(self, batch: int, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(batch, self.channels, *self.shape, generator=generator)

    def after(self, sensor: Sensor, scene: Tensor, *numbers: int, seed: int = 0) -> Observation:
        """The observation after the candidates of these numbers, at all scenes alike."""
        result = self.nothing(len(scene))
        designs = candidates(sensor, result)
        seeds = [derive(seed, k) for k in range(len(scene))]
        for number in numbers:
            result = look(sensor, result, scene, design=designs[[number] * len(scene)], seeds=seeds)
        return result

    def everything(self, sensor: Sensor, scene: Tensor, seed: int = 0) -> Observation:
        return self.after(sensor, scene, *range(len(self.designs(sensor))), seed=seed)

    def designs(self, sensor: Sensor) -> Tensor:
        return candidates(sensor, self.nothing())


def gaussian(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def orthonormal(size: int) -> Tensor:
    return torch.linalg.qr(gaussian((size, size)))[0]


class PairSensor:
    """A user's plain class: sees two opposite corners, with noise in pixel values."""

    def __init__(self, noise: float) -> None:
        self.noise = noise

    def designs(self, observation: Observation) -> Tensor:
        return torch.tensor([[0.0], [1.0]])

    def observe(
        self, observation: Observation, scene: Tensor, design: Tensor, seed: list[int] | int = 0
    ) -> Observation:
        shown = torch.zeros_like(observation.mask)
        right = design[:, 0].long()
        shown[torch.arange(len(scene)), 0, 0, -right] = 1
        shown[torch.arange(len(scene)), 0, -1, right - 1] = 1
        if self.noise > 0:
            fields = [
                torch.randn(scene.shape[1:], generator=torch.Generator().manual_seed(each))
                for each in seed  # type: ignore[union-attr]
            ]
            scene = scene + self.noise * torch.stack(fields)
        return observation.with_seen(scene, shown * (1 - observation.mask))

    def cost(self, design: Tensor) -> Tensor:
        return 1 + design[:, 0]


KERNEL = torch.tensor([[[[0.1, 0.1, 0.0], [0.1, 0.5, 0.1], [0.0, 0.1, 0.0]]]])


def deepinv(
    name: str, looks: int | Tensor, shape: tuple[int, int] = (8, 8), **given: object
) -> Callable[[float], Sensor]:
    """Makes the `DeepinvSensor` of a physics; skips the test where deepinv is not installed."""

    def make(noise: float) -> Sensor:
        physics = physics_module()
        kinds: dict[str, Callable[..., object]] = {
            "MRI": lambda **more: physics.MRI(img_size=shape, **more),
            "Inpainting": lambda **more: physics.Inpainting((1, *shape), torch.ones(shape), **more),
            "Blur": lambda **more: physics.Blur(KERNEL, padding="circular", **more),
            "BlurFFT": lambda **more: physics.BlurFFT((1, *shape), KERNEL, **more),
            "Downsampling": lambda **more: physics.Downsampling(
                img_size=(1, *shape), factor=2, filter="bilinear", **more
            ),
            "CompressedSensing": lambda **more: physics.CompressedSensing(
                20, (1, *shape), rng=torch.Generator().manual_seed(0), **more
            ),
            "Decolorize": lambda **more: physics.Decolorize(**more),
            "Tomography": lambda **more: physics.Tomography(
                angles=4, img_width=shape[1], normalize=True, **more
            ),
        }
        noise_model = physics.GaussianNoise(noise) if noise > 0 else physics.ZeroNoise()
        return DeepinvSensor(kinds[name](noise_model=noise_model), shape, looks, **given)  # type: ignore[arg-type]

    return make


def physics_module() -> ModuleType:
    torchvision()  # deepinv imports it, whatever build there is
    return pytest.importorskip("deepinv").physics


FOUR_CORNERS = torch.tensor([[2, 2], [2, 7], [9, 2], [9, 7]])
PIXELS = {
    "patch": Case(lambda s: PatchSensor(8, 0.5, 3, noise=s), (8, 8), 2, 0, 0.0),
    "patch of all": Case(lambda s: PatchSensor(9, 1.0, noise=s), (9, 9), 1, 0, 0.0),
    "patch, own candidates": Case(
        lambda s: PatchSensor(8, 0.25, torch.tensor([[0, 0], [3, 5], [6, 6]]), noise=s),
        (8, 8),
        1,
        1,
    ),
    "pixels": Case(lambda s: PixelBlocks((3, 5), noise=s), (3, 5), 3, 7, 0.0),
    "blocks": Case(lambda s: PixelBlocks((5, 7), 2, noise=s), (5, 7), 1, 11, 0.0),
    "rows": Case(lambda s: Lines((6, 5), noise=s), (6, 5), 2, 4, 0.0),
    "columns": Case(lambda s: Lines((6, 5), "column", 2, noise=s), (6, 5), 1, 2, 0.0),
    "rows and columns": Case(lambda s: Lines((3, 4), "both", noise=s), (3, 4), 1, None, 0.0),
    "rows or columns, own candidates": Case(
        lambda s: Lines((3, 4), "both", 1, designs=torch.tensor([[0, 0], [1, 3]]), noise=s),
        (3, 4),
        1,
        1,
    ),
    "features": Case(
        lambda s: Features(["age", "weight", "height"], [0.5, 2, 1], s), (1, 3), 1, 2, 0.0
    ),
}  # fmt: skip
READINGS = {
    "k-space": Case(lambda s: KSpaceLines((6, 8), noise=s), (6, 8), 2, 0, 1e-6),
    "k-space, odd": Case(lambda s: KSpaceLines((5, 7), noise=s), (5, 7), 1, 3, 1e-6),
    "k-space, free centre": Case(lambda s: KSpaceLines((6, 8), 2, noise=s), (6, 8), 1, 0, 1e-6),
    "projections": Case(lambda s: Projections((8, 6), 4, s), (8, 6), 2, 2),
    "projections, own angles": Case(
        lambda s: Projections(7, torch.tensor([170.0, 10.0, 60.0]), s), (7, 7), 1, 1
    ),
    "foveated": Case(
        lambda s: Foveated((12, 10), 2, 3, designs=FOUR_CORNERS, noise=s), (12, 10), 2, 1
    ),
    "foveated, everywhere": Case(
        lambda s: Foveated((7, 9), 2, 3, noise=s), (7, 9), 1, None, 0.0
    ),
    "linear-Gaussian": Case(
        lambda s: LinearSensor(gaussian((5, 2, 24)), (4, 3), 2, noise=s), (4, 3), 2, 3
    ),
    "linear-Gaussian, complete": Case(
        lambda s: LinearSensor(orthonormal(12).unflatten(0, (4, 3)), (4, 3), 1, noise=s),
        (4, 3), 1, 2, 1e-5,
    ),
    "linear-Gaussian, more than complete": Case(
        lambda s: LinearSensor(gaussian((10, 2, 12)), (4, 3), 1, noise=s), (4, 3), 1, None, 1e-4
    ),
    "deepinv MRI": Case(deepinv("MRI", -1, complex_images=True), (8, 8), 1, 0, 1e-6),
    "deepinv Inpainting": Case(deepinv("Inpainting", 2), (8, 8), 1, 5, 1e-6),
    "deepinv Blur": Case(deepinv("Blur", 2), (8, 8), 1, 2),
    "deepinv BlurFFT": Case(deepinv("BlurFFT", 2, reconstruction="dagger"), (8, 8), 1, 2, 1e-4),
    "deepinv Downsampling": Case(deepinv("Downsampling", -1), (8, 8), 1, 3),
    "deepinv CompressedSensing": Case(
        deepinv("CompressedSensing", torch.eye(5).repeat_interleave(4, 1)), (8, 8), 1, 4
    ),
    "deepinv Decolorize": Case(deepinv("Decolorize", 2, channels=3), (8, 8), 3, 6),
    "deepinv Tomography": Case(deepinv("Tomography", -1), (8, 8), 1, 1),
}  # fmt: skip
USERS = {
    "a user's rows": Case(lambda s: RowSensor(), (6, 6), 2, 3, 0.0, has_noise=False),
    "a user's pairs": Case(PairSensor, (4, 4), 1, 1),
}
CASES = PIXELS | READINGS | USERS


def cases(
    of: dict[str, Case] = CASES, which: Callable[[Case], bool] = lambda case: True
) -> pytest.MarkDecorator:
    some = {name: case for name, case in of.items() if which(case)}
    return pytest.mark.parametrize("case", list(some.values()), ids=list(some))


def close(one: Observation, other: Observation, tolerance: float = 1e-5) -> None:
    """The same readings, and the same shown, up to the order of a sum."""
    assert torch.equal(one.seen, other.seen)
    assert torch.equal(one.mask, other.mask)
    torch.testing.assert_close(one.values, other.values, atol=tolerance, rtol=0)
    if one.readings is not None:
        torch.testing.assert_close(one.readings, other.readings, atol=tolerance, rtol=0)


def read(observation: Observation) -> Tensor:
    """What was measured, `[B, n]`, where the same was measured of all scenes."""
    if observation.readings is not None:
        return observation.readings[:, observation.seen[0] > 0]
    return observation.values.flatten(2)[:, :, observation.seen[0] > 0].flatten(1)


def test_every_sensor_is_on_the_list() -> None:
    named = {getattr(sensors, name) for name in sensors.__all__}
    named -= {DirectSensor, IndirectSensor, Sensor}
    for kind in named:
        tested = [case for name, case in CASES.items() if "deepinv" not in name]
        assert kind is DeepinvSensor or any(
            type(case.sensor()) is kind and case.best is not None for case in tested
        ), kind


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda holds: holds.__name__)
@cases()
def test_what_every_sensor_fulfils(case: Case, holds: Callable[[SensorCase], None]) -> None:
    holds(SensorCase(case.sensor(), (case.channels, *case.shape)))


@pytest.mark.parametrize(
    "holds",
    [
        looking_twice_adds_nothing,
        a_scene_does_not_depend_on_its_batch,
        nothing_unseen_leaks,
        noise_belongs_to_the_seed,
    ],
)
@cases(which=lambda case: case.has_noise)
def test_what_every_sensor_with_noise_fulfils(
    case: Case, holds: Callable[[SensorCase], None]
) -> None:
    holds(SensorCase(case.sensor(0.1), (case.channels, *case.shape)))


@cases(PIXELS | READINGS)
def test_fractions_are_rounded_to_the_nearest_look(case: Case) -> None:
    sensor = case.sensor()
    designs, scenes = case.designs(sensor), case.scenes(len(case.designs(sensor)))
    near = designs.float() + 0.3
    first = look(sensor, case.nothing(len(designs)), scenes, design=designs, seeds=[])
    second = look(sensor, case.nothing(len(designs)), scenes, design=near, seeds=[])
    close(first, second, 0)
    assert torch.equal(sensor.cost(designs), sensor.cost(near))


@cases(READINGS)
def test_readings_are_the_operator_s_and_shown_as_they_are(case: Case) -> None:
    """<A x, y> = <x, A^T y>, A is linear, and a look returns the rows of A x that it takes."""
    sensor = case.sensor()
    assert isinstance(sensor, IndirectSensor)
    x, z = case.scenes(3) - 0.5, case.scenes(3, seed=1) - 0.5
    there, more = sensor.forward(x), sensor.forward(z)
    y = gaussian(tuple(there.shape))
    size = there.norm() * y.norm()
    assert there.shape[0] == 3
    assert abs((there * y).sum() - (x * sensor.adjoint(y)).sum()) < 1e-5 * size
    torch.testing.assert_close(sensor.forward(2 * x - z), 2 * there - more, atol=1e-5, rtol=1e-4)
    for number in range(len(case.designs(sensor))):
        result = case.after(sensor, x, number)
        assert torch.equal(result.readings, there * result.taken)


@cases(which=lambda case: case.recovers is not None)
def test_all_looks_recover_the_scene(case: Case) -> None:
    scene = case.scenes(3)
    result = case.everything(case.sensor(), scene)
    assert case.recovers is not None
    assert (result.values - scene).abs().max() <= case.recovers
    assert torch.allclose(result.mask, torch.ones_like(result.mask), atol=1e-6)
    assert torch.equal(result.fraction_seen, torch.ones(3)) or isinstance(case.sensor(), Foveated)


class NearestScene:
    """Bayes' rule between two scenes, known but for a little noise in what was read."""

    def __init__(self, sensor: Sensor, scenes: Tensor, noise: float) -> None:
        self.sensor, self.scenes, self.noise = sensor, scenes, noise

    def log_probs(self, observation: Observation) -> Tensor:
        misfits = []
        for scene in self.scenes:
            if observation.readings is None:
                misfit = (observation.values - scene) * observation.mask
            else:
                expected = self.sensor.forward(scene[None])  # type: ignore[attr-defined]
                misfit = (observation.readings - expected) * observation.taken
            misfits.append(-misfit.square().flatten(1).sum(1) / (2 * self.noise**2))
        return torch.stack(misfits, dim=1).log_softmax(1)


def twins(sensor: Sensor, case: Case) -> Tensor:
    """Two scenes that only the case's best look tells apart."""
    assert case.best is not None
    scene = 0.25 + 0.5 * case.scenes(1)
    if isinstance(sensor, IndirectSensor):
        numbers = [k for k in range(len(case.designs(sensor))) if k != case.best]
        whole = SensorCase(sensor, (case.channels, *case.shape))
        change = unnoticed(whole, case.after(sensor, scene, *numbers).seen[0])
    else:
        shown = [case.after(sensor, scene, k).mask for k in range(len(case.designs(sensor)))]
        change = shown.pop(case.best)
        for other in shown:
            change = change * (1 - other)
    change = change / change.abs().max()
    return torch.cat([scene, scene + 0.25 * change])


@pytest.mark.parametrize("noise", [0.0, 0.003])
@cases(which=lambda case: case.best is not None)
def test_the_best_look_is_where_the_scenes_differ(case: Case, noise: float) -> None:
    if noise > 0 and not case.has_noise:
        pytest.skip("has no noise")
    sensor = case.sensor(noise)
    scenes = twins(case.sensor(), case)
    classifier = NearestScene(sensor, scenes, noise=0.003)
    drawn = Completions(scenes[:, None], torch.full((2, 1), 0.5), labels=torch.tensor([[0], [1]]))
    eig = eig_map(case.nothing(), drawn, sensor, classifier=classifier).eig[0]
    assert eig.argmax() == case.best
    assert eig[case.best] == pytest.approx(math.log(2), abs=0.01)
    others = torch.cat([eig[: case.best], eig[case.best + 1 :]])
    assert (others.abs() < 0.01).all()


@cases(which=lambda case: case.has_noise)
def test_noise(case: Case) -> None:
    """Mean 0 and the given deviation within 5 standard errors; independent; fixed by the seed."""
    sensor, scene = case.sensor(0.2), case.scenes(1).expand(400, -1, -1, -1)
    global_state = torch.random.get_rng_state()
    noisy = case.everything(sensor, scene)
    assert torch.equal(torch.random.get_rng_state(), global_state)
    error = read(noisy) - read(case.everything(case.sensor(), scene))
    number = error.numel()
    assert abs(error.mean()) < 5 * 0.2 / number**0.5
    assert abs(error.std() - 0.2) < 5 * 0.2 / (2 * number) ** 0.5
    assert abs((error[1:] * error[:-1]).mean()) < 5 * 0.2**2 / error[1:].numel() ** 0.5
    between = (error.T @ error / len(error) / 0.2**2).fill_diagonal_(0)
    assert (between.abs() < 6 / len(error) ** 0.5).all()  # 6 as there are many pairs of readings
    backwards = range(len(case.designs(sensor)) - 1, -1, -1)
    close(case.after(sensor, scene, *backwards), noisy, 1e-3)
    assert not torch.equal(read(case.everything(sensor, scene, seed=1)), read(noisy))


@cases(PIXELS | READINGS)
def test_bad_input_is_refused_by_name(case: Case) -> None:
    sensor = case.sensor()
    designs, scene = case.designs(sensor), case.scenes(1)
    height, width = case.shape
    larger = torch.zeros(1, case.channels, height + 1, width)
    with pytest.raises(ValueError, match=rf"scene has .* this sensor is for {height} x {width}"):
        sensor.observe(case.nothing(), larger, designs[:1])
    with pytest.raises(ValueError, match=r"observation has .* pixels; this sensor is for"):
        sensor.designs(Observation.of(larger, larger[:, :1]))
    wide = designs.shape[1]
    for wrong in (designs[[0, 0]], designs[:1, :0], designs[0]):
        with pytest.raises(ValueError, match=rf"design must be \(1, {wide}\), one for each scene"):
            sensor.observe(case.nothing(), scene, wrong)
    with pytest.raises(ValueError, match=r"^design"):
        sensor.observe(case.nothing(), scene, designs[:1] * torch.nan)
    if not isinstance(sensor, Projections):  # where every angle is a design
        for far in (-1000, 1000):
            with pytest.raises(ValueError, match=r"^design"):
                sensor.observe(case.nothing(), scene, designs[:1] + far)
    for noise in (-0.1, float("nan"), float("inf")):
        if not isinstance(sensor, DeepinvSensor):
            with pytest.raises(ValueError, match=f"noise is {noise}"):
                case.sensor(noise)


@cases(PIXELS | READINGS)
def test_an_observation_by_another_sensor_is_refused(case: Case) -> None:
    sensor, scene = case.sensor(), case.scenes(1)
    design = case.designs(sensor)[:1]
    readings = torch.ones(1, 3)
    other = Observation(scene, torch.ones(1, 1, *case.shape), readings=readings, taken=readings)
    with pytest.raises(ValueError, match=r"^observation has .*readings"):
        sensor.observe(other, scene, design)
    if isinstance(sensor, IndirectSensor):
        pixels = Observation.of(scene, torch.ones(1, 1, *case.shape))
        with pytest.raises(ValueError, match=r"^observation has pixels that were seen"):
            sensor.observe(pixels, scene, design)


@cases(PIXELS | READINGS)
def test_nan_does_not_pass_silently(case: Case) -> None:
    sensor = case.sensor()
    scene = case.scenes(1) * torch.nan
    with pytest.raises(
        ValueError, match=f"{type(sensor).__name__}.observe returned values that are NaN"
    ):
        case.everything(sensor, scene)


def test_the_engine_names_a_sensor_that_breaks_the_rules() -> None:
    class Broken(RowSensor):
        def designs(self, observation: Observation) -> Tensor:
            return torch.zeros(0, 1)

        def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
            return Observation.nothing(len(scene), 1, 3)

        def cost(self, design: Tensor) -> Tensor:
            return -torch.ones(len(design))

    nothing, scene, design = (
        Observation.nothing(1, 1, 4),
        torch.zeros(1, 1, 4, 4),
        torch.zeros(1, 1),
    )
    with pytest.raises(ValueError, match=r"Broken.observe returned values \(1, 1, 3, 3\)"):
        look(Broken(), nothing, scene, design=design, seeds=[0])
    with pytest.raises(ValueError, match=r"Broken.designs returned no candidate"):
        candidates(Broken(), nothing)
    with pytest.raises(ValueError, match=r"Broken.cost returned -1"):
        costs(Broken(), design)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@cases()
def test_an_instruments_readings_say_what_looking_at_the_scene_says(
    case: Case, noise: float
) -> None:
    """Also where looks overlap: what was read stays, though the second reading differs there."""
    if noise and not case.has_noise:
        pytest.skip("has no noise")
    sensor, scene = case.sensor(noise), case.scenes(1)
    designs = case.designs(sensor)
    seen = known = case.nothing()
    for step, design in enumerate(designs[: len(designs) // 2 + 1]):
        reading = instrument_reads(sensor, scene, design, seed=step)
        assert tuple(reading.shape) == reading_shape(sensor, known, design)
        seen = look(sensor, seen, scene, design=design[None], seeds=[step])
        known = record(sensor, known, design=design, reading=reading)
        for part in ("values", "mask", "readings", "taken"):
            ours, expected = getattr(known, part), getattr(seen, part)
            assert (ours is None) == (expected is None)
            assert ours is None or torch.equal(ours, expected)


@pytest.mark.parametrize(
    ("name", "reading", "message"),
    [
        ("patch", torch.rand(2, 4, 3), r"reading is \(2, 4, 3\), expected \(2, 4, 4\)"),
        ("patch", torch.full((2, 4, 4), torch.nan), "reading has 32 NaN or infinite entries of 32"),
        ("patch", torch.ones(2, 4, 4, dtype=torch.uint8), "reading is uint8, expected floating"),
        ("patch", torch.full((2, 4, 4), 255.0), r"reading spans \[255, 255\], expected pixels in"),
        ("patch", [["a"]], "reading is a list, expected an array"),
        ("a user's rows", torch.rand(2, 6), r"reading is \(2, 6\), expected \(2, 1, 6\)"),
        ("k-space", torch.rand(2), r"reading is \(2,\), expected \(24,\) for the look \[0"),
        ("k-space", torch.full((24,), torch.inf), "reading has 24 NaN or infinite entries"),
    ],
)
def test_readings_that_are_none_are_refused(name: str, reading: object, message: str) -> None:
    case = CASES[name]
    sensor = case.sensor()
    with pytest.raises(ValueError, match=message):
        record(  # type: ignore[call-overload]
            sensor, case.nothing(), design=case.designs(sensor)[0], reading=reading
        )


def test_a_users_sensor_of_readings_is_asked_how_to_go_on_from_them() -> None:
    class Mean:
        def designs(self, observation: Observation) -> Tensor:
            return torch.zeros(1, 1)

        def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
            mean = scene.flatten(1).mean(1, keepdim=True)
            shown = mean[:, :, None, None].expand_as(scene)
            mask = torch.zeros_like(scene)
            return Observation(shown, mask, readings=mean, taken=torch.ones_like(mean))

        def cost(self, design: Tensor) -> Tensor:
            return torch.ones(len(design))

    with pytest.raises(ValueError, match=r"sensor: Mean returns readings .* Mean.with_readings\("):
        record(Mean(), Observation.nothing(1, 1, 4), design=torch.zeros(1), reading=torch.rand(1))
