"""The mask distributions: how many squares, how large, where."""

from __future__ import annotations

import pytest
import torch

from boed.data.masks import holes, squares


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def bounding_box(mask):
    rows, columns = mask[0].nonzero(as_tuple=True)
    return (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1)


@pytest.mark.parametrize(("size", "fraction", "side"), [(32, 0.35, 11), (32, 0.25, 8), (28, 1, 28)])
def test_one_square_has_the_asked_side(size, fraction, side):
    counts = torch.ones(50, dtype=torch.int64)
    for mask in squares(50, size, fraction, counts=counts, overhang=False, generator=seeded()):
        assert mask.sum() == side**2
        assert bounding_box(mask) == (side, side)


def test_squares_reach_every_pixel_and_every_border():
    counts = torch.ones(4000, dtype=torch.int64)
    inside = squares(4000, 16, 0.25, counts=counts, overhang=False, generator=seeded()).sum(0)[0]
    assert inside.min() > 0
    assert inside[0, 0] < inside[8, 8] / 4  # a corner is in one place of many
    over = squares(4000, 16, 0.25, counts=counts, overhang=True, generator=seeded()).mean(0)[0]
    expected = (4 / 19) ** 2  # with overhang each pixel is as likely as any other
    assert over.min() > 0.6 * expected
    assert over.max() < 1.5 * expected


def test_overhanging_squares_are_cut_at_the_border_but_never_empty():
    counts = torch.ones(500, dtype=torch.int64)
    areas = squares(500, 16, 0.25, counts=counts, generator=seeded()).sum((1, 2, 3))
    assert areas.min() >= 1
    assert areas.max() == 16
    assert (areas < 16).float().mean() > 0.2


def test_counts_are_zero_to_five_equally_often():
    areas = squares(6000, 64, 1 / 64, overhang=False, generator=seeded()).sum((1, 2, 3))
    frequencies = areas.long().bincount(minlength=6)[:6] / 6000
    assert areas.max() <= 5
    assert (frequencies - 1 / 6).abs().max() < 0.02


def test_given_counts_are_kept():
    counts = torch.tensor([0, 1, 7])
    areas = squares(3, 64, 1 / 64, counts=counts, overhang=False, generator=seeded(1)).sum(
        (1, 2, 3)
    )
    assert areas.tolist() == [0, 1, 7]


def test_holes_are_the_inverse():
    seen, hidden = (draw(20, 32, generator=seeded(5)) for draw in (squares, holes))
    assert torch.equal(seen + hidden, torch.ones(20, 1, 32, 32))


def test_a_fixed_number_of_squares_is_that_for_each_mask():
    given = {"overhang": False, "generator": seeded(1)}
    one = squares(200, 32, 0.25, count=1, **given).sum((1, 2, 3))
    assert (one == 64).all()
    many = squares(20, 32, 0.25, count=3, generator=seeded(4))
    each = squares(20, 32, 0.25, counts=torch.full((20,), 3), generator=seeded(4))
    assert torch.equal(many, each)
    assert (squares(5, 32, count=0, generator=seeded()) == 0).all()


@pytest.mark.parametrize("draw", [squares, holes])
def test_counts_that_contradict_or_are_below_zero_are_refused(draw):
    with pytest.raises(ValueError, match="count is 2 and counts are given, expected one of them"):
        draw(3, 32, count=2, counts=torch.ones(3).long())
    with pytest.raises(ValueError, match="count is -1, expected at least 0"):
        draw(3, 32, count=-1)


@pytest.mark.parametrize("draw", [squares, holes])
def test_same_seed_same_masks(draw):
    masks = draw(40, 32, generator=seeded(2))
    assert torch.equal(masks, draw(40, 32, generator=seeded(2)))
    assert not torch.equal(masks, draw(40, 32, generator=seeded(3)))
    assert masks.shape == (40, 1, 32, 32)
    assert masks.unique().tolist() == [0, 1]


@pytest.mark.parametrize(("fraction", "side"), [(0.001, 0), (1.2, 38)])
def test_refuses_squares_that_are_no_pixel_or_too_large(fraction, side):
    with pytest.raises(ValueError, match=rf"of 32 pixels is {side}; expected 1\.\.32"):
        squares(1, 32, fraction)
