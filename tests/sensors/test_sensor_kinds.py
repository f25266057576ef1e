"""What is particular to each sensor."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from boed.data.observation import Observation
from boed.sensors import (
    DeepinvSensor,
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
from tests.sensors.test_sensors import gaussian, physics_module


def blank(shape: int | tuple[int, int], batch: int = 1, channels: int = 1) -> Observation:
    return Observation.nothing(batch, channels, shape)


def one(*entries: float) -> Tensor:
    """A design for a batch of one."""
    return torch.tensor([entries])


@pytest.mark.parametrize(
    ("size", "patch", "grid", "pixels", "number"),
    [
        (64, 0.25, 17, 16, 289),
        (28, 0.25, 17, 7, 289),
        (128, 0.25, 17, 32, 289),
        (8, 0.5, 17, 4, 25),  # only five different positions
        (16, 0.25, 4, 4, 16),  # tiles
        (20, 1.0, 17, 20, 1),
        (28, 0.25, 1, 7, 1),
    ],
)
def test_patches_lie_evenly_from_border_to_border(
    size: int, patch: float, grid: int, pixels: int, number: int
) -> None:
    sensor = PatchSensor(size, patch, grid)
    designs = sensor.designs(blank(size))
    assert (sensor.patch, designs.shape) == (pixels, (number, 2))
    if grid > 1:
        assert (int(designs.min()), int(designs.max())) == (0, size - pixels)
        steps = sensor.positions.diff()
        assert number == 1 or int(steps.max() - steps.min()) <= 1
    assert sensor.footprint(designs).sum((1, 2, 3)).tolist() == [pixels**2] * number
    assert torch.allclose(sensor.cost(designs), torch.tensor((pixels / size) ** 2))
    assert torch.equal(sensor.bounds, torch.tensor([[0.0, 0.0], [size - pixels] * 2]))


def test_a_patch_is_a_slice() -> None:
    scene = torch.rand(5, 2, 28, 28) + 0.01
    sensor = PatchSensor(28)
    design = torch.tensor([[0, 0], [21, 21], [3, 17], [20, 1], [9, 9]])
    result = sensor.observe(blank(28, 5, 2), scene, design)
    for b, (row, column) in enumerate(design.tolist()):
        place = (slice(None), slice(row, row + 7), slice(column, column + 7))
        assert torch.equal(result.values[b][place], scene[b][place])
        assert result.values[b].count_nonzero() == 2 * 7 * 7


@pytest.mark.parametrize("patch", [1.5, 0.001, 0.0, -0.25])
def test_patch_that_does_not_fit_is_refused(patch: float) -> None:
    with pytest.raises(ValueError, match=r"patch .* of a scene of 28 pixels .* expected 1 to 28"):
        PatchSensor(28, patch)


@pytest.mark.parametrize("design", [[-1, 0], [0, 22], [28, 28]])
def test_patch_over_the_border_is_refused(design: list[int]) -> None:
    with pytest.raises(ValueError, match=r"design spans pixels .* the scene has 0\.\.27"):
        PatchSensor(28).observe(blank(28), torch.rand(1, 1, 28, 28), torch.tensor([design]))
    with pytest.raises(ValueError, match=r"design spans pixels .* the scene has 0\.\.27"):
        PatchSensor(28, grid=torch.tensor([[0, 0], design]))


def test_blocks_end_at_the_border_and_take_any_of_their_pixels() -> None:
    sensor = PixelBlocks((5, 7), 2)
    designs = sensor.designs(blank((5, 7)))
    assert designs.tolist() == [[row, column] for row in (0, 2, 4) for column in (0, 2, 4, 6)]
    assert torch.equal(sensor.footprint(designs).sum(0), torch.ones(1, 5, 7))
    assert sensor.footprint(one(4, 6)).sum() == 1
    assert torch.equal(sensor.footprint(one(3, 5.4)), sensor.footprint(one(2, 4)))
    assert sensor.cost(one(0, 0)).item() == pytest.approx(4 / 35)
    assert PixelBlocks(3).designs(blank(3)).shape == (9, 2)


@pytest.mark.parametrize(
    ("axis", "width", "design", "rows", "columns"),
    [
        ("row", 1, [2], slice(2, 3), slice(None)),
        ("row", 2, [3], slice(3, 4), slice(None)),  # cut at the border
        ("column", 2, [1], slice(None), slice(1, 3)),
        ("both", 1, [0, 3], slice(3, 4), slice(None)),
        ("both", 2, [1, 4], slice(None), slice(4, 6)),
    ],
)
def test_lines(axis: str, width: int, design: list[int], rows: slice, columns: slice) -> None:
    sensor = Lines((4, 6), axis, width)  # type: ignore[arg-type]
    expected = torch.zeros(4, 6)
    expected[rows, columns] = 1
    assert torch.equal(sensor.footprint(one(*design))[0, 0], expected)
    designs = sensor.designs(blank((4, 6)))
    covered = sensor.footprint(designs).sum()
    assert covered == 24 * (2 if axis == "both" else 1)
    assert (sensor.bounds is None) == (axis == "both")


def test_a_row_is_no_column() -> None:
    sensor = Lines((4, 6), "both")
    with pytest.raises(ValueError, match=r"design \[0, 4\]: a scene of 4 x 6 pixels has no such"):
        sensor.observe(blank((4, 6)), torch.zeros(1, 1, 4, 6), one(0, 4))
    sensor.observe(blank((4, 6)), torch.zeros(1, 1, 4, 6), one(1, 4))


def test_features_have_names_and_prices() -> None:
    sensor = Features(["age", "weight", "blood"], [0.5, 1, 20])
    row = torch.tensor([[[[0.2, 0.4, 0.9]]]])
    result = sensor.observe(blank((1, 3)), row, one(2))
    assert result.values.flatten().tolist() == pytest.approx([0, 0, 0.9])
    assert sensor.cost(torch.tensor([[2], [0]])).tolist() == [20, 0.5]
    assert sensor.names == ("age", "weight", "blood")
    assert Features(2).cost(one(1)).tolist() == [1]


def test_k_space_is_unitary_with_the_low_frequencies_in_the_middle() -> None:
    sensor = KSpaceLines((6, 8))
    scene = torch.rand(2, 3, 6, 8)
    assert sensor.forward(scene).norm() == pytest.approx(float(scene.norm()), rel=1e-5)
    # rows of equal pixels have all their energy in the middle line
    flat = torch.rand(1, 1, 6, 1).expand(-1, -1, -1, 8)
    result = sensor.observe(blank((6, 8)), flat, one(4))
    assert torch.allclose(result.values, flat, atol=1e-6)
    assert result.readings is not None
    lines = sensor.forward(flat).view(2, 6, 8).square().sum((0, 1))
    assert lines[4] > 0.99 * flat.square().sum()


def test_zero_filled_reconstruction_is_that_of_a_masked_transform() -> None:
    scene, sensor = torch.rand(1, 1, 6, 8), KSpaceLines((6, 8))
    result = blank((6, 8))
    for line in (4, 5, 1):
        result = sensor.observe(result, scene, one(line))
    spectrum = np.fft.fftshift(np.fft.fft2(scene[0, 0].numpy()))
    spectrum[:, [0, 2, 3, 6, 7]] = 0
    expected = np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum)))
    assert np.allclose(result.values[0, 0].numpy(), expected, atol=1e-6)
    assert result.mask[0, 0, 0].tolist() == [0, 1, 0, 0, 1, 1, 0, 0]


def test_acceleration_and_cost() -> None:
    scene, sensor = torch.rand(1, 1, 6, 8), KSpaceLines((6, 8))
    assert sensor.acceleration(blank((6, 8))).item() == math.inf
    once = sensor.observe(blank((6, 8)), scene, one(1))
    twice = sensor.observe(once, scene, one(7))
    assert (sensor.acceleration(once).item(), sensor.acceleration(twice).item()) == (8, 4)
    assert 2 * sensor.cost(one(0)).item() == pytest.approx(1 / 4)


@pytest.mark.parametrize(("centre", "lines"), [(1, [4]), (2, [3, 4]), (3, [3, 4, 5])])
def test_the_centre_comes_with_every_look(centre: int, lines: list[int]) -> None:
    sensor = KSpaceLines((6, 8), centre)
    designs = sensor.designs(blank((6, 8)))
    assert designs[:, 0].tolist() == [k for k in range(8) if k not in lines]
    result = sensor.observe(blank((6, 8)), torch.rand(1, 1, 6, 8), one(0))
    assert result.mask[0, 0, 0].nonzero()[:, 0].tolist() == [0, *lines]
    assert sensor.acceleration(result).item() == pytest.approx(8 / (centre + 1))


def test_projections_sum_columns_and_rows() -> None:
    scene = torch.rand(1, 1, 6, 8)
    sensor = Projections((6, 8), torch.tensor([0.0, 90.0]))
    columns, rows = sensor.forward(scene).view(2, sensor.strips)
    padding = (sensor.strips - 8) // 2, (sensor.strips - 6) // 2
    middle = slice(padding[0], padding[0] + 8)
    assert torch.allclose(columns[middle], scene[0, 0].sum(0) / 8)
    assert columns.sum().item() == pytest.approx(scene.sum().item() / 8, rel=1e-5)
    middle = slice(padding[1], padding[1] + 6)
    assert torch.allclose(rows[middle], scene[0, 0].sum(1) / 8)


def test_strip_areas_are_those_of_points_thrown_at_pixels() -> None:
    """Monte Carlo with 20,000 points a pixel: within 5 standard errors."""
    angles = torch.tensor([0.0, 25.0, 45.0, 90.0, 130.0])
    sensor, points = Projections((3, 4), angles), np.random.default_rng(0).random((20_000, 2))
    areas = sensor.matrix.to_dense().view(5, sensor.strips, 3, 4) / sensor.scale
    assert torch.allclose(areas.sum(1), torch.ones(5, 3, 4, dtype=areas.dtype))
    for index, angle in enumerate(np.deg2rad(angles.numpy())):
        for row, column in np.ndindex(3, 4):
            y, x = points[:, 0] + row - 1.5, points[:, 1] + column - 2
            strip = np.floor(x * np.cos(angle) + y * np.sin(angle) + sensor.strips / 2).astype(int)
            expected = np.bincount(strip, minlength=sensor.strips) / len(points)
            error = np.abs(areas[index, :, row, column].numpy() - expected)
            assert (error < 5 * (0.25 / len(points)) ** 0.5).all()


def phantom(size: int) -> Tensor:
    """Two smooth blobs."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    blobs = [(0.4, 0.35, 0.8), (0.65, 0.6, 0.5)]
    each = [
        level * torch.exp(-((y / size - row) ** 2 + (x / size - column) ** 2) / 0.02)
        for row, column, level in blobs
    ]
    return sum(each)[None, None]  # type: ignore[index]


@pytest.mark.parametrize(("number", "error"), [(60, 0.006), (15, 0.006), (4, 0.1)])
def test_filtered_back_projection_recovers_a_smooth_scene(number: int, error: float) -> None:
    scene, sensor = phantom(32), Projections(32, number)
    result = blank(32)
    for angle in sensor.designs(result):
        result = sensor.observe(result, scene, angle[None])
    assert (result.values - scene).square().mean().sqrt() < error
    assert sensor.cost(sensor.designs(result)).sum().item() == pytest.approx(1)


def test_the_fourier_plane_is_lit_where_a_projection_is_its_slice() -> None:
    sensor = Projections(8, torch.tensor([0.0, 45.0, 90.0, 135.0]))
    scene = torch.rand(1, 1, 8, 8)
    result = sensor.observe(blank(8), scene, one(179.0))  # next to 0: it sums columns
    row, column = result.mask[0, 0].nonzero().T - 4
    assert (row.abs() <= column.abs()).all()
    assert result.mask[0, 0, 4].sum() == 8
    for angle in (-1.0, 359.0, 181.0, 0.0):
        assert torch.equal(sensor.observe(blank(8), scene, one(angle)).mask, result.mask)


def test_a_glimpse_is_sharp_at_its_fixation_and_coarse_away_from_it() -> None:
    sensor = Foveated(32, fovea=3, levels=4)
    scene = torch.rand(1, 2, 32, 32)
    result = sensor.observe(blank(32, channels=2), scene, one(10, 12))
    row, column = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    distance = ((row - 10) ** 2 + (column - 12) ** 2).sqrt()
    for nearest, farthest, width in ((0, 3, 1), (3, 6, 2), (6, 12, 4), (12, 99, 8)):
        ring = (distance > nearest - (nearest == 0)) & (distance <= farthest)
        assert (result.mask[0, 0][ring] >= 1 / width).all()
        coarse = torch.nn.functional.avg_pool2d(scene, width)
        coarse = coarse.repeat_interleave(width, 2).repeat_interleave(width, 3)
        there = ring & (result.mask[0, 0] == 1 / width)
        assert there.any()
        assert torch.allclose(result.values[:, :, there], coarse[:, :, there], atol=1e-6)
    assert result.taken is not None
    cost = sensor.cost(one(10, 12)).item()
    assert cost == pytest.approx(result.taken.sum().item() / 2 / 32**2)
    assert cost < 0.2


def test_a_second_fixation_sharpens_and_never_blurs() -> None:
    sensor, scene = Foveated(16, 2, 3), torch.rand(1, 1, 16, 16)
    first = sensor.observe(blank(16), scene, one(4, 4))
    second = sensor.observe(first, scene, one(12, 12))
    assert (second.mask >= first.mask).all()
    assert (second.mask > first.mask).any()
    sharp = second.mask == 1
    assert torch.equal(second.values[sharp], scene[sharp])


def information(rows: Tensor, covariance: Tensor, noise: float) -> float:
    """1/2 log det(I + A S A^T / sigma^2)."""
    eye = torch.eye(len(rows), dtype=torch.double)
    inner = eye + rows.double() @ covariance.double() @ rows.double().T / noise**2
    return float(0.5 * torch.logdet(inner))


def test_linear_gaussian_eig_is_the_reference_value() -> None:
    """1.1989477 and 0.346574 nats: the first two rows of the table of known answers."""
    three = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    prior = torch.diag(torch.tensor([1.0, 1.5]) ** 2)
    together = LinearSensor(three[None], (1, 2), noise=1.0)
    assert together.eig(blank((1, 2)), prior).item() == pytest.approx(1.1989477, abs=1e-7)
    single = LinearSensor(torch.ones(1, 1, 1), (1, 1), noise=1.0)
    assert single.eig(blank((1, 1)), torch.eye(1)).item() == pytest.approx(0.346574, abs=1e-6)


def test_linear_gaussian_eig_obeys_the_chain_rule() -> None:
    operator, prior = gaussian((4, 2, 6)), torch.eye(6) + 0.3
    sensor, result, total = LinearSensor(operator, (2, 3), noise=0.7), blank((2, 3), 2), 0.0
    scene = gaussian((2, 1, 2, 3), 1)
    for look in (2, 0, 3):
        eig = sensor.eig(result, prior)
        assert torch.allclose(eig[0], eig[1])  # it does not depend on what was read
        total += eig[0, look].item()
        result = sensor.observe(result, scene, torch.tensor([[look]] * 2), seed=[0, 1])
        after = sensor.eig(result, prior)
        assert after[0, look] == 0
        assert (after <= eig + 1e-9).all()
    rows = operator[[2, 0, 3]].flatten(0, 1)
    assert total == pytest.approx(information(rows, prior, 0.7), abs=1e-6)


def test_linear_gaussian_posterior_is_that_of_the_precision_form() -> None:
    """S' = (S^-1 + A^T A / sigma^2)^-1, m' = S' (S^-1 m + A^T y / sigma^2)."""
    operator, prior, mean = gaussian((4, 2, 6)), torch.eye(6) + 0.3, gaussian((6,), 2)
    sensor = LinearSensor(operator, (2, 3), noise=0.7)
    result = blank((2, 3), 2)
    centre, covariance = sensor.posterior(result, mean, prior)
    assert torch.allclose(centre, mean.double().expand(2, -1))
    assert torch.allclose(covariance, prior.double().expand(2, -1, -1))
    for look in (1, 3):
        result = sensor.observe(
            result, torch.rand(2, 1, 2, 3), torch.tensor([[look]] * 2), seed=[3, 4]
        )
    centre, covariance = sensor.posterior(result, mean, prior)
    rows, inverse = operator[[1, 3]].flatten(0, 1).double(), torch.linalg.inv(prior.double())
    expected = torch.linalg.inv(inverse + rows.T @ rows / 0.7**2)
    assert result.readings is not None
    read = result.readings[:, [2, 3, 6, 7]].double()
    assert torch.allclose(covariance, expected.expand(2, -1, -1), atol=1e-6)
    natural = inverse @ mean.double() + read @ rows / 0.7**2
    assert torch.allclose(centre, natural @ expected, atol=1e-5)


def test_linear_gaussian_posterior_is_calibrated() -> None:
    """The squared distance of 2000 scenes from their posterior mean is chi-squared, mean 6."""
    sensor = LinearSensor(gaussian((4, 2, 6)), (2, 3), noise=0.7)
    scene = gaussian((2000, 1, 2, 3), 5)
    result = sensor.observe(
        blank((2, 3), 2000), scene, torch.full((2000, 1), 2), seed=list(range(2000))
    )
    centre, covariance = sensor.posterior(result, torch.zeros(6), torch.eye(6))
    off = scene.flatten(1).double() - centre
    distance = (off * torch.linalg.solve(covariance, off)).sum(1)
    assert distance.mean().item() == pytest.approx(6, abs=5 * (12 / 2000) ** 0.5)


@pytest.mark.parametrize("looks", [3, 20])
def test_linear_gaussian_shows_least_squares(looks: int) -> None:
    """The least-norm scene from few rows, the least-squares one from more than there are pixels."""
    operator, scene = gaussian((looks, 2, 12)), torch.rand(2, 1, 4, 3)
    sensor, result = LinearSensor(operator, (4, 3), noise=0.1), blank((4, 3), 2)
    for look in (0, 2, 1):
        result = sensor.observe(result, scene, torch.tensor([[look]] * 2), seed=[0, 1])
    rows = operator[:3].flatten(0, 1).double()
    assert result.readings is not None
    expected = result.readings[:, :6].double() @ torch.linalg.pinv(rows).T
    assert torch.allclose(result.values.flatten(1).double(), expected, atol=1e-4)


def test_linear_gaussian_without_noise_has_no_finite_eig() -> None:
    sensor = LinearSensor(gaussian((2, 1, 4)), (2, 2))
    with pytest.raises(ValueError, match="noise is 0; without noise the EIG is infinite"):
        sensor.eig(blank(2), torch.eye(4))


def test_deepinv_readings_and_noise_are_the_physics() -> None:
    physics = physics_module()
    blur = physics.Blur(torch.ones(1, 1, 3, 3) / 9, padding="valid")
    sensor, scene = DeepinvSensor(blur, (8, 6), -1), torch.rand(1, 1, 8, 6)
    assert sensor.noise == 0
    assert sensor.designs(blank((8, 6))).shape == (4, 1)  # columns of 6 x 4 readings
    result = sensor.observe(blank((8, 6)), scene, one(2))
    assert result.readings is not None
    column = result.readings.view(6, 4)
    assert torch.allclose(column[:, 2], blur.A(scene)[0, 0, :, 2])
    assert column[:, [0, 1, 3]].count_nonzero() == 0
    assert result.mask.unique().tolist() == [0.25]  # a quarter of the readings
    blur.noise_model = physics.GaussianNoise(0.05)
    assert DeepinvSensor(blur, (8, 6), -1).noise == pytest.approx(0.05)


def test_deepinv_mri_is_k_space_lines() -> None:
    physics, scene = physics_module(), torch.rand(1, 1, 6, 8)
    theirs = DeepinvSensor(physics.MRI(img_size=(6, 8)), (6, 8), -1, complex_images=True)
    ours = KSpaceLines((6, 8))
    one_by_one: list[tuple[Sensor, Observation]] = []
    for sensor in (theirs, ours):
        result = blank((6, 8))
        for line in (4, 2, 7):
            result = sensor.observe(result, scene, one(line))
        one_by_one.append((sensor, result))
    (_, first), (_, second) = one_by_one
    assert torch.allclose(first.values, second.values, atol=1e-5)
    assert torch.equal(first.mask, second.mask)


def test_deepinv_physics_with_complex_readings() -> None:
    physics = physics_module()
    fourier = physics.LinearPhysics(
        A=lambda x, **_: torch.fft.fft2(x, norm="ortho"),
        A_adjoint=lambda y, **_: torch.fft.ifft2(y, norm="ortho").real,
    )
    sensor, scene = DeepinvSensor(fourier, (4, 6), 3), torch.rand(2, 1, 4, 6)
    readings = sensor.forward(scene)
    assert readings.shape == (2, 48)
    y = gaussian((2, 48))
    assert (readings * y).sum().item() == pytest.approx(
        (scene * sensor.adjoint(y)).sum().item(), abs=1e-4
    )
    assert sensor.taken(one(1)).view(4, 6, 2)[:, 1].sum() == 8
    assert sensor.taken(one(1)).sum() == 8
    result = blank((4, 6), 2)
    for column in range(6):
        result = sensor.observe(result, scene, torch.tensor([[column]] * 2))
    assert torch.allclose(result.values, scene, atol=1e-6)


def test_deepinv_physics_that_does_not_fit_is_refused() -> None:
    physics = physics_module()
    identity = physics.Denoising(physics.PoissonNoise())
    with pytest.raises(ValueError, match=r"physics has noise Poisson.*expected .*GaussianNoise"):
        DeepinvSensor(identity, 4, -1)
    with pytest.raises(ValueError, match=r"physics is Identity, expected a deepinv\.physics\.Lin"):
        DeepinvSensor(torch.nn.Identity(), 4, -1)
    identity = physics.Denoising(physics.ZeroNoise())
    with pytest.raises(ValueError, match=r"looks must be \[D, 16\], got \(3, 5\)"):
        DeepinvSensor(identity, 4, torch.ones(3, 5))
    with pytest.raises(ValueError, match="looks must be 0 or 1"):
        DeepinvSensor(identity, 4, torch.full((3, 16), 0.5))
    for dimension in (0, 4, -4):
        with pytest.raises(ValueError, match=f"looks is dimension {dimension};"):
            DeepinvSensor(identity, 4, dimension)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PatchSensor(28, grid=0), "grid is 0"),
        (lambda: PixelBlocks(4, 0), "block is 0, expected 1 to 4 pixels"),
        (lambda: PixelBlocks(4, 5), "block is 5"),
        (lambda: PixelBlocks((0, 4)), r"shape is \(0, 4\), expected \(height, width\)"),
        (lambda: PixelBlocks((3, 4, 5)), r"shape is \(3, 4, 5\)"),  # type: ignore[arg-type]
        (lambda: PixelBlocks(4, designs=torch.tensor([[0, 4]])), r"design \[0, 4\]: entry 1 must"),
        (lambda: PixelBlocks(4, designs=torch.tensor([0, 4])), r"designs must be \[D, K\]"),
        (lambda: PixelBlocks(4, designs=torch.tensor([[0]])), r"designs must be \[D, 2\]"),
        (lambda: Lines(4, "diagonal"), "axis is 'diagonal': .*Known: row, column, both"),  # type: ignore[arg-type]
        (lambda: Lines((4, 6), "row", 5), "width is 5, expected 1 to 4"),
        (lambda: Features([]), r"names are \[\], expected at least one"),
        (lambda: Features(["a", "a"]), "each only once"),
        (lambda: Features(["a", "b"], [1.0, 0.0]), "costs: 'b' costs 0.0, expected more than 0"),
        (lambda: Features(2, [1.0, math.nan]), "costs: 'feature 1' costs nan"),
        (lambda: Features(2, [1.0]), r"costs are \(1,\), expected \(2,\)"),
        (lambda: KSpaceLines(8, centre=8), "centre is 8, expected 0 to 7 lines"),
        (lambda: Projections(8, 0), "angles are .*, expected"),
        (lambda: Projections(8, torch.tensor([0.0, 180.0])), r"angles are .* different ones"),
        (lambda: Projections(8, torch.tensor([0.0, math.nan])), "angles are"),
        (lambda: Foveated(8, fovea=0), "fovea is 0, expected a radius above 0"),
        (lambda: Foveated(8, levels=1), "levels is 1, expected 2 or more"),
        (lambda: Foveated(8, levels=5), "levels is 5.* at most 8 pixels; the coarsest has 16"),
        (lambda: LinearSensor(torch.ones(2, 4), 2), r"operator must be \[D, M, 4\]"),
        (
            lambda: LinearSensor(torch.ones(2, 1, 4), 2, 3),
            r"\[D, M, 12\] for 3 channels of 2 x 2",
        ),
        (lambda: LinearSensor(torch.full((1, 1, 4), math.nan), 2), "operator has NaN"),
        (lambda: LinearSensor(torch.ones(1, 1, 4), 2, ridge=0), "ridge is 0, expected more"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    "sensor",
    [PatchSensor(8), PixelBlocks((6, 8)), Lines(8), KSpaceLines(8), Projections(8), Foveated(8, 2)],
    ids=lambda sensor: type(sensor).__name__,
)
def test_bounds_are_the_lowest_and_highest_design(sensor: Sensor | IndirectSensor) -> None:
    low, high = sensor.bounds  # type: ignore[union-attr]
    shape: tuple[int, int] = sensor.shape  # type: ignore[union-attr]
    scene = torch.rand(1, 1, *shape)
    for design in (low, high, (low + high) / 2 + 0.1):
        assert sensor.observe(blank(shape), scene, design[None]).seen.sum() > 0
    designs = sensor.designs(blank(shape))
    assert (designs >= low).all()
    assert (designs <= high).all()
