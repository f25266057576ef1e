"""Retrieval: the right images, with the right weights and labels."""

from __future__ import annotations

import math

import pytest
import torch

from boed.completion import Completer, Retrieval, complete
from boed.data.dataset import Dataset
from boed.data.masks import squares
from boed.data.observation import Observation

LEVELS = [0, 51, 102, 153, 255]


@pytest.fixture
def library():
    """Five images, each of one grey level."""
    images = torch.tensor(LEVELS, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 1, 4, 4)
    names = tuple("abcde")
    return Dataset(
        name="greys",
        split="train",
        images=images.contiguous(),
        labels=torch.arange(5),
        label_names=names,
    )


def seen(*levels, pixels=4):
    """Observations of scenes of one grey level, some pixels of the first row seen."""
    mask = torch.zeros(len(levels), 1, 4, 4)
    mask[:, :, 0, :pixels] = 1
    return Observation.of(torch.tensor(levels).view(-1, 1, 1, 1) / 255 * mask, mask)


def test_nearest_matches_first_with_their_weights_and_labels(library):
    completions = Retrieval(library, bandwidth=0.2).complete(seen(100.0, 250.0), 3)
    assert completions.labels.tolist() == [[2, 4], [1, 3], [3, 2]]
    difference = (
        torch.tensor([[102, 51, 153], [255, 153, 102]]) - torch.tensor([[100], [250]])
    ) / 255
    likelihood = torch.exp(-(difference**2) / (2 * 0.2**2))
    expected = (likelihood / likelihood.sum(1, keepdim=True)).T
    assert torch.allclose(completions.weights, expected, atol=1e-5)
    ess = 1 / (expected**2).sum(0)
    assert torch.allclose(completions.effective_sample_size, ess, atol=1e-4)
    assert completions.scenes[0, 0, 0, 0, 0].item() == pytest.approx(100 / 255)  # as it was seen
    assert completions.scenes[0, 0, 0, 1, 0].item() == pytest.approx(102 / 255)  # retrieved


def test_distance_is_a_mean_over_the_seen_pixels(library):
    retrieval = Retrieval(library)
    levels = retrieval.library.images[:, 0, 0, 0]
    assert sorted(levels.tolist()) == sorted(LEVELS)
    expected = ((levels.float() - 100) / 255) ** 2
    for pixels in (1, 4):
        got = retrieval.distances(seen(100.0, pixels=pixels))[0]
        assert torch.allclose(got, expected, atol=1e-6)


def test_unseen_scenes_get_random_images_without_replacement(library):
    retrieval = Retrieval(library)
    drawn = set()
    for seed in range(40):
        observation = Observation.nothing(2, 1, 4)
        completions = retrieval.complete(observation, 5, seed)
        assert completions.labels.sort(0).values.T.tolist() == [[0, 1, 2, 3, 4]] * 2
        assert torch.equal(completions.weights, torch.full((5, 2), 0.2))
        assert torch.equal(completions.labels, retrieval.complete(observation, 5, seed).labels)
        sample = retrieval.sample(observation, 5, seed)[:, :, 0, 0, 0] * 255
        assert sample.sort(0).values.T.round().tolist() == [LEVELS] * 2
        drawn |= set(retrieval.complete(observation, 1, seed).labels.flatten().tolist())
    assert drawn == {0, 1, 2, 3, 4}


def test_seen_and_unseen_scenes_in_one_batch(library):
    one = seen(153.0)
    nothing = Observation.nothing(1, 1, 4)
    batch = Observation(
        torch.cat([one.values, nothing.values]), torch.cat([one.mask, nothing.mask])
    )
    completions = Retrieval(library).complete(batch, 2, [3, 4])
    assert completions.labels[0, 0] == 3
    assert torch.equal(
        completions.labels[:, 1:], Retrieval(library).complete(nothing, 2, [4]).labels
    )


def test_samples_follow_the_weights(library):
    """Independently of one another: the best match may come more than once."""
    retrieval = Retrieval(library, bandwidth=0.2)
    observation = seen(100.0)
    weights = retrieval.complete(observation, 5).weights[:, 0]
    expected = torch.zeros(5)
    expected[retrieval.complete(observation, 5).labels[:, 0]] = weights
    counts = torch.zeros(5)
    for seed in range(800):
        grey = retrieval.sample(observation, 5, seed)[:, 0, 0, 1, 0]
        counts += (grey[:, None] * 255 - torch.tensor(LEVELS)).abs().argmin(1).bincount(minlength=5)
    assert (counts / 4000 - expected).abs().max() < 0.03


def test_findings_come_along(library):
    findings = Dataset(
        name="findings",
        split="train",
        images=library.images,
        labels=torch.eye(5, dtype=torch.int64),
        label_names=tuple("abcde"),
    )
    completions = complete(Retrieval(findings), seen(0.0, 255.0), 2)
    assert completions.labels.shape == (2, 2, 5)
    assert completions.labels[0].argmax(1).tolist() == [0, 4]


def spectrum(scenes):
    """Mean and first difference of each image: four readings with the two rows' means."""
    rows = scenes[:, 0].mean(2)
    return torch.stack([rows.mean(1), rows[:, 0] - rows[:, 1], rows[:, 0], rows[:, 1]], dim=1)


def read(*levels, taken):
    """What an indirect sensor read of scenes of one grey level; its picture means nothing."""
    scenes = torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 1, 4, 4) / 255
    chosen = torch.zeros(len(levels), 4)
    chosen[:, taken] = 1
    picture = torch.full((len(levels), 1, 4, 4), 9.0)
    return Observation(
        picture, picture[:, :1] * 0 + 1, readings=spectrum(scenes) * chosen, taken=chosen
    )


def test_readings_are_compared_as_readings(library):
    """Of those that were taken; the library is read once."""
    calls = []

    def counted(scenes):
        calls.append(len(scenes))
        return spectrum(scenes)

    retrieval = Retrieval(library, bandwidth=0.2, transform=counted)
    observation = read(100.0, 250.0, taken=[0, 2])
    completions = retrieval.complete(observation, 3)
    by_pixels = Retrieval(library, bandwidth=0.2).complete(seen(100.0, 250.0), 3)
    assert torch.equal(completions.labels, by_pixels.labels)
    assert torch.allclose(completions.weights, by_pixels.weights, atol=1e-5)
    images = library.scenes(completions.labels.flatten()).unflatten(0, (3, 2))
    assert torch.equal(completions.scenes, images)  # nothing composited
    blind = retrieval.distances(read(100.0, taken=[1]))  # every image has no difference
    assert blind.abs().max() < 1e-6
    assert sum(calls) == 5


def test_no_readings_yet_is_nothing_seen(library):
    retrieval = Retrieval(library, transform=spectrum)
    nothing = Observation.nothing(2, 1, 4)
    plain = Retrieval(library).complete(nothing, 5, 3)
    assert torch.equal(retrieval.complete(nothing, 5, 3).labels, plain.labels)
    none_taken = read(1.0, 2.0, taken=[])
    assert torch.equal(retrieval.complete(none_taken, 5, 3).labels, plain.labels)
    assert retrieval.sample(nothing, 5).shape == (5, 2, 1, 4, 4)


def test_observations_of_another_sensor(library):
    for call in (Retrieval(library).complete, Retrieval(library).sample):
        with pytest.raises(
            ValueError, match=r"observation has readings .* a transform from scenes"
        ):
            call(read(1.0, taken=[0]), 1)
    with pytest.raises(ValueError, match="pixels that were seen but no readings"):
        Retrieval(library, transform=spectrum).complete(seen(1.0), 1)
    fewer = Retrieval(library, transform=lambda scenes: spectrum(scenes)[:, :3])
    with pytest.raises(ValueError, match="observation has 4 readings; the transform gives 3"):
        fewer.complete(read(1.0, taken=[0]), 1)


def test_it_is_a_completer(library):
    assert isinstance(Retrieval(library), Completer)


def test_wrong_inputs(library):
    for bandwidth in (0, -1, math.nan):
        with pytest.raises(ValueError, match=r"bandwidth is .*, expected more than 0"):
            Retrieval(library, bandwidth)
    retrieval = Retrieval(library)
    for call in (retrieval.complete, retrieval.sample):
        with pytest.raises(ValueError, match="n is 6, but greys has only 5 images"):
            call(seen(1.0), 6)
        with pytest.raises(ValueError, match="n is 0, expected at least 1"):
            call(seen(1.0), 0)
        with pytest.raises(ValueError, match="from greys is for 1 channels of 4"):
            call(Observation.nothing(1, 3, 4), 1)
        with pytest.raises(ValueError, match="observation has NaN or infinite pixels"):
            call(seen(math.nan), 1)


def crowd(number: int = 3000, size: int = 12) -> Dataset:
    """Smooth random images: a few principal components say most of each."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(number, 1, 4, 4, generator=generator)
    fields = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    images = (255 * fields).to(torch.uint8)
    return Dataset(
        name="crowd",
        split="train",
        images=images,
        labels=torch.arange(number) % 2,
        label_names=("a", "b"),
    )


def test_an_index_finds_what_a_full_comparison_finds():
    library = crowd()
    scenes = library.scenes(torch.arange(0, 3000, 150))
    masks = squares(
        20, 12, 0.5, counts=torch.full((20,), 2), generator=torch.Generator().manual_seed(1)
    )
    observation = Observation.of(scenes, masks)
    full = Retrieval(library).complete(observation, 5)
    fast = Retrieval(library, candidates=200).complete(observation, 5)
    same = (full.scenes == fast.scenes).flatten(2).all(2)  # [n, B]
    assert float(same.float().mean()) > 0.9
    agree = same.all(0)
    assert torch.allclose(full.weights[:, agree], fast.weights[:, agree], atol=1e-4)
    assert torch.equal(full.labels[:, agree], fast.labels[:, agree])


def test_with_all_as_candidates_an_index_changes_nothing():
    library = crowd(300)
    scenes = library.scenes(torch.arange(6))
    masks = squares(6, 12, 0.5, counts=torch.tensor([1, 2, 3, 1, 2, 3]))
    observation = Observation.of(scenes, masks)
    full = Retrieval(library).complete(observation, 4)
    fast = Retrieval(library, candidates=300).complete(observation, 4)
    assert torch.equal(full.scenes, fast.scenes)


def test_with_nothing_seen_an_index_draws_from_the_whole_library():
    library = crowd()
    fast = Retrieval(library, candidates=50)
    blank = Observation.nothing(40, 1, 12)
    drawn = fast.draw(blank, 10, seed=0).flatten(2).transpose(0, 1)  # [B, n, P]
    assert all(len(torch.unique(each, dim=0)) == 10 for each in drawn)
    assert len(torch.unique(drawn.flatten(0, 1), dim=0)) > 350


def test_wrong_candidates():
    library = crowd(30)
    with pytest.raises(ValueError, match="candidates is 0, expected at least 1"):
        Retrieval(library, candidates=0)
    with pytest.raises(ValueError, match="give them or a transform, not both"):
        Retrieval(library, candidates=5, transform=lambda scenes: scenes.flatten(1))
    few = Retrieval(library, candidates=5)
    with pytest.raises(ValueError, match="n is 6, but only 5 candidates are compared"):
        few.sample(Observation.nothing(1, 1, 12), 6)


def test_the_nearest_image_is_an_image_of_the_library(library):
    """With n = 1 it is the nearest of the seen pixels (Yeh et al. 2017): found without an error."""
    scenes = library.scenes()
    mask = torch.zeros(5, 1, 4, 4)
    mask[..., :2, 1:] = 1
    nearest = complete(Retrieval(library), Observation.of(scenes, mask), 1)
    assert torch.equal(nearest.scenes[0], scenes)
