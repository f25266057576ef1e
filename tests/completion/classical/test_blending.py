"""Poisson blending against solutions that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boed.completion.classical import blending
from boed.completion.classical.blending import HarmonicExtension, grid_laplacian, poisson_blend
from boed.data.observation import Observation

SIZE = 9
ROWS, COLUMNS = torch.meshgrid(
    torch.arange(SIZE, dtype=torch.double), torch.arange(SIZE, dtype=torch.double), indexing="ij"
)
HARMONIC = {
    "ramp down": ROWS / 10,
    "ramp across": COLUMNS / 10,
    "x^2 - y^2": (COLUMNS**2 - ROWS**2) / 100,
    "x y": ROWS * COLUMNS / 100,
}
HOLES = {
    "square": (slice(2, 6), slice(3, 7)),
    "row": (slice(4, 5), slice(1, 8)),
    "pixel": (slice(4, 5), slice(4, 5)),
}


def masked(*holes):
    mask = torch.ones(1, 1, SIZE, SIZE)
    for rows, columns in holes:
        mask[..., rows, columns] = 0
    return mask


def noise(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def blend(made, target, mask):
    return poisson_blend(made, Observation.of(target, mask))


@pytest.mark.parametrize("hole", HOLES)
def test_what_agrees_already_stays(hole):
    scene = noise(1, 3, SIZE, SIZE)
    torch.testing.assert_close(blend(scene, scene, masked(HOLES[hole])), scene)


@pytest.mark.parametrize("hole", HOLES)
@pytest.mark.parametrize("name", HARMONIC)
def test_of_a_constant_the_harmonic_function_of_the_boundary_is_made(name, hole):
    scene = HARMONIC[name][None, None]
    blended = blend(torch.full_like(scene, 0.3), scene, masked(HOLES[hole]))
    torch.testing.assert_close(blended, scene, atol=1e-6, rtol=0)


def test_a_constant_more_changes_nothing():
    made, scene, mask = (
        noise(1, 1, SIZE, SIZE),
        noise(1, 1, SIZE, SIZE, seed=1),
        masked(*HOLES.values()),
    )
    torch.testing.assert_close(blend(made + 0.7, scene, mask), blend(made, scene, mask))


@pytest.mark.parametrize(
    ("scene", "hole"),
    [
        (ROWS, (slice(2, 6), slice(0, 4))),
        (ROWS, (slice(2, 6), slice(5, 9))),
        (COLUMNS, (slice(0, 4), slice(2, 6))),
        (COLUMNS, (slice(5, 9), slice(2, 6))),
    ],
)
def test_the_border_of_the_image_pulls_nothing(scene, hole):
    """A ramp along the border is exact there; zeros outside the image would darken it."""
    scene = scene[None, None] / 10
    blended = blend(torch.zeros_like(scene), scene, masked(hole))
    torch.testing.assert_close(blended, scene, atol=1e-6, rtol=0)


def test_rows_do_not_run_into_each_other():
    scene = torch.zeros(1, 1, SIZE, SIZE, dtype=torch.double)
    scene[..., -1] = 1  # the ends of rows are bright, their beginnings black
    blended = blend(torch.zeros_like(scene), scene, masked((slice(3, 6), slice(0, 2))))
    torch.testing.assert_close(blended, scene, atol=1e-12, rtol=0)


def test_two_holes_are_one_by_one():
    made, scene = noise(1, 1, SIZE, SIZE), noise(1, 1, SIZE, SIZE, seed=1)
    first, second = (slice(1, 3), slice(1, 4)), (slice(5, 8), slice(4, 8))
    both = blend(made, scene, masked(first, second))
    for hole in (first, second):
        alone = blend(made, scene, masked(hole))
        torch.testing.assert_close(both[..., hole[0], hole[1]], alone[..., hole[0], hole[1]])


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_least_squares_solution(seed):
    """Of the differences of all pairs of neighbours, by a dense solver."""
    made, scene = noise(8, 8, seed=seed), noise(8, 8, seed=seed + 10)
    hidden = noise(8, 8, seed=seed + 20) < 0.6
    pairs = [
        (8 * i + j, 8 * k + m)
        for i in range(8) for j in range(8) for k, m in ((i + 1, j), (i, j + 1)) if k < 8 and m < 8
    ]  # fmt: skip
    differences = np.zeros((len(pairs), 64))
    for row, (one, other) in enumerate(pairs):
        differences[row, one], differences[row, other] = -1, 1
    unknown = hidden.flatten().numpy()
    known = np.where(unknown, 0, scene.flatten().numpy())
    right = differences @ (made.flatten().numpy() - known)
    expected = np.linalg.lstsq(differences[:, unknown], right, rcond=None)[0]
    mask = (~hidden).double()[None, None]
    blended = blend(made[None, None], scene[None, None], mask)[0, 0]
    torch.testing.assert_close(blended[hidden], torch.from_numpy(expected))


def test_seen_pixels_are_the_very_same_and_channels_apart():
    made, scene = noise(4, 2, 3, SIZE, SIZE).float(), noise(2, 3, SIZE, SIZE, seed=1).float()
    mask = torch.cat([masked(HOLES["square"]), masked(HOLES["row"])])
    blended = blend(made, scene, mask)
    seen = (mask > 0).expand_as(blended)
    assert torch.equal(blended[seen], scene.expand_as(blended)[seen])
    for channel in range(3):
        part = slice(channel, channel + 1)
        alone = blend(made[:, :, part], scene[:, part], mask)
        torch.testing.assert_close(blended[:, :, part], alone)
    for k in range(4):
        torch.testing.assert_close(blended[k], blend(made[k], scene, mask))


def test_nothing_seen_is_as_it_was_made_and_everything_as_it_was_seen():
    made, scene = noise(2, 2, 1, SIZE, SIZE), noise(2, 1, SIZE, SIZE, seed=1)
    mask = torch.cat([torch.zeros(1, 1, SIZE, SIZE), torch.ones(1, 1, SIZE, SIZE)])
    blended = blend(made, scene, mask)
    assert torch.equal(blended[:, 0], made[:, 0])
    assert torch.equal(blended[:, 1], scene[1].expand(2, -1, -1, -1))


def test_a_mask_is_factorised_once(monkeypatch):
    solved = []

    class Counted(HarmonicExtension):
        def __init__(self, hidden):
            solved.append(hidden)
            super().__init__(hidden)

    monkeypatch.setattr(blending, "HarmonicExtension", Counted)
    mask = torch.cat([masked(HOLES["square"]), masked(HOLES["row"]), masked(HOLES["square"])])
    blend(noise(5, 3, 3, SIZE, SIZE), noise(3, 3, SIZE, SIZE), mask)
    assert len(solved) == 2


def test_the_laplacian_of_a_grid():
    laplacian = grid_laplacian(3, 4).toarray()
    assert np.array_equal(laplacian, laplacian.T)
    assert (laplacian.sum(0) == 0).all()
    assert laplacian.diagonal().reshape(3, 4).tolist() == [[2, 3, 3, 2], [3, 4, 4, 3], [2, 3, 3, 2]]
