"""torchxrayvision's weights: fetched by checksum, and the same function as the library's."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from boed.classifiers import DenseNetClassifier, DenseNetConfig, torchxrayvision_weights
from boed.classifiers.extractor import ClassifierExtractor
from boed.classifiers.torchxrayvision_classifier import TorchXRayVisionClassifier
from boed.classifiers.torchxrayvision_weights import PREFIX, SHA256, VARIABLE, fetch_weights
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
from boed.zoo.models import check_names, network_for

ALL, NIH = "densenet121-res224-all", "densenet121-res224-nih"
PNEUMONIA = ("no pneumonia", "pneumonia")
FINDINGS = ("Cardiomegaly", "Pleural_Thickening", "lung lesion", "any")


def random_network(seed=0):
    """The published architecture with random weights whose outputs are moderate."""
    torch.manual_seed(seed)
    network = torchxrayvision().models.DenseNet()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(2, 4)
        network.classifier.weight.mul_(0.05)
        network.classifier.bias.normal_(-2, 2)
    return network.eval()


def published_file(short):
    return torchxrayvision().models.model_urls[short]["weights_url"].rsplit("/", 1)[-1]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A folder with files of the published names, one pickled as the published ones are."""
    folder = tmp_path_factory.mktemp("published")
    torch.save(random_network(), folder / published_file(ALL), _use_new_zipfile_serialization=False)
    return folder


@pytest.fixture(scope="module")
def converted(files, tmp_path_factory) -> Path:
    """The file as safetensors."""
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setenv("BOED_CACHE", str(cache))
        patch.setenv(VARIABLE, f"{ALL}={digest(files / published_file(ALL))}")
        (cache / "torchxrayvision").mkdir()
        os.link(files / published_file(ALL), cache / "torchxrayvision" / published_file(ALL))
        return fetch_weights("classifier", PREFIX + ALL)


@pytest.fixture
def fresh(tmp_path, monkeypatch) -> Path:
    """An empty cache, and no file of torchxrayvision's own."""
    monkeypatch.setenv("BOED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(VARIABLE, raising=False)
    folder = tmp_path / "cache" / "torchxrayvision"
    folder.mkdir(parents=True)
    return folder


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


def test_names_are_those_of_the_library():
    urls = torchxrayvision().models.model_urls
    assert list(SHA256) == [each for each in urls if each.startswith("densenet121-res224-")]
    for each in SHA256:
        published = urls[each]
        assert [not name for name in published["labels"]] == np.isnan(
            published["op_threshs"]
        ).tolist()
        assert published["input_resolution"] == torchxrayvision_weights.SIZE


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
    from boed.classifiers.torchxrayvision_classifier import _at_threshold

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


@pytest.mark.parametrize("argument", ["classifier", "network", "judge"])
def test_names_are_checked_before_any_work(fresh, argument):
    said = "classifier" if argument == "network" else argument
    with pytest.raises(ValueError, match=f"^{said} is .*: did you mean '{PREFIX}{ALL}'"):
        check_names(**{argument: f"{PREFIX}densenet121-res224-al"})
    with pytest.raises(
        ValueError, match=f"^{said} is .*by its SHA-256 only.* {VARIABLE}={NIH}=HEX"
    ):
        check_names(**{argument: PREFIX + NIH})
    check_names(**{argument: PREFIX + ALL})
    assert not list(fresh.iterdir())


@pytest.mark.parametrize("argument", ["completers", "search"])
def test_it_is_no_name_of_other_models(fresh, argument):
    named = [PREFIX + ALL] if argument == "completers" else PREFIX + ALL
    with pytest.raises(ValueError, match="expected one of"):
        check_names(**{argument: named})


@pytest.mark.parametrize(
    "given", ["abc", f"{ALL}=abc", f"{ALL}={'g' * 64}", f"other={'0' * 64}", f"{ALL}:{'0' * 64}"]
)
def test_checksums_of_another_form_are_refused(fresh, monkeypatch, given):
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(ValueError, match=f"{VARIABLE} has .*expected NAME=HEX with 64"):
        check_names(classifier=PREFIX + ALL)


@pytest.mark.parametrize("place", ["cache", "theirs"])
def test_a_file_of_another_checksum_is_not_read(fresh, files, monkeypatch, place):
    def never(*_, **__):
        raise AssertionError("it was read")

    monkeypatch.setattr(torchxrayvision_weights, "_unpickled", never)
    theirs = Path(torchxrayvision().utils.get_cache_dir())
    theirs.mkdir(parents=True)
    path = (fresh if place == "cache" else theirs) / published_file(ALL)
    os.link(files / published_file(ALL), path)
    with pytest.raises(
        ValueError, match=f"{path} has SHA-256 {digest(path)}, expected {SHA256[ALL]}"
    ):
        fetch_weights("classifier", PREFIX + ALL)


def test_a_malicious_file_of_the_given_checksum_runs_nothing(fresh, tmp_path, monkeypatch):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    network = random_network()
    network.note = Evil()
    path = fresh / published_file(NIH)
    torch.save(network, path, _use_new_zipfile_serialization=False)
    monkeypatch.setenv(VARIABLE, f"{NIH}={digest(path)}")
    with pytest.raises(ValueError, match=r"nothing of it was run: it names posix.system"):
        fetch_weights("classifier", PREFIX + NIH)
    assert not (tmp_path / "ran").exists()
    assert [each.name for each in fresh.iterdir()] == [path.name]


def test_another_network_is_refused(fresh, monkeypatch):
    path = fresh / published_file(NIH)
    torch.save(torchxrayvision().models.DenseNet(num_classes=3, block_config=(1, 1, 1, 1)), path)
    monkeypatch.setenv(VARIABLE, f"{NIH}={digest(path)}")
    with pytest.raises(ValueError, match=r"is another network: classifier.bias is \(3,\)"):
        fetch_weights("classifier", PREFIX + NIH)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(files, monkeypatch) -> Iterator[str]:
    """The files by http, in place of the published address."""
    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(files)))
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{running.server_port}/{published_file(ALL)}"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    table = torchxrayvision().models.model_urls
    monkeypatch.setitem(table, ALL, {**table[ALL], "weights_url": url})
    yield url
    running.shutdown()
    running.server_close()


def test_it_is_downloaded_and_converted_once(fresh, files, converted, server, monkeypatch):
    given = digest(files / published_file(ALL))
    monkeypatch.setenv(VARIABLE, f"{ALL}={given}, {NIH}={'0' * 64}")
    path = fetch_weights("classifier", PREFIX + ALL)
    tensors, header = load_weights(path)
    assert (header["url"], header["sha256"]) == (server, given)
    before = load_weights(converted)[0]
    assert tensors.keys() == before.keys()
    assert all(torch.equal(each, before[name]) for name, each in tensors.items())

    (fresh / published_file(ALL)).unlink()
    monkeypatch.setattr(torchxrayvision_weights, "download", None)
    assert fetch_weights("classifier", PREFIX + ALL) == path  # it is not fetched again


def test_what_a_server_sends_has_to_be_the_file(fresh, server):
    with pytest.raises(ValueError, match=f"{server}: SHA256 is .*, expected {SHA256[ALL]}"):
        fetch_weights("classifier", PREFIX + ALL)
    assert not list(fresh.glob("*.safetensors"))


def test_a_checksum_is_asked_for_once(fresh, converted, monkeypatch):
    os.link(converted, fresh / f"{NIH}.safetensors")
    check_names(classifier=PREFIX + NIH)
    assert fetch_weights("classifier", PREFIX + NIH) == fresh / f"{NIH}.safetensors"
    monkeypatch.setenv(VARIABLE, f"{NIH}={'0' * 64}")  # of another file than was converted
    monkeypatch.setattr(torchxrayvision_weights, "download", lambda url, *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fetch_weights("classifier", PREFIX + NIH)


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
