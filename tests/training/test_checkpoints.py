"""A checkpoint is of one training: the same goes on, another one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from boed.foundation.files import load_weights, save_weights
from boed.training import Recipe, TrainingConfig
from boed.training.checkpoints import (
    best_path,
    claim_checkpoint,
    claim_trained,
    conclude,
    running_state,
    save_with_best,
)
from boed.training.state import Progress

STEPS = 5
TRAINING = TrainingConfig(steps=STEPS)
ASKED = Recipe(kind="completer", name="flow", data="digits")
TRAINED = ASKED.trained(TRAINING, size=32, masks="squares")
ABOUT = {"data": "digits", "sha256": "123"}


class Model(nn.Linear):
    provenance: dict

    def save(self, path, provenance):
        save_weights(path, self.state_dict(), {"kind": "flow", **provenance})


def finish(out: Path, steps: int = STEPS, best: int | None = None) -> Model:
    """A training that has come so far; with the best weights, all 7, at an earlier step."""
    progress = Progress(step=steps, history=[{"step": float(each)} for each in range(1, steps + 1)])
    if best is not None:
        progress.best = {"step": float(best), "val_loss": 0.5}
        weights = {"best.weight": torch.full((1, 1), 7.0), "best.bias": torch.full((1,), 7.0)}
        save_weights(running_state(out), weights, {})
    model = Model(1, 1)

    def header(model: Model, progress: Progress) -> dict:
        return {"steps": progress.step, "rows": len(progress.history), "mean": model.bias.item()}

    conclude(model, out, header, training=TRAINING, recipe=TRAINED, about=ABOUT, progress=progress)
    return model


def claim(out: Path, recipe: Recipe = TRAINED, about: dict | None = None) -> bool:
    return claim_trained(out, recipe, ABOUT if about is None else about, steps=STEPS)


def test_the_same_training_goes_on_until_it_is_finished(tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    assert not claim(out)
    finish(out, steps=3)  # stopped by minutes
    assert not claim(out)
    finish(out)
    assert claim(out)
    assert Recipe.read(tmp_path / "m.toml") == TRAINED


@pytest.mark.parametrize(
    ("recipe", "about", "words"),
    [
        (
            Recipe(kind="classifier", data="digits").trained(TRAINING, size=32),
            ABOUT,
            "kind is 'completer' there, now 'classifier'",
        ),
        (
            Recipe(kind="completer", name="aipo", data="digits").trained(TRAINING),
            ABOUT,
            "name is 'flow' there, now 'aipo'",
        ),
        (
            ASKED.trained(TrainingConfig(steps=6), size=32, masks="squares"),
            ABOUT,
            "training: steps is 5 there, now 6",
        ),
        (
            ASKED.trained(TrainingConfig(steps=5, seed=1), size=32, masks="squares"),
            ABOUT,
            "seed is 0 there, now 1",
        ),
        (TRAINED, {**ABOUT, "sha256": "456"}, "about: sha256 is '123' there, now '456'"),
        (
            TRAINED,
            {**ABOUT, "weights": "Flow 1"},
            "about: weights is not given there, now 'Flow 1'",
        ),
    ],
)
@pytest.mark.parametrize("steps", [3, STEPS])
def test_another_training_is_refused(
    recipe: Recipe, about: dict, words: str, steps: int, tmp_path: Path
) -> None:
    out = tmp_path / "m.safetensors"
    finish(out, steps)
    before = out.read_bytes()
    with pytest.raises(ValueError, match=f"m.safetensors holds another training: {words}; give"):
        claim(out, recipe, about)
    assert out.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"a photograph", b"\x08\0\0\0\0\0\0\0{}      "])
def test_another_file_is_not_written_over(content: bytes, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    out.write_bytes(content)
    with pytest.raises(ValueError, match="is no checkpoint of boed, which would be lost"):
        claim_checkpoint(out, {"settings": {}}, steps=1)
    assert out.read_bytes() == content


def test_another_recipe_in_the_place_of_ours_is_refused(tmp_path: Path) -> None:
    out, beside = tmp_path / "m.safetensors", tmp_path / "m.toml"
    Recipe(kind="completer", name="flow", data="digits", seed=4).write(beside)
    with pytest.raises(ValueError, match=r"m.toml, where the recipe of m.safetensors .* seed is 4"):
        claim(out)
    beside.write_text("[settings]\nof = 'another program'\n")
    with pytest.raises(ValueError, match=r"recipe .*m.toml"):
        claim(out)


def test_the_recipe_that_is_trained_stays_as_its_author_wrote_it(tmp_path: Path) -> None:
    out, beside = tmp_path / "m.safetensors", tmp_path / "m.toml"
    written = '# mine\nkind = "completer"\nname = "flow"\ndata = "digits"\narchitecture = "small"\n'
    beside.write_text(written)
    assert not claim(out)
    finish(out)
    assert beside.read_text() == written


def test_the_running_state_is_gone_when_all_steps_are_made(tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    save_weights(running_state(out), {"a": torch.zeros(1)}, {})
    finish(out, steps=3)
    assert running_state(out).exists()
    finish(out)
    assert not running_state(out).exists()


@pytest.mark.parametrize("steps", [4, STEPS])
def test_the_best_weights_lie_beside_the_last_where_they_are_others(
    steps: int, tmp_path: Path
) -> None:
    out = tmp_path / "m.safetensors"
    model = finish(out, steps, best=2)
    tensors, header = load_weights(best_path(out))
    assert float(tensors["weight"]) == float(tensors["bias"]) == 7
    assert (header["steps"], header["rows"], header["mean"]) == (2, 2, 7)
    assert (header["recipe"], header["about"]) == (TRAINED.table(), ABOUT)
    last, header = load_weights(out)
    assert torch.equal(last["weight"], model.weight)
    assert header["steps"] == header["rows"] == steps
    assert model.provenance["steps"] == steps


@pytest.mark.parametrize("best", [None, STEPS])
def test_there_is_no_best_beside_the_last_where_that_is_the_best(
    best: int | None, tmp_path: Path
) -> None:
    out = tmp_path / "m.safetensors"
    finish(out, 3, best=2)
    assert best_path(out).exists()
    finish(out, best=best)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m.safetensors", "m.toml"]


def test_what_lies_beside_the_best_goes_with_it(tmp_path: Path) -> None:
    class Pair(nn.Linear):
        provenance: dict

        @staticmethod
        def files(path):
            return path, path.with_suffix(".other")

        def save(self, path, provenance):
            for each in self.files(path):
                save_weights(each, {"weight": self.weight}, provenance)

    out = tmp_path / "m.safetensors"
    for each in Pair.files(best_path(out)):
        each.touch()
    save_with_best(Pair(1, 1), out, lambda *_: {}, progress=Progress())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m.other", "m.safetensors"]


def test_the_best_of_another_training_is_not_written_over(tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    finish(out, best=2)
    out.unlink()
    recipe_of_another = ASKED.trained(TrainingConfig(steps=6), size=32, masks="squares")
    (tmp_path / "m.toml").unlink()
    with pytest.raises(ValueError, match=r"m\.best\.safetensors holds another training"):
        claim(out, recipe_of_another)
    assert not claim(out)
