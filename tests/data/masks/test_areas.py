"""What is seen of each mask of areas and of so many pixels."""

from __future__ import annotations

import pytest
import torch

from boed.data import masks as m


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("mask", "seen"),
    [
        (m.top(1, 8, 3), (slice(0, 3), slice(None))),
        (m.bottom(1, 8, 3), (slice(5, 8), slice(None))),
        (m.left(1, 8, 3), (slice(None), slice(0, 3))),
        (m.right(1, 8, 3), (slice(None), slice(5, 8))),
        (m.top(1, 8), (slice(0, 4), slice(None))),
        (m.right(1, 8), (slice(None), slice(4, 8))),
        (m.centre_seen(1, 8), (slice(2, 6), slice(2, 6))),
        (m.centre_seen(1, 8, 3), (slice(2, 5), slice(2, 5))),
        (1 - m.edge(1, 8), (slice(2, 6), slice(2, 6))),
        (1 - m.edge(1, 8, 1), (slice(1, 7), slice(1, 7))),
        (1 - m.centre_hole(1, 8), (slice(3, 5), slice(3, 5))),
        (1 - m.centre_hole(1, 8, 1.0), (slice(None), slice(None))),
    ],
)
def test_fixed_areas(mask, seen):
    expected = torch.zeros(1, 1, 8, 8)
    expected[0, 0, *seen] = 1
    assert torch.equal(mask, expected)


def test_the_hole_of_the_papers():
    assert (1 - m.centre_hole(1, 32)).sum() == 8 * 8
    assert (1 - m.centre_hole(1, 64, 0.5)).sum() == 32 * 32


def test_halves_are_equally_often_of_each_side():
    halves = m.half(2000, 6, generator=seeded())
    for draw in (m.left, m.right, m.top, m.bottom):
        share = (halves == draw(1, 6)).flatten(1).all(1).float().mean()
        assert float(share) == pytest.approx(0.25, abs=0.04)


def test_rectangles_have_every_size_and_place():
    masks = m.rectangle(8000, 5, height=2, width=3, generator=seeded())[:, 0]
    height, width = masks.amax(2).sum(1).long(), masks.amax(1).sum(1).long()
    assert torch.equal(masks.sum((1, 2)).long(), height * width)
    together = (height - 1) * 3 + width - 1
    assert (together.bincount(minlength=6) / 8000 - 1 / 6).abs().max() < 0.02
    pixel = masks[(height == 1) & (width == 1)]
    assert (pixel.mean(0) - 1 / 25).abs().max() < 0.03
    assert m.rectangle(50, 5, height=5, width=5, generator=seeded()).amax() == 1


@pytest.mark.parametrize(
    ("size", "number", "side", "border", "fraction"),
    [(32, 1, 8, 1, 0.0625), (32, 62, 3, 1, 0.3996), (128, 90, 10, 4, 0.399), (64, 90, 5, 2, 0.399)],
)
def test_patches_are_whole_and_off_the_border(size, number, side, border, fraction):
    masks = m.patches(200, size, number=number, side=side, generator=seeded())
    assert float(masks.mean()) == pytest.approx(fraction, rel=0.02)
    inside = masks[:, :, border:-border, border:-border]
    assert inside.sum() == masks.sum()
    if number == 1:
        assert (masks.sum((1, 2, 3)) == side**2).all()
        for end in (inside.amax((0, 1, 3)), inside.amax((0, 1, 2))):
            assert end[0] == end[-1] == 1


@pytest.mark.parametrize(
    ("draw", "seen"),
    [
        (lambda g: m.scattered(4000, 6, 5, generator=g), 5),
        (lambda g: m.scattered(4000, 6, generator=g), 6),
        (lambda g: m.dropped(4000, 6, 0.8, generator=g), 36 - 29),
        (lambda g: m.dropped(4000, 6, 0.9, generator=g), 36 - 32),
        (lambda g: m.pattern(4000, 6, 0.25, generator=g), 36 - 9),
    ],
)
def test_exactly_so_many_pixels(draw, seen):
    masks = draw(seeded())
    assert (masks.sum((1, 2, 3)) == seen).all()
    if seen < 20:  # independently of where
        assert (masks.mean(0) - seen / 36).abs().max() < 0.04


def test_a_pattern_hangs_together_where_dropped_pixels_do_not():
    def together(mask):
        """Share of neighbours of hidden pixels that are hidden."""
        hidden = 1 - mask
        return float((hidden[..., 1:] * hidden[..., :-1]).sum() / hidden[..., 1:].sum())

    assert together(m.pattern(20, 32, generator=seeded())) > 0.75
    assert together(m.dropped(20, 32, 0.25, generator=seeded())) < 0.3
