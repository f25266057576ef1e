"""Partly seen images: what is kept of them, which masks they have, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from boed.data import load
from boed.data.dataset import Dataset
from boed.data.incomplete import Incomplete
from boed.data.masks import MASKS
from boed.data.readers.folder import pictures_of
from boed.data.readers.incomplete import read_incomplete
from boed.data.training_split import incomplete_splits

HALF = torch.tensor([1, 1, 0, 0], dtype=torch.uint8).expand(3, 1, 4, 4)


def images(seed=0, n=3):
    return torch.rand(n, 2, 4, 4, generator=torch.Generator().manual_seed(seed))


def partly(**changes):
    fields = {"name": "few", "split": "train", "images": images(), "masks": HALF}
    return Incomplete(**{**fields, **changes})


def whole(n=12, size=8):
    generator = torch.Generator().manual_seed(0)
    return Dataset(
        name="noise",
        split="train",
        images=torch.randint(256, (n, 1, size, size), generator=generator, dtype=torch.uint8),
        labels=torch.arange(n) % 2,
        label_names=("a", "b"),
    )


@pytest.mark.parametrize("hidden", [torch.nan, torch.inf, -3.0, 0.7])
def test_hidden_pixels_are_forgotten(hidden):
    one = partly()
    other = partly(images=torch.where(HALF == 1, images(), hidden))
    assert one.sha256 == other.sha256
    assert torch.equal(one.images, other.images)
    assert torch.equal(other.observation().values, images() * HALF)
    assert torch.equal(other.pixels(), images()[..., :2].flatten())
    assert torch.equal(other.observation([2]).mask, HALF[2:].float())
    assert partly(images=images(seed=1)).sha256 != one.sha256
    assert partly(masks=1 - HALF).sha256 != one.sha256


def test_what_is_seen_is_between_0_and_1_in_whole_numbers_too():
    levels = (images() * 255).to(torch.uint8)
    seen = partly(images=levels)
    assert torch.equal(seen.observation().values, levels.float() / 255 * HALF)
    assert torch.equal(seen.pixels(), (levels.float() / 255)[..., :2].flatten())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"masks": HALF[:2]}, r"masks must be \(3, 1, 4, 4\).* got \(2, 1, 4, 4\)"),
        ({"masks": HALF[:, 0]}, r"masks must be \(3, 1, 4, 4\).* got \(3, 4, 4\)"),
        ({"masks": HALF.expand(3, 2, 4, 4)}, r"masks must be .* got \(3, 2, 4, 4\)"),
        ({"masks": HALF[..., :3]}, r"masks must be .* got \(3, 1, 4, 3\)"),
        ({"masks": HALF * 255}, "masks hold 255; expected 1 where a pixel was seen and 0"),
        ({"masks": HALF * 0.5}, "masks hold 0.5; expected 1"),
        ({"masks": HALF.float() * torch.nan}, "masks hold nan; expected 1"),
        ({"masks": HALF.long() - 1}, "masks hold -1; expected 1"),
        ({"masks": HALF * torch.tensor([1, 0, 0])[:, None, None, None]},
         r"nothing is seen of 2 of 3 images, such as row 1; leave them out"),
        ({"images": images()[0]}, r"images must be uint8 or float32 \[N, C, H, W\]"),
        ({"images": images().double()}, "images must be uint8 or float32"),
        ({"images": images()[:0], "masks": HALF[:0]}, "at least one"),
        ({"images": images() * torch.nan}, "what is seen of images has 48 NaN"),
        ({"images": images() + 1}, "what is seen of images spans"),
        ({"masks": None}, "masks is None, expected a Tensor"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        partly(**changes)


@pytest.mark.parametrize("masks", [*MASKS, "top:3", "dropped:0.9"])
def test_each_image_has_one_mask_for_good(masks):
    once, again = (Incomplete.hidden(whole(), masks, seed=3) for _ in range(2))
    assert torch.equal(once.masks, again.masks)
    assert once.hidden_by == masks
    assert once.masks.flatten(1).any(1).all()
    part = Incomplete.hidden(whole().subset(range(6)), masks, seed=3)  # other data, other masks
    other = Incomplete.hidden(whole(), masks, seed=4)
    if len(once.masks.unique(dim=0)) > 1:
        assert not torch.equal(once.masks, other.masks)
        assert not torch.equal(once.masks[: len(part)], part.masks)


def test_images_of_which_masks_show_nothing_are_left_out():
    data = whole(60)
    seen = Incomplete.hidden(data, "squares", seed=0)
    assert 40 < len(seen) < 60  # one in six has no square
    rows = [(seen.images[k] > 0).sum() for k in range(len(seen))]
    assert min(rows) > 0


def test_masks_that_show_nothing_of_any_image_are_refused():
    with pytest.raises(ValueError, match=r"masks dropped:1\.0: nothing is seen of any image of"):
        Incomplete.hidden(whole(), "dropped:1.0", seed=0)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        f"{split}_{what}": rng.integers(0, most, (5, 8, 8), np.uint8)
        for split in ("train", "val")
        for what, most in (("images", 256), ("masks", 2))
    }


@pytest.fixture
def pictures(tmp_path, arrays):
    """The same as PNG files: the root, and a function that writes one of them again."""
    root = tmp_path / "pictures"

    def write(name, values):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(root / name)

    for split in ("train", "val"):
        for row in range(5):
            write(f"{split}/{row}.png", arrays[f"{split}_images"][row])
            write(f"{split}/{row}.mask.png", arrays[f"{split}_masks"][row] * 255)
    return root, write


def test_files_and_folders_say_the_same(arrays, pictures, write):
    path = write({**arrays, "train_masks": arrays["train_masks"][..., None]})
    for train, val in (incomplete_splits(path), incomplete_splits(pictures[0], 8)):
        for split, seen in (("train", train), ("val", val)):
            assert seen.hidden_by is None
            masks = torch.from_numpy(arrays[f"{split}_masks"])[:, None]
            assert torch.equal(seen.masks, masks)
            assert torch.equal(
                seen.images, torch.from_numpy(arrays[f"{split}_images"])[:, None] * masks
            )


def test_masks_beside_pictures_are_no_pictures(pictures):
    root, write = pictures
    write("val/alone.mask.png", np.zeros((8, 8), np.uint8))  # of no picture, so one itself
    assert len(pictures_of(root, "train")) == 5
    assert len(pictures_of(root, "val")) == 6


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(("kind", "said"), [("npz", "{}_masks"), ("folder", "{}/0.mask.png")])
def test_whole_scenes_are_not_made_of_what_has_masks(arrays, pictures, write, kind, said, split):
    path = pictures[0] if kind == "folder" else write(arrays)
    with pytest.raises(ValueError, match=rf"{said.format(split)}, of whose .*--from observations"):
        load(path, split=split)


def test_a_split_without_masks_is_whole(arrays, pictures, write):
    """Such as a test split, on which completers of the others are judged."""
    root, picture = pictures
    test = {"test_images": arrays["val_images"], "test_labels": np.zeros(5, int)}
    for row, image in enumerate(test["test_images"]):
        picture(f"test/{row}.png", image)
    for path in (write({**arrays, **test}), root):
        assert torch.equal(
            load(path, split="test").images[:, 0], torch.from_numpy(test["test_images"])
        )


@pytest.mark.parametrize("kind", [bool, np.int64, np.float32])
def test_masks_of_other_types(arrays, write, kind):
    path = write({**arrays, "train_masks": arrays["train_masks"].astype(kind)})
    assert torch.equal(read_incomplete(path).masks[:, 0], torch.from_numpy(arrays["train_masks"]))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_images_of_floats_hold_what_they_like_where_nothing_was_seen(arrays, write, kind):
    images = (arrays["train_images"] / 255).astype(kind)
    images[arrays["train_masks"] == 0] = np.nan
    found = read_incomplete(write({**arrays, "train_images": images}))
    assert found.images.dtype == torch.float32
    seen = arrays["train_masks"] == 1
    assert np.allclose(found.images[:, 0].numpy()[seen], images[seen])
    assert (found.images[:, 0].numpy()[~seen] == 0).all()
    images[seen] = 2
    with pytest.raises(ValueError, match=r"what is seen of images .*\[0, 1\]"):
        read_incomplete(write({**arrays, "train_images": images}))
    with pytest.raises(ValueError, match=r"uint8, or floats in \[0, 1\], \[N, H, W\]"):
        read_incomplete(write({**arrays, "train_images": arrays["train_images"].astype(int)}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (lambda m: {"train_masks": m[:4]}, r"small.npz \(train\): masks must be"),
        (lambda m: {"train_masks": m[..., :7]}, r"small.npz \(train\): masks must be"),
        (lambda m: {"train_masks": m[0]}, r"small.npz \(train\): masks must be"),
        (lambda m: {"val_masks": m * 255}, r"small.npz \(val\): masks hold 255; expected 1"),
        (lambda m: {"val_masks": m * 0.5}, r"small.npz \(val\): masks hold 0.5; expected 1"),
        (lambda m: {"val_masks": m * np.nan}, r"small.npz \(val\): masks hold nan; expected 1"),
        (lambda m: {"val_masks": m * 0}, r"small.npz \(val\): nothing is seen of 5 of 5 images"),
        (lambda m: {"val_masks": m.astype(str)}, "val_masks is <U.*expected numbers 0 and 1"),
        (lambda m: {"train_images": m[..., :7]}, "'train_images' is .*square"),
        (lambda m: {"val_masks": None}, "train has masks and val has none"),
        (lambda m: {"train_masks": None}, "val has masks and train has none"),
    ],
)
def test_npz_files_that_are_not_as_they_should_be(arrays, write, changes, said):
    changed = {**arrays, **changes(arrays["train_masks"])}
    path = write({key: each for key, each in changed.items() if each is not None})
    with pytest.raises(ValueError, match=said):
        incomplete_splits(path)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("train/1.mask.png", np.full((8, 8), 1, np.uint8), "train/1.mask.png holds grey of 1"),
        ("train/1.mask.png", np.full((8, 8), 9, np.uint8), "train/1.mask.png holds grey of 9"),
        ("train/1.mask.png", np.full((6, 8), 255, np.uint8), "train/1.mask.png is 8 x 6 pixels"),
        ("val/2.png", np.zeros((16, 16), np.uint8), "val/2.png 16 x 16 .*of one size"),
        ("val/2.mask.png", np.zeros((8, 8), np.uint8), "nothing is seen of 1 of 5 .* row 2"),
        ("val/9.png", np.zeros((8, 8), np.uint8), r"1 of 6 pictures have no mask.*val/9.png; "
         r"expected 9.mask.png beside it"),
    ],
)  # fmt: skip
def test_folders_that_are_not_as_they_should_be(pictures, name, values, said):
    root, write = pictures
    write(name, values)
    with pytest.raises(ValueError, match=said):
        incomplete_splits(root)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"masks": "top:3"}, "masks is 'top:3', but .* has masks of its own: leave it out"),
        ({"size": 4}, "size is 4, but .* has masks of 8 pixels"),
    ],
)
def test_what_images_with_masks_do_not_take(arrays, pictures, write, given, said):
    for path in (write(arrays), pictures[0]):
        with pytest.raises(ValueError, match=said):
            incomplete_splits(path, **given)


def test_whole_images_are_hidden_by_name_and_seed(tmp_path, monkeypatch):
    splits = (whole(), replace(whole(), split="val"))
    monkeypatch.setattr("boed.data.training_split.training_splits", lambda data, size: splits)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()  # a name comes before a path, as for `load`
    for given, name in ({"masks": "top:3"}, "top:3"), ({}, "squares"):
        seen = incomplete_splits("digits", 8, **given, seed=2)
        for each, split in zip(seen, splits, strict=True):
            expected = Incomplete.hidden(split, name, seed=2)
            assert (each.hidden_by, each.sha256) == (name, expected.sha256)
