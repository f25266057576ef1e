"""The training kit: what is trained in which order, for how long, and what becomes of it."""

from __future__ import annotations

import re
import shutil
import signal
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from boed.classifiers.ensemble import load_classifier
from boed.cli import app
from boed.completion.registry import LEARNED
from boed.data.load import is_here, load
from boed.data.training_split import training_splits
from boed.foundation import shipped
from boed.foundation.files import load_weights, save_weights
from boed.training import Recipe, updates
from boed.training.checkpoints import running_state
from boed.training.recipes import KINDS
from boed.zoo import train_recipe
from boed.zoo.cards import card_facts
from boed.zoo.kit import (
    Speed,
    install,
    join_parts,
    judge,
    merit,
    pack,
    plan,
    train_all,
    trainable,
    val_figures,
    write_parts,
)
from boed.zoo.kit.timing import measured
from boed.zoo.recipes import changed

DATA = "kermany_pneumonia_128"
FEW = {"steps": 3, "batch": 4, "warmup": 1, "every": 2}
SMALL = {"encoder": "1x1", "decoder": "1x1", "width": 8, "stem": 8}
NETWORK = {"stem": 2, "width": 8, "growth": [8], "layers": [1]}
RECIPES: dict[str, dict[str, Any]] = {
    "completion/aipo-tiny": {
        "kind": "completer", "name": "aipo", "architecture": SMALL, "init": "first.toml",
    },
    "classifiers/screen-tiny": {"kind": "screen", "classifier": "densenet-tiny"},
    "classifiers/densenet-tiny": {"kind": "classifier", "architecture": NETWORK},
}  # fmt: skip
CARD = """+++
name = "{name}"
weights_sha256 = "0"
bytes = 1
parameters = 1
+++

# A model

1 parameters; 1 kB.

## Trained on what

Split train, 1 images: `{zeros}`.

## How

By hand.

## Scores

None.

## Licence

None.
"""


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo of three models for images of 8 pixels, with recipes and cards but no weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOED_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(shipped, "zoo_folder", lambda: tmp_path / "zoo")
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {"label_names": np.array(["left", "right"])}
    for split, number in (("train", 40), ("val", 20), ("test", 20)):
        labels = np.arange(number) % 2
        images = generator.integers(0, 50, (number, 8, 8)).astype(np.uint8)
        images[labels == 0, :, :4] += 150
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
        arrays[f"{split}_patients"] = np.array([f"{split} {k}" for k in range(number)])
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / f"{DATA}.npz", **arrays)
    for path, own in RECIPES.items():
        folder = tmp_path / "zoo" / path
        folder.mkdir(parents=True)
        asked = Recipe.of({"data": DATA, "size": 8, "training": FEW, **own})
        asked.write(folder / "recipe.toml")
        (folder / "card.md").write_text(CARD.format(name=folder.name, zeros="0" * 64))
    start = {k: v for k, v in RECIPES["completion/aipo-tiny"].items() if k != "init"}
    first = Recipe.of({"data": DATA, "size": 8, "training": FEW, **start})
    first.write(tmp_path / "zoo/completion/aipo-tiny/first.toml")
    return tmp_path / "zoo"


def ship(name: str) -> Path:
    """Train a model of the zoo for a step and let that be what is shipped."""
    folder = trainable()[name]
    scratch = Path("scratch", name, "weights.safetensors")
    train_recipe(folder, scratch, changes={"steps": 1})
    return scratch.replace(folder / scratch.name)


def boed(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_what_is_shipped_is_trained_in_order_of_need() -> None:
    names = [each.name for each in plan((), Path("trained"))]
    assert names[:3] == ["flow-kermany-64", "aipo-digits-32", "flow-cifar10-32"]
    assert set(shipped.shipped_names()) <= set(names)
    assert names.index("densenet-digits-32") < names.index("screen-digits-32")
    assert [each.name for each in plan(["screen-digits-32"], Path())] == ["screen-digits-32"]


def test_recipes_that_need_a_later_one_wait_for_it(zoo: Path) -> None:
    flow = {"kind": "completer", "name": "flow", "data": DATA, "size": 8, "training": FEW}
    for name, own in (("a", {"name": "flow-distilled", "init": "z"}), ("z", {})):
        (zoo / "completion" / name).mkdir()
        Recipe.of({**flow, **own}).write(zoo / "completion" / name / "recipe.toml")
    names = [each.name for each in plan((), Path())]
    assert names == [
        "aipo-tiny/init", "aipo-tiny", "z", "a", "densenet-tiny", "screen-tiny"
    ]  # fmt: skip
    recipe = Recipe.read(zoo / "completion" / "z" / "recipe.toml").table()
    Recipe.of({**recipe, "init": "a"}).write(zoo / "completion" / "z" / "recipe.toml")
    with pytest.raises(ValueError, match="recipes of a, z"):
        plan(["a", "z"], Path())


@pytest.mark.parametrize(
    ("kind", "figures", "expected"),
    [
        ("vae", {"step": 1, "loss": 9, "val_bits_per_dim": 3, "val_rate_bits_per_dim": 1}, 3),
        ("aipo", {"val_rate_bits_per_dim": 1, "val_bits_per_dim": 3}, 3),
        ("aipo-r", {"val_loss": 1, "val_seen_nats_per_dim": 3}, 3),
        ("ce", {"val_loss": 1, "val_mse_hidden": 3}, 3),
        ("pic", {"val_loss": 1, "val_discriminator_loss": 2, "val_l1_hidden": 3}, 3),
        ("flow", {"val_loss": 3}, 3),
        ("flow-distilled", {"val_energy_score": 3}, 3),
        ("flow-distilled", {"val_loss": 3}, 3),
        ("classifier", {"val_nll": 3, "val_shifted_nll": 2}, 2),
        ("screen", {"val_kl_unchanged": 0.5, "val_kl": 0.1}, 0.1),
        ("policy", {"val_spce": 5.0, "val_spce_se": 0.1}, -5.0),
        ("value", {"val_nll": 0.5, "val_nll@1": 0.9, "val_gained": 0.1}, 0.5),
    ],
)
def test_the_one_figure_that_models_are_judged_by(kind: str, figures: Any, expected: float) -> None:
    asked: dict[str, Any] = {"kind": "completer", "name": kind, "data": "digits"}
    if kind in KINDS:
        asked = {"kind": kind, "data": "digits"}
    if kind == "value":
        asked = {"kind": "policy", "name": kind, "data": "digits"}
    if kind == "policy":
        asked = {"kind": kind, "name": "fixed", "problem": "location-finding"}
    assert merit(Recipe.of(asked), figures) == expected


@pytest.mark.parametrize("name", LEARNED)
def test_every_completer_is_judged_by_the_merit_of_its_class(name: str) -> None:
    recipe = Recipe(kind="completer", name=name, data="digits")
    assert merit(recipe, {"val_other": 1.0, LEARNED[name].merit: 3.0}) == 3.0


@pytest.mark.slow
def test_interrupted_and_gone_on_with_to_the_same_weights_and_installed(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("aipo-tiny", "densenet-tiny", "screen-tiny"):
        ship(name)
    packed = pack(tmp_path / "packed", images=30)
    assert (packed.size, packed.train, packed.val) == (8, (30, 40), (20, 20))
    monkeypatch.setenv("BOED_DATA", str(tmp_path / "packed"))
    before = {path: path.read_bytes() for path in zoo.rglob("*") if path.is_file()}
    train_all(out="whole")
    real, calls = updates._schedule, 0

    def in_the_eighth_step(step: int, training: Any) -> float:
        nonlocal calls
        calls += 1
        if calls == 8:
            signal.raise_signal(signal.SIGINT)
        return real(step, training)

    with monkeypatch.context() as patched:
        patched.setattr(updates, "_schedule", in_the_eighth_step)
        cut = boed("train", "all", "--out", "cut")
    assert cut.exit_code == 130
    state = running_state(Path("cut/densenet-tiny/weights.safetensors"))
    assert load_weights(state)[1]["progress"]["step"] == 2
    again = boed("train", "all", "--out", "cut", "--parts", "parts")
    assert again.exit_code == 0, again.output
    for name in ("aipo-tiny", "densenet-tiny", "screen-tiny"):
        one, other = (
            load_weights(Path(f, name, "weights.safetensors"))[0] for f in ("whole", "cut")
        )
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert before == {path: path.read_bytes() for path in zoo.rglob("*") if path.is_file()}
    done = boed("train", "install", "--out", "joined", "--parts", "parts")
    assert done.exit_code == 0, done.output
    installed = [line[11:] for line in done.output.splitlines() if line.startswith("installed: ")]
    assert "aipo-tiny" in installed
    for name in installed:
        agrees(trainable()[name], Path("cut", name, "weights.safetensors"))


def agrees(folder: Path, out: Path) -> None:
    """Weights, header, recipe and card of an installed model say the same."""
    header = load_weights(folder / "weights.safetensors")[1]
    assert (folder / "weights.safetensors").read_bytes() == out.read_bytes()
    recipe = Recipe.read(folder / "recipe.toml")
    assert recipe == Recipe.of(header["recipe"])
    assert header["steps"] == recipe.training["steps"]
    card = (folder / "card.md").read_text()
    facts = tomllib.loads(card.split("+++")[1])
    assert facts == {"name": folder.name, **card_facts(folder)}
    assert f"{header['data']['images']} images: `{header['data']['sha256']}`" in card
    assert "3 steps, batch 4, seed 0" in " ".join(card.split())
    assert "## Scores\n\nChosen on val: " in card
    assert card.endswith("\nNone.\n\n## Licence\n\nNone.\n")


def test_only_what_has_ended_and_is_better_is_chosen(zoo: Path) -> None:
    members = train_all(["aipo-tiny"], out="out")
    path = zoo / "completion/aipo-tiny/weights.safetensors"
    shutil.copy(members[-1].out, path)
    verdict = judge(members[-1], Path("out"))
    assert (verdict.why, verdict.new) == ("not better", verdict.shipped)
    assert (verdict.steps, verdict.of, verdict.images) == (3, 3, 12)
    assert verdict.rate > 0
    tensors, header = load_weights(path)
    save_weights(path, {k: v + 0.5 for k, v in tensors.items()}, header)
    verdict = judge(members[-1], Path("out"))
    assert verdict.why == "better", verdict
    state = running_state(members[-1].out)
    state.write_bytes(b"")
    assert judge(members[-1], Path("out")).why == "better"  # left by a process killed at its end
    whole = members[-1].out.read_bytes()
    tensors, header = load_weights(members[-1].out)
    save_weights(members[-1].out, tensors, {**header, "steps": 1})
    assert judge(members[-1], Path("out")).why == "not ended"
    members[-1].out.write_bytes(whole)
    state.unlink()
    path.unlink()
    verdict = judge(members[-1], Path("out"))
    assert (verdict.shipped, verdict.chosen) == (None, True)
    assert judge(members[0], Path("out")).why == "a stage of the model"
    assert judge(plan(["densenet-tiny"], Path("out"))[0], Path("out")).why == "not begun"


@pytest.mark.slow
def test_what_is_learnt_from_a_new_model_and_judged_without_its_teacher(zoo: Path) -> None:
    shape = {"stem": 2, "widths": [8], "blocks": 1, "steps": 1}
    table = {"kind": "completer", "data": DATA, "size": 8, "architecture": shape, "training": FEW}
    for name, own in (("a", {"name": "flow-distilled", "init": "z"}), ("z", {"name": "flow"})):
        (zoo / "completion" / name).mkdir()
        Recipe.of({**table, **own}).write(zoo / "completion" / name / "recipe.toml")
    flow, distilled = train_all(["a", "z"], out="out", changes={"seed": 2})
    header = distilled.header()
    assert header is not None
    assert (header["init"]["steps"], header["recipe"]["init"]) == (3, "z")
    figures = val_figures(distilled.asked(), distilled.out)
    assert list(figures) == ["val_energy_score"]
    assert 0 < merit(distilled.asked(), figures) < 1
    assert list(val_figures(flow.asked(), flow.out)) == ["val_loss"]


def test_a_classifier_and_its_screen_go_together(zoo: Path) -> None:
    for name in ("densenet-tiny", "screen-tiny"):
        path = ship(name)
    shipped_one = trainable()["densenet-tiny"] / "weights.safetensors"
    tensors, header = load_weights(shipped_one)
    good = shipped_one.read_bytes()
    last = [name for name in tensors if name.startswith("network.") and tensors[name].ndim == 2][-1]
    save_weights(shipped_one, {**tensors, last: tensors[last] + 50 * torch.randn(2, 1)}, header)
    members = train_all(["densenet-tiny"], out="out")
    verdict = judge(members[0], Path("out"))
    assert (verdict.chosen, verdict.why) == (False, "better, but train screen-tiny for it")
    members = train_all(["densenet-tiny", "screen-tiny"], out="out")
    verdicts = [judge(each, Path("out")) for each in members]
    assert [(each.chosen, each.why) for each in verdicts] == [
        (True, "better"), (True, "goes with the new densenet-tiny")
    ]  # fmt: skip
    shipped_one.write_bytes(good)
    Path("out/densenet-tiny/weights.safetensors").unlink()
    verdict = judge(members[1], Path("out"))
    assert (verdict.chosen, verdict.why) == (
        False, "of another densenet-tiny than the one to be used"
    )  # fmt: skip
    assert install(members[1:], [verdict]) == []
    assert path.exists()


def test_minutes_set_the_steps_and_end_the_schedule(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def measure(recipe: Path, changes: Any, models: Any) -> Speed:
        asked.append(changes)
        return Speed(start=0.1, step=14.0, validation=0.1)

    monkeypatch.setattr("boed.zoo.kit.running.measured", measure)
    members = train_all(["aipo-tiny"], out="out", minutes=10, changes={"batch": 6, "seed": 3})
    assert [each.name for each in members] == ["aipo-tiny/init", "aipo-tiny"]
    assert asked == [{"batch": 6, "seed": 3, "device": "cpu"}] * 2
    for member in members:  # five minutes each
        recipe = member.asked()
        assert recipe.training == {**FEW, "batch": 6, "steps": 19, "every": 2, "warmup": 1}
        assert recipe.seed == 3
        assert member.ended
    assert members[1].header()["init"]["steps"] == 19
    train_all(["aipo-tiny"], out="out", minutes=5)  # nothing is left to do
    assert len(asked) == 2


@pytest.fixture
def ensemble(zoo: Path) -> Path:
    """Folder of an ensemble of two, with a recipe and nothing else."""
    folder = zoo / "classifiers" / "ensemble-tiny"
    folder.mkdir()
    own = {"kind": "classifier", "architecture": NETWORK, "members": 2}
    Recipe.of({"data": DATA, "size": 8, "training": FEW, **own}).write(folder / "recipe.toml")
    return folder


@pytest.mark.parametrize("minutes", [None, 10])
def test_members_of_an_ensemble_are_trained_alike_and_put_together(
    ensemble: Path, monkeypatch: pytest.MonkeyPatch, minutes: float | None
) -> None:
    """Without a card, which is then none the worse; parts have all of it."""
    monkeypatch.setattr("boed.zoo.kit.running.measured", lambda *_: Speed(
        start=1.0, step=30.0, validation=1.0))  # fmt: skip
    trained: list[str] = []
    members = train_all(["ensemble-tiny"], out="out", minutes=minutes, on_member=trained.append)
    names = ["ensemble-tiny/member-0", "ensemble-tiny/member-1", "ensemble-tiny"]
    assert [each.name for each in members] == names
    assert [each.ended for each in members] == [True] * 3
    assert list(dict.fromkeys(trained)) == names
    steps = [int((each.header() or {})["steps"]) for each in members]
    assert steps[2] == steps[0] + steps[1] == 2 * steps[0]
    seeds = [each.asked().seed for each in members]
    assert seeds == [0, 1, 0]
    verdicts = [judge(each, Path("out")) for each in members]
    assert [(each.steps, each.of) for each in verdicts] == [(steps[0],) * 2] * 2 + [(steps[2],) * 2]
    assert [each.chosen for each in verdicts] == [False, False, True]
    parts = write_parts(members, "out", "parts")
    assert len(parts) == 1
    joined = join_parts("parts", "elsewhere")
    assert sum(path.name.endswith(".curve.csv") for path in joined) == 2
    assert {path.name for path in joined if path.suffix == ".safetensors"} == {
        "weights.safetensors", "weights.member-0.safetensors", "weights.member-1.safetensors"
    }  # fmt: skip
    assert install(members, verdicts) == ["ensemble-tiny"]
    assert Recipe.read(ensemble / "recipe.toml").members == 2
    assert load_classifier(ensemble / "weights.safetensors").label_names == ("left", "right")


def test_an_ensemble_that_has_no_time_left_is_gone_on_with(ensemble: Path) -> None:
    """By the command itself as well, which is not an interruption."""
    out = Path("mine.safetensors")
    asked = ("recipe", ensemble / "recipe.toml", "--out", out, "--set")
    result = boed("train", *asked, "minutes=1e-9")
    assert result.exit_code == 0, result.output
    assert "2 of 2 members are not finished; the same command goes on" in result.output
    assert not out.exists()
    assert boed("train", *asked, "minutes=0").exit_code == 0
    assert load_weights(out)[1]["steps"] == 2 * FEW["steps"]


def test_a_state_left_at_the_very_end_is_nothing_to_go_on_from(zoo: Path) -> None:
    (member,) = train_all(["densenet-tiny"], out="out")
    state = running_state(member.out)
    shutil.copy(member.out, state)
    assert member.ended
    train_recipe(member.recipe, member.out)
    assert not state.exists()


def test_a_state_that_is_gone_is_told(zoo: Path) -> None:
    folder, out = trainable()["densenet-tiny"], Path("mine.safetensors")
    train_recipe(folder, out, changes={"minutes": 1e-9})
    running_state(out).unlink()
    with pytest.warns(UserWarning, match=r"mine.*had not ended, whose running state is gone"):
        train_recipe(folder, out)


@pytest.mark.parametrize(
    ("architecture", "told"),
    [
        (
            {"couplings": 2},
            r"architecture has no encoder, decoder; expected all of an arch",
        ),
        ({**SMALL, "width": -8}, r"^boed: architecture: width"),
        ({**SMALL, "widht": 8}, r"^boed: architecture is 'widht'"),
    ],
)
def test_an_architecture_is_told_as_it_stands_in_the_file(
    zoo: Path, architecture: dict[str, Any], told: str
) -> None:
    """No option was typed, and none is named."""
    asked = {"data": DATA, "size": 8, "training": FEW, "kind": "completer", "name": "aipo"}
    Recipe.of({**asked, "architecture": architecture}).write(Path("mine.toml"))
    result = boed("train", "recipe", "mine.toml")
    assert result.exit_code == 2
    assert re.search(told, result.output), result.output
    assert "--set" not in result.output


@pytest.mark.parametrize("name", ["densenet-tiny", "aipo-tiny"])
def test_a_training_that_diverged_is_no_success(zoo: Path, name: str) -> None:
    out = Path("mine.safetensors")
    changes = {"lr": 1e30, "clip": 1e30, "patience": 50}
    read = Recipe.read(trainable()[name] / "recipe.toml")
    recipe = changed(replace(read, init=None), changes)
    with pytest.raises(ValueError, match=r"training diverged: .* after [23] steps, .*smaller lr"):
        train_recipe(recipe, out)
    assert not out.exists()


def test_a_speed_is_measured_and_nothing_of_it_stays(
    zoo: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("boed.zoo.kit.timing._SECONDS", 0.0)
    recipe = plan(["densenet-tiny"], Path("tried"))[0].source
    with caplog.at_level("INFO", "boed.training"):
        measured(recipe, {}, {})
        assert not caplog.messages
        train_recipe(recipe, "a.safetensors")
        assert caplog.messages
    members = train_all(["aipo-tiny"], out="out", minutes=0.02)
    assert sorted(path.name for path in Path("out").iterdir()) == ["aipo-tiny"]
    assert members[0].asked().training["steps"] >= 10


def test_a_pack_is_cut_to_what_fits_and_read_in_place_of_the_data(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = training_splits(DATA, 8)
    written = pack("packed", megabytes=2000 / 2**20)
    assert written.path.stat().st_size <= 2000
    assert 0 < written.train[0] < written.train[1] == 40
    monkeypatch.setenv("BOED_DATA", "packed")
    train, val = training_splits(DATA, 8)
    assert (len(train), len(val)) == (written.train[0], written.val[0])
    assert train.label_names == whole[0].label_names
    images = {image.numpy().tobytes() for image in whole[0].images}
    assert all(image.numpy().tobytes() in images for image in train.images)
    with pytest.raises(ValueError, match="is there already"):
        pack("packed")


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("kind", ["file", "folder", "digits", "breast", "pneumoniamnist"])
def test_what_is_not_read_from_the_folder_is_not_packed(
    zoo: Path, tmp_path: Path, kind: str, masks: bool
) -> None:
    """Least of all without its masks, or beside the file that it is a copy of."""
    data = {"file": str(tmp_path / "records.npz"), "folder": str(tmp_path / "records")}
    arrays = dict(np.load(tmp_path / "data" / f"{DATA}.npz"))
    if masks:
        arrays |= {f"{split}_masks": arrays[f"{split}_images"] > 99 for split in ("train", "val")}
    np.savez(data["file"], **arrays)
    Path(data["folder"]).mkdir()
    asked = {"kind": "completer", "name": "flow", "training": FEW, "data": data.get(kind, kind)}
    (zoo / "completion" / "mine").mkdir()
    recipe = Recipe.of({**asked, "learns_from": "observations"} if masks else asked)
    recipe.write(zoo / "completion" / "mine" / "recipe.toml")
    with pytest.raises(ValueError, match=r"only: mine learn from .*expected .*mnist_28.*masks"):
        pack("packed", ["mine"])
    assert not list(tmp_path.rglob("*.npz.npz"))
    assert not Path("packed").exists()


def test_a_file_of_images_stands_in_place_of_an_archive(zoo: Path, tmp_path: Path) -> None:
    there = tmp_path / "data" / f"{DATA}.npz"
    there.rename(there.with_name("cifar10_jpeg_32.npz"))
    assert is_here("cifar10_jpeg_32")
    assert not is_here(DATA)
    data = load("cifar10_jpeg_32", 8, "val")
    assert (data.name, len(data), data.label_names) == ("cifar10_jpeg_32", 20, ("left", "right"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("all", "--only", "aipo-tyni"), "--only is 'aipo-tyni': did you mean 'aipo-tiny'?"),
        (("all", "--minutes", "0"), "--minutes is 0.0, expected more than 0"),
        (("all", "--minutes", "1", "--set", "steps=3"), "set: steps follow from minutes"),
        (("all", "--set", "stesp=3"), "set is 'stesp': did you mean 'steps'?"),
        (("all", "--device", "tpu"), "--device is 'tpu', expected cpu or cuda"),
        (("install",), "--out: trained holds no trained models"),
        (("install", "--parts", "data"), "--parts: data holds no parts"),
        (("pack", "packed", "--only", "nothing"), "--only is 'nothing'"),
        (("pack", "packed", "--images", "0"), "--images is 0, expected at least 1"),
        (("pack", "packed", "--megabytes", "1e-6"), "--megabytes is 1e-06, expected room"),
        (("pack", "data"), "is there already; choose another folder"),
    ],
)
def test_what_is_refused(zoo: Path, arguments: tuple[str, ...], words: str) -> None:
    result = boed("train", *arguments)
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.output.split())
    assert not Path("trained").exists()


def test_missing_data_is_said_before_any_work(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOED_DATA", "nowhere")
    with pytest.raises(ValueError, match=rf"only: the data of .*tiny.* is not here \({DATA}\)"):
        train_all(out="out")
    assert not Path("out").exists()


def test_another_value_than_it_was_begun_with(zoo: Path) -> None:
    train_all(["densenet-tiny"], out="out", changes={"batch": 6})
    with pytest.raises(ValueError, match=r"densenet-tiny was begun in .*training: batch is 6"):
        train_all(["densenet-tiny"], out="out", changes={"batch": 8})
