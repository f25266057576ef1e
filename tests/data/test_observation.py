"""What has been seen, and how it grows."""

from __future__ import annotations

import pytest
import torch

from boed.data import Observation, check_scenes


@pytest.fixture
def scenes():
    return torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def window(rows, columns, batch=3, size=6):
    mask = torch.zeros(batch, 1, size, size)
    mask[:, :, rows, columns] = 1
    return mask


def test_unseen_pixels_are_zero_and_seen_ones_true(scenes):
    mask = window(slice(0, 2), slice(1, 4))
    observation = Observation.of(scenes, mask)
    assert torch.equal(observation.values[:, :, 0:2, 1:4], scenes[:, :, 0:2, 1:4])
    assert observation.values.count_nonzero() == 3 * 2 * 6
    assert torch.allclose(observation.fraction_seen, torch.full((3,), 6 / 36))
    assert (len(observation), observation.size, observation.channels) == (3, 6, 2)


def test_nothing_is_seen_at_first():
    observation = Observation.nothing(4, 3, 5)
    assert observation.network_input(0.5, 0.2).shape == (4, 4, 5, 5)
    assert observation.network_input(0.5, 0.2).count_nonzero() == 0


def test_nothing_and_everything_of_a_scene(scenes):
    nothing, everything = Observation.nothing_of(scenes), Observation.everything(scenes)
    assert nothing.values.count_nonzero() == nothing.mask.count_nonzero() == 0
    assert torch.equal(everything.values, scenes)
    assert torch.equal(everything.fraction_seen, torch.ones(3))
    assert nothing.values.shape == everything.values.shape == (3, 2, 6, 6)


def test_networks_read_standardised_values_and_the_mask(scenes):
    mask = window(slice(2, 4), slice(2, 4))
    read = Observation.of(scenes, mask).network_input(0.3, 0.2)
    assert torch.equal(read[:, :2], (scenes - 0.3) / 0.2 * mask)
    assert torch.equal(read[:, 2:], mask.expand(3, 1, 6, 6))


def test_networks_read_all_of_a_reconstruction_once_there_is_one(scenes):
    observation = with_readings(scenes, [0, 0, 1, 0])
    everywhere = observation.network_input(0.3, 0.2, reconstruction=True)
    assert torch.equal(everywhere[:, :2], (observation.values - 0.3) / 0.2)
    assert torch.equal(everywhere[:, 2:], observation.mask)
    masked = observation.network_input(0.3, 0.2)
    assert torch.equal(masked[:, :2], (observation.values - 0.3) / 0.2 * observation.mask)
    blank = with_readings(scenes, [0, 0, 0, 0]).network_input(0.3, 0.2, reconstruction=True)
    assert blank[:, :2].count_nonzero() == 0


def test_looks_add_up_in_any_order(scenes):
    first, second = window(slice(0, 3), slice(0, 3)), window(slice(2, 5), slice(1, 6))
    both = Observation.of(scenes, torch.maximum(first, second))
    for one, other in ((first, second), (second, first)):
        grown = Observation.of(scenes, one).with_seen(scenes, other)
        assert torch.equal(grown.values, both.values)
        assert torch.equal(grown.mask, both.mask)


def test_with_seen_leaves_the_old_observation(scenes):
    observation = Observation.nothing(3, 2, 6)
    observation.with_seen(scenes, torch.ones(3, 1, 6, 6))
    assert observation.values.count_nonzero() == 0


def test_composite_keeps_what_was_measured(scenes):
    mask = window(slice(1, 5), slice(1, 5))
    guesses = torch.rand(7, 3, 2, 6, 6)
    composed = Observation.of(scenes, mask).composite(guesses)
    seen = (mask > 0).expand_as(scenes)
    assert composed.shape == guesses.shape
    for guess, result in zip(guesses, composed, strict=True):
        assert torch.equal(result[seen], scenes[seen])
        assert torch.equal(result[~seen], guess[~seen])


def test_repeat_puts_copies_one_after_the_other(scenes):
    observation = Observation.of(scenes, window(slice(0, 2), slice(0, 2))).repeat(2)
    assert len(observation) == 6
    assert torch.equal(observation.values[:3], observation.values[3:])
    assert torch.equal(observation[4:5].values, observation[1:2].values)


@pytest.mark.parametrize(
    ("values", "mask", "message"),
    [
        ((2, 6, 6), (2, 1, 6, 6), r"values must be \[B, C, H, W\], got \(2, 6, 6\)"),
        ((2, 1, 6, 6), (1, 1, 6, 6), r"mask must be \(2, 1, 6, 6\)"),
        ((2, 3, 6, 6), (2, 3, 6, 6), r"got \(2, 3, 6, 6\)"),
        ((2, 3, 6, 6), (2, 1, 6, 5), r"got \(2, 1, 6, 5\)"),
    ],
)
def test_refuses_shapes_that_do_not_fit(values, mask, message):
    with pytest.raises(ValueError, match=message):
        Observation(torch.zeros(values), torch.zeros(mask))


@pytest.mark.parametrize(
    ("readings", "taken", "message"),
    [
        ((2, 5), None, "readings and taken belong together: give both, or neither"),
        (None, (2, 5), "readings and taken belong together"),
        ((3, 5), (3, 5), r"readings and taken must be \[2, R\] .* got \(3, 5\) and \(3, 5\)"),
        ((2, 5), (2, 4), r"got \(2, 5\) and \(2, 4\)"),
        ((2, 5, 1), (2, 5, 1), r"got \(2, 5, 1\)"),
    ],
)
def test_refuses_readings_that_do_not_fit(readings, taken, message):
    given = {"readings": readings, "taken": taken}
    given = {k: None if shape is None else torch.zeros(shape) for k, shape in given.items()}
    with pytest.raises(ValueError, match=message):
        Observation(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4), **given)


def with_readings(scenes, taken, seed=0):
    """An observation whose readings are all there to see in its values."""
    readings = torch.rand(len(scenes), 4, generator=torch.Generator().manual_seed(seed))
    taken = torch.as_tensor(taken, dtype=torch.float).expand(len(scenes), -1)
    mask = torch.zeros_like(scenes[:, :1]) + 0.5
    return Observation(scenes, mask, readings=readings * taken, taken=taken)


def parts(observation):
    return observation.values, observation.mask, observation.readings, observation.taken


def test_what_was_seen_is_pixels_or_readings(scenes):
    observation = with_readings(scenes, [1, 0, 0, 0])
    assert observation.fraction_seen.tolist() == [0.25] * 3
    assert torch.equal(observation.seen, observation.taken)
    pixels = Observation.of(scenes, window(slice(0, 2), slice(0, 3)))
    assert torch.equal(pixels.seen, pixels.mask.flatten(1))


def test_readings_go_where_the_scenes_go(scenes):
    observation = with_readings(scenes, [1, 0, 1, 0])
    index = torch.tensor([2, 0])
    for found, expected in zip(parts(observation[index]), parts(observation), strict=True):
        assert torch.equal(found, expected[index])
    for found, expected in zip(parts(observation[1:]), parts(observation), strict=True):
        assert torch.equal(found, expected[1:])
    for found, expected in zip(parts(observation.repeat(3)), parts(observation), strict=True):
        assert torch.equal(found, torch.cat([expected] * 3))
    assert all(part.device.type == "meta" for part in parts(observation.to("meta")))


def test_readings_leave_scenes_as_they_are(scenes):
    observation = with_readings(scenes, [1, 1, 1, 1])
    guesses = torch.rand(7, 3, 2, 6, 6)
    assert torch.equal(observation.composite(guesses), guesses)
    with pytest.raises(ValueError, match=r"observation has readings .* cannot add pixels"):
        observation.with_seen(scenes, window(slice(0, 2), slice(0, 2)))


def test_some_scenes_replaced(scenes):
    old = Observation.of(scenes, window(slice(0, 2), slice(0, 2)))
    new = Observation.of(scenes, window(slice(0, 4), slice(0, 4)))
    both = old.with_rows(torch.tensor([2, 0]), new[torch.tensor([2, 0])])
    for found, before, after in zip(parts(both)[:2], parts(old), parts(new), strict=False):
        assert torch.equal(found, torch.stack([after[0], before[1], after[2]]))
    assert both.readings is None


def test_some_scenes_replaced_with_readings(scenes):
    row = torch.tensor([1])
    old, new = with_readings(scenes, [1, 0, 0, 0]), with_readings(scenes / 2, [1, 1, 0, 0], 1)
    mixed = old.with_rows(row, new[row])
    for found, before, after in zip(*map(parts, (mixed, old, new)), strict=True):
        assert torch.equal(found, torch.stack([before[0], after[1], before[2]]))
    # where one of the two has no readings, nothing of it has been taken
    nothing = Observation.nothing(3, 2, 6)
    assert nothing.with_rows(row, new[row]).taken[:, 0].tolist() == [0, 1, 0]
    assert old.with_rows(row, nothing[row]).taken[:, 0].tolist() == [1, 0, 1]
    fewer = Observation(*parts(new)[:2], readings=new.readings[:, :1], taken=new.taken[:, :1])
    with pytest.raises(ValueError, match=r"other has values, mask and readings .*\(1, 1\)"):
        old.with_rows(row, fewer[row])


def test_several_joined_one_after_the_other(scenes):
    few, more = with_readings(scenes, [1, 0, 0, 0]), with_readings(scenes / 2, [1, 1, 0, 0], 1)
    joined = Observation.joined([few, more])
    for found, first, second in zip(*map(parts, (joined, few, more)), strict=True):
        assert torch.equal(found, torch.cat([first, second]))
    # before its first look an indirect sensor has no readings yet
    joined = Observation.joined([Observation.nothing(3, 2, 6), few])
    assert joined.taken[:, 0].tolist() == [0, 0, 0, 1, 1, 1]


def test_scenes_need_not_be_square():
    scenes = torch.rand(2, 3, 4, 6)
    nothing = Observation.nothing(2, 3, (4, 6))
    assert (nothing.shape, nothing.size, nothing.channels) == ((4, 6), 6, 3)
    assert nothing.network_input(0.5, 0.2).shape == (2, 4, 4, 6)
    mask = torch.zeros(2, 1, 4, 6)
    mask[..., 5] = 1
    seen = nothing.with_seen(scenes, mask)
    assert torch.equal(seen.values, scenes * mask)
    assert torch.allclose(seen.fraction_seen, torch.tensor(1 / 6))
    check_scenes(scenes)


def test_check_scenes(scenes):
    check_scenes(scenes)
    broken = scenes.clone()
    broken[0, 0, 0, :2] = torch.tensor([float("nan"), float("inf")])
    for wrong, message in (
        (scenes[0], r"scenes must be \[B, C, H, W\]"),
        (broken, "scenes has 2 NaN or infinite pixels"),
        (scenes * 255, r"expected values in \[0, 1\]"),
        (scenes - 1, r"spans \[-"),
    ):
        with pytest.raises(ValueError, match=message):
            check_scenes(wrong)
    with pytest.raises(ValueError, match=r"^guess has 2 NaN"):
        check_scenes(broken, "guess")
