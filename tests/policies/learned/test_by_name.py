"""Trained networks as policies by name or path, and what is said where none fits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from boed import BOED, PatchSensor, setup
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.cli import app
from boed.policies.learned import NETWORKS, ONE_PASS, CandidateLooks, Value, ValueConfig
from boed.policies.learned.network import classifier_name
from boed.search import Exhaustive, Proposing, Racing
from boed.training import Recipe, ValueTrainingConfig
from boed.zoo.recipes import changed
from tests.doubles import ClueClassifier, ClueCompleter, Clues, Constant

CLUES = Clues()
GRID = PatchSensor(16, 0.25, 4)
OWN: dict[str, Any] = {"sensor": GRID, "classifier": ClueClassifier()}
ENCODER = DenseNetConfig(size=16, channels=1, outputs=3, stem=4, width=8, growth=(8,), layers=(1,))


def saved(name: str, folder: Path) -> str:
    """The checkpoint of an untrained network of a policy."""
    torch.manual_seed(0)
    looks = CandidateLooks.of(GRID, (1, 16, 16)).name
    judge = classifier_name(ClueClassifier())
    config = ValueConfig(encoder=ENCODER, width=8, answers=(3,))
    NETWORKS[name](config, looks=looks, classifier=judge).save(folder / "mine.safetensors", {})
    return str(folder / "mine.safetensors")


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    return saved("value", tmp_path)


def made(policies: list[str], **options: Any) -> Any:
    return setup(CLUES.dataset(8), policies=policies, **{**OWN, **options})


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_play_in_the_environment(name: str, tmp_path: Path) -> None:
    """Alone as in a vector of environments, for what the classifier then says."""
    environments = pytest.importorskip("boed.environments")
    policy = ONE_PASS[name](NETWORKS[name].load(saved(name, tmp_path)), ClueClassifier())
    given = {"looks": 3, "classifier": ClueClassifier()}
    alone = environments.SensingEnv(CLUES.dataset(4), GRID, **given)
    one = environments.play(environments.ClassifierPredicts(alone), policy, seed=5)
    vector = environments.VectorSensingEnv(2, CLUES.dataset(4), GRID, **given)
    both = environments.play(environments.VectorClassifierPredicts(vector), policy, seed=5)
    assert len(one) == 3
    assert torch.as_tensor(both).shape == (3, 2)
    assert torch.as_tensor(one).isfinite().all()
    assert torch.as_tensor(both).isfinite().all()


def test_a_network_is_a_policy_by_its_path_and_its_proposals_are_another(checkpoint: str) -> None:
    completer = ClueCompleter(CLUES)
    asked = [checkpoint, f"other={checkpoint}", f"boed_value={checkpoint}", "random"]
    run = made(asked, completer=completer, completions=3)
    assert list(run.policies) == ["mine", "other", "boed_value", "random"]
    assert run.options["policies"] == asked  # so that run.toml runs it again
    assert isinstance(run.policies["mine"], Value)
    proposing = run.policies["boed_value"]
    assert isinstance(proposing, BOED)
    assert isinstance(proposing.search, Proposing)
    assert isinstance(proposing.search.then, Racing)
    assert isinstance(proposing.search.proposer, Value)
    assert proposing.n == 3
    exhaustive = made(asked[2:], completer=completer, search=Exhaustive()).policies["boed_value"]
    assert exhaustive.search.then is None


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_the_policy_that_its_header_says(name: str, tmp_path: Path) -> None:
    path = saved(name, tmp_path)
    policies = made([path, f"{name}={path}", "random"]).policies
    assert type(policies["mine"]) is type(policies[name]) is ONE_PASS[name]
    other = next(each for each in NETWORKS if each != name)
    with pytest.raises(
        ValueError, match=f"{other}=.*: that is a {name} policy, expected a {other}"
    ):
        made([f"{other}={path}"])
    if name != "value":
        with pytest.raises(ValueError, match=f"boed_value=.*a {name} policy, expected a value"):
            made([f"boed_value={path}"], completer=ClueCompleter(CLUES))
    with pytest.raises(ValueError, match=f"no {name} policy is shipped.*train policy {name}"):
        made([name])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"sensor": PatchSensor(16, 0.25, 5)},
            "for PatchSensor, 16 .*not for .* 25 looks",
        ),
        ({"classifier": Constant([-1.0986] * 3)}, "for the classifier ClueCl.*not for Constant"),
    ],
    ids=["grid", "classifier"],
)
@pytest.mark.parametrize("name", ["", "boed_value="])
def test_what_it_was_not_trained_for_is_refused_before_any_work(
    name: str, options: Any, words: str, checkpoint: str
) -> None:
    with pytest.raises(ValueError, match=words):
        made([name + checkpoint, "boed"], completer=ClueCompleter(CLUES), **options)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("valu", "policies is 'valu': did you mean 'value'"),
        ("gone.safetensors", "policies is 'gone.safetensors', a file that does not exist"),
        ("boed_value=gone.safetensors", "policies is 'gone.safetensors', a file that does not"),
        ("value", "no value policy is shipped for PatchSensor, 16 looks.*boed train policy value"),
        ("deep-adaptive-location-finding-10", "holds .*, expected 'value policy'"),
        ("densenet-digits-32", "expected one of boed"),
    ],
)
def test_what_is_no_network_is_refused(asked: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made([asked, "boed"], completer=ClueCompleter(CLUES))


@pytest.mark.parametrize("name", ["boed", "random", "boed_entropy"])
def test_a_network_does_not_go_by_the_name_of_another_policy(name: str, checkpoint: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} is a policy of its own, .* one of value, gree"):
        made([f"{name}={checkpoint}", "centre_out"], completer=ClueCompleter(CLUES))


def test_the_same_name_twice_is_refused(checkpoint: str) -> None:
    with pytest.raises(ValueError, match="mine stands there twice"):
        made([checkpoint, f"mine={checkpoint}"])


def test_a_recipe_says_what_a_policy_is_for() -> None:
    recipe = Recipe(kind="policy", name="value", data="digits", sensor={"name": "lines"})
    how = changed(recipe, {"looks": 7, "target": "map", "completer": "aipo", "size": 28})
    assert (how.completer, how.size) == ("aipo", 28)
    training = how.config(ValueTrainingConfig(steps=1))
    assert (training.looks, training.target) == (7, "map")
    assert Recipe.of(how.table()) == how
    for wrong in ({"data": None}, {"name": None}, {"problem": "location-finding"}):
        with pytest.raises(ValueError, match=r"data|name"):
            Recipe(**{"kind": "policy", "name": "value", "data": "digits", **wrong})
    with pytest.raises(ValueError, match=r"set is 'lokos': did you mean 'looks'"):
        changed(recipe, {"lokos": 7})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("nonsense",), "is 'nonsense', expected one of value, greedy, nonmyopic"),
        (("greedy", "--candidates", "4"), "--candidates is for the policy value or nonmyopic, exp"),
        (("value", "--temperature", "2"), "--temperature is for the policy greedy, expected none"),
        (
            ("value", "--price", "2"),
            "--price is for the policy nonmyopic or dad or .*, expec",
        ),
        (("--target", "labels"), "--target is 'labels': did you mean 'label'"),
        (("--candidates", "0"), "--candidates is .*expected at least 1"),
        (("--sensor", "patches"), "sensor is 'patches': did you mean 'patch'"),
        (("--classifier", "gone.safetensors"), "--classifier is .*a file that does not exist"),
        (("--init", "gone.safetensors"), "--init is .*a file that does not exist"),
        (("--init", "ensemble-kermany-64"), "is a classifier, expected"),
        (("dad", "--init", "aipo-digits-32"), "is a completer, expected"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(
    options: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "value.safetensors")
    said = CliRunner().invoke(app, ["train", "policy", *options, "--out", out])
    assert said.exit_code == 2
    assert re.search(words, " ".join(said.output.split())), said.output
    assert not list(tmp_path.iterdir())
