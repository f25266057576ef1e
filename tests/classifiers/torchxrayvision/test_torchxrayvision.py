"""torchxrayvision's networks are the library's function, on a data set's questions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boed.classifiers import DenseNetClassifier, DenseNetConfig
from boed.classifiers.networks.extractor import ClassifierExtractor
from boed.classifiers.torchxrayvision.classifier import TorchXRayVisionClassifier
from boed.classifiers.torchxrayvision.weights import PREFIX
from boed.classifiers.training import start_from
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.foundation.files import load_weights
from boed.foundation.torchvision_compat import torchxrayvision
from boed.sensors import PatchSensor
from boed.testing import check_classifier
from boed.training import Recipe
from boed.zoo import train_recipe
from boed.zoo.fitted import Context
from boed.zoo.models import network_for
from tests.classifiers.published import ALL

PNEUMONIA = ("no pneumonia", "pneumonia")
FINDINGS = ("Cardiomegaly", "Pleural_Thickening", "lung lesion", "any")


@pytest.fixture(scope="module")
def reference(files):
    """The library's own model, of the same file."""
    return torchxrayvision().models.DenseNet(weights=ALL, cache_dir=str(files))


def scenes(size, number=2):
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(number, 1, 8, 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")


def classifier(path, names=PNEUMONIA, *, multi_label=False, size=32):
    return TorchXRayVisionClassifier(path, names, multi_label=multi_label, size=size)


def dataset(names, *, multi_label=False, size=8, channels=1):
    labels = torch.zeros((2, len(names)) if multi_label else 2).long()
    images = torch.zeros(2, channels, size, size, dtype=torch.uint8)
    return Dataset(name="rays", split="test", images=images, labels=labels, label_names=names)


@pytest.mark.parametrize(
    ("names", "multi_label", "size"),
    [
        (PNEUMONIA, False, 32),
        (("normal", "PNEUMONIA"), False, 224),
        (("pneumonia", "no pneumonia"), False, 32),
        (FINDINGS, True, 64),
    ],
)
def test_beliefs_are_the_librarys_outputs(converted, reference, names, multi_label, size):
    scene = scenes(size, 1)
    model = classifier(converted, names, multi_label=multi_label, size=size)
    beliefs = model.log_probs(Observation.everything(scene)).exp()
    with torch.no_grad():
        theirs = reference((2 * scene - 1) * 1024)
        features = reference.features2((2 * scene - 1) * 1024)
    at = {name.lower(): column for column, name in enumerate(reference.targets)}
    if multi_label:
        expected = torch.stack([theirs[:, at[name.lower()]] for name in names[:-1]], dim=1)
        expected = torch.cat([expected, expected.amax(1, keepdim=True)], dim=1)
        present = beliefs[..., 1]
    else:
        expected = theirs[:, at["pneumonia"]]
        present = beliefs[:, [name.lower() for name in names].index("pneumonia")]
    assert torch.allclose(present, expected, atol=1e-5)
    assert ((expected - 0.5).abs() < 0.48).all()  # so that there is something to compare
    assert torch.allclose(beliefs.sum(-1), torch.ones(()), atol=1e-5)
    extracted = ClassifierExtractor(model, "its name").features(scene)
    assert torch.allclose(extracted, features, rtol=1e-4, atol=1e-4)


def test_what_was_not_seen_is_grey_and_nearby_beliefs_agree(converted, reference):
    scene, model = scenes(32, 1), classifier(converted)
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., :8, :8] = 1
    before = Observation.of(scene, mask)
    mask = mask.clone()
    mask[..., 4:20, 10:24] = 1
    after = Observation.of(scene, mask)
    with torch.no_grad():
        expected = reference(torch.where(mask > 0, (2 * scene - 1) * 1024, 0))
    belief = model.log_probs(after)
    assert torch.allclose(belief[:, 1].exp(), expected[:, 8], atol=1e-5)
    assert torch.allclose(model.around(before)(after, torch.arange(1)), belief, atol=1e-5)


@pytest.mark.parametrize("score", [-1e4, -40.0, 0.0, 40.0, 1e4])
@pytest.mark.parametrize("threshold", [4e-4, 0.05, 0.9])
def test_no_score_makes_an_impossible_belief(score, threshold):
    from boed.classifiers.torchxrayvision.classifier import _at_threshold

    answers = _at_threshold(torch.tensor([[score]]), torch.tensor([threshold]))
    assert torch.isfinite(answers).all() or abs(score) == 1e4
    assert not torch.isnan(answers).any()
    assert torch.allclose(answers.exp().sum(-1), torch.ones(1, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("names", "multi_label", "said"),
    [
        (("0", "1"), False, "not 0, 1"),
        (("normal", "bacterial", "viral"), False, "not normal, bacterial, viral"),
        (("no fever", "fever"), False, "not fever"),
        (("Edema", "Mass"), False, "not Edema, Mass"),
        (("Edema", "Fever", "any"), True, "not Fever"),
        (("any",), True, "not any"),
    ],
)
def test_other_questions_are_refused(converted, names, multi_label, said):
    with pytest.raises(
        ValueError, match=r"judge: torchxrayvision:\S+ answers Atelectasis, .*"
    ) as e:
        TorchXRayVisionClassifier(
            converted, names, multi_label=multi_label, size=32, argument="judge"
        )
    assert str(e.value).endswith(f"each with its absence; {said}")


@pytest.mark.parametrize(
    ("names", "channels", "said"),
    [
        (PNEUMONIA, 3, "is for 1 channels of 8 pixels; rays has 3"),
        (("no fever", "fever"), 1, "torchxrayvision:.* answers Atelectasis, .*; not fever$"),
    ],
)
def test_what_it_can_not_judge_is_refused_before_a_download(fresh, names, channels, said):
    data = dataset(names, channels=channels)
    with pytest.raises(ValueError, match=f"^judge:? {said}"):
        network_for(Context(data, PatchSensor(8)), PREFIX + ALL, argument="judge")
    assert not list(fresh.iterdir())


@pytest.mark.parametrize("size", [8, 28, 300])
def test_scenes_of_any_size_by_name(converted, monkeypatch, size):
    monkeypatch.setenv("BOED_CACHE", str(converted.parents[1]))
    data = dataset(PNEUMONIA, size=size)
    model = network_for(Context(data, PatchSensor(size)), PREFIX + ALL)
    assert (model.config.size, model.config.channels) == (size, 1)
    assert model.log_probs(Observation.everything(data.scenes([0]))).shape == (1, 2)
    assert model.provenance["weights"] == PREFIX + ALL
    with pytest.raises(ValueError, match="is published and has no checkpoint here"):
        model.save("model.safetensors", {})


@pytest.mark.parametrize(
    ("names", "multi_label"),
    [(PNEUMONIA, False), (("pneumonia", "normal"), False), (FINDINGS, True), (("a", "b"), False)],
)
def test_training_starts_from_the_published_function(converted, reference, names, multi_label):
    outputs = len(names) * (2 if multi_label else 1)
    config = DenseNetConfig(
        size=64, channels=1, outputs=outputs, kind="densenet121", mean=0.48, std=0.23
    )
    model = DenseNetClassifier(config, names, multi_label)
    begun = model.network.state_dict()["classifier.weight"].clone()
    origin = start_from(model, converted)
    header = load_weights(converted)[1]
    assert origin == {"size": 224, **{each: header[each] for each in ("weights", "url", "sha256")}}

    mask = torch.zeros(2, 1, 64, 64)
    mask[..., :40] = 1
    scene = scenes(64)
    grey = torch.where(mask > 0, (2 * scene - 1) * 1024, 0)
    observation = Observation.of(scene, mask)
    with torch.no_grad():
        features = torch.relu(reference.features(grey)).mean((2, 3))
        theirs = reference.classifier(features)
        ours = model.eval().logits(observation)
    assert torch.allclose(model.features(observation), features, rtol=1e-3, atol=1e-3)
    if names == ("a", "b"):  # it has no such answers, which begin as they were
        assert torch.equal(model.network.state_dict()["classifier.weight"], begun)
    elif multi_label:
        assert torch.allclose(ours[:, :3].diff(dim=-1)[..., 0], theirs[:, [10, 9, 14]], atol=1e-3)
        assert torch.equal(model.network.state_dict()["classifier.weight"][6:], begun[6:])
    else:
        present = names.index("pneumonia")
        assert torch.allclose(ours[:, present] - ours[:, 1 - present], theirs[:, 8], atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "small", "stem": 2}, "has kind densenet121, the model to train small"),
        ({"channels": 3}, "has channels 1, the model to train 3"),
    ],
)
def test_other_networks_do_not_start_from_it(converted, changes, said):
    config = DenseNetConfig(
        **{"size": 32, "channels": 1, "outputs": 2, "kind": "densenet121"} | changes
    )
    with pytest.raises(ValueError, match=f"init {PREFIX}{ALL} {said}"):
        start_from(DenseNetClassifier(config, PNEUMONIA), converted)


@pytest.mark.slow
def test_it_is_a_classifier_as_any_other(converted):
    check_classifier(classifier(converted), (1, 32, 32))


@pytest.mark.slow
def test_a_training_records_what_it_started_from(converted, tmp_path, monkeypatch):
    monkeypatch.setenv("BOED_CACHE", str(converted.parents[1]))
    rng = np.random.default_rng(0)
    arrays = {"label_names": np.array(["pneumonia"])}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = rng.integers(0, 256, (16, 32, 32), np.uint8)
        arrays[f"{split}_labels"] = (np.arange(16, dtype=np.uint8) % 2)[:, None]
    np.savez(tmp_path / "rays.npz", **arrays)
    recipe = Recipe(
        kind="classifier",
        data=str(tmp_path / "rays.npz"),
        architecture="densenet121",
        init=PREFIX + ALL,
    )
    train_recipe(recipe, tmp_path / "m.safetensors", changes={"steps": 1, "batch": 4})
    assert load_weights(tmp_path / "m.safetensors")[1]["init"]["weights"] == PREFIX + ALL
    assert Recipe.read(tmp_path / "m.toml").init == PREFIX + ALL
