"""Every mask by its name: what it may be asked for, what all have in common, what is refused."""

from __future__ import annotations

import pytest
import torch

from boed.data.masks import MASKS, check_masks, named, read_masks
from boed.data.masks.names import arguments

SPELLED = {
    "squares": "0.25:2",
    "holes": "0.25:2",
    "blobs": "2:1:3",
    "top": "5",
    "bottom": "5",
    "left": "5",
    "right": "5",
    "edge": "3",
    "centre_seen": "6",
    "centre_hole": "0.5",
    "half": "",
    "rectangle": "4:6",
    "patches": "3:4",
    "scattered": "9",
    "dropped": "0.9",
    "pattern": "0.4",
}
"""Arguments of each."""

SPELLINGS = [*MASKS, *(f"{name}:{values}" for name, values in SPELLED.items() if values)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_all_are_spelled():
    assert list(SPELLED) == list(MASKS)
    for name, values in SPELLED.items():
        assert len(arguments(name)) == len(list(filter(None, values.split(":"))))


@pytest.mark.parametrize("size", [16, 28, 32, 64])
@pytest.mark.parametrize("text", SPELLINGS)
def test_masks_of_every_name_and_size(text, size):
    before = torch.random.get_rng_state()
    masks = named(text)(6, size, generator=seeded())
    assert masks.shape == (6, 1, size, size)
    assert masks.dtype == torch.float32
    assert ((masks == 0) | (masks == 1)).all()
    assert 0 < masks.mean() < 1
    assert torch.equal(masks, named(text)(6, size, generator=seeded()))
    check_masks(text, size)
    assert torch.equal(before, torch.random.get_rng_state())
    masks[0] = 2  # no mask shares memory with another
    assert (masks[1:] <= 1).all()


@pytest.mark.parametrize("text", SPELLINGS)
def test_without_a_generator_the_global_one_decides(text):
    def drawn(seed):
        torch.manual_seed(seed)
        return named(text)(8, 32)

    with torch.random.fork_rng():
        assert torch.equal(drawn(3), drawn(3))
        name = text.partition(":")[0]
        fixed = name in ("top", "bottom", "left", "right", "edge", "centre_seen", "centre_hole")
        assert torch.equal(drawn(3), drawn(4)) == fixed


@pytest.mark.parametrize("name", MASKS)
def test_arguments_of_another_kind_are_refused(name):
    takes = arguments(name)
    values = list(filter(None, SPELLED[name].split(":")))
    with pytest.raises(ValueError, match=rf"--masks {name}:.*has {len(takes) + 1} arguments"):
        named(":".join((name, *values, "1")), argument="--masks")
    for index, (called, _) in enumerate(takes.items()):
        for wrong in ("", "x", "0", "-1", "nan", "inf", "1.5", "1e3"):
            text = ":".join((name, *values[:index], wrong))
            with pytest.raises(ValueError, match=rf"^masks {name}:.*: {called} is "):
                named(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tpo", r"^masks is 'tpo': did you mean 'top'\? Expected one of squares, holes, blobs"),
        ("", "masks is '', expected text that is not empty"),
        ("Blobs", "did you mean 'blobs'"),
        (":4", "masks is ''"),
        ("half:1", "has 1 arguments, expected none"),
        ("top:3:4", "has 2 arguments, expected at most 1, as top:rows"),
        (3, "masks is 3, expected text"),
    ],
)
def test_names_that_there_are_not(text, said):
    with pytest.raises(ValueError, match=said):
        named(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("squares:0.01", "fraction 0.01 of 32 pixels is 0"),
        ("holes:0.01", "fraction 0.01 of 32 pixels is 0"),
        ("blobs:4:6:2", "most_steps is 2, expected at least 6"),
        ("blobs:4:2:18", "most_steps is 18, expected at most 17"),
        ("blobs:33", "most is 33, expected at most 32"),
        ("blobs:1000000000", "most is 1000000000, expected at most 32"),
        ("patches:1000000000:3", "number is 1000000000, expected at most 1024"),
        ("top:32", "rows is 32, expected at most 31"),
        ("bottom:40", "rows is 40, expected at most 31"),
        ("left:32", "columns is 32, expected at most 31"),
        ("right:32", "columns is 32, expected at most 31"),
        ("edge:16", "width is 16, expected at most 15"),
        ("centre_seen:32", "side is 32, expected at most 31"),
        ("centre_hole:0.01", "fraction 0.01 of 32 pixels is 0"),
        ("rectangle:33:2", "height is 33, expected at most 32"),
        ("rectangle:2:33", "width is 33, expected at most 32"),
        ("patches:1:31", "side is 31, expected at most 30"),
        ("scattered:1024", "count is 1024, expected at most 1023"),
        ("dropped:0.0001", "missing 0.0001 of 1024 pixels is 0"),
        ("pattern:0.0001", "missing 0.0001 of 1024 pixels is 0"),
    ],
)
def test_sizes_that_masks_do_not_fit(text, said):
    with pytest.raises(ValueError, match=rf"^masks {text}: {said}.*for scenes of 32 x 32 pixels"):
        check_masks(text, 32)


def test_several():
    assert read_masks("blobs, top:14") == read_masks(["blobs", "top:14"]) == ("blobs", "top:14")


@pytest.mark.parametrize("text", [",", "top,top", "top,tpo", "half:2", [], ["top", "top"], 3])
def test_several_that_are_wrong(text):
    with pytest.raises(ValueError, match=r"^(one of )?--masks"):
        read_masks(text, argument="--masks")
