"""`boed evaluate classifier` from what is typed to the files of its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from boed.classifiers import DenseNetClassifier
from boed.classifiers.ensemble import EnsembleClassifier
from boed.classifiers.evaluation.evaluate import RESULTS
from boed.classifiers.trained import PRIOR
from boed.foundation import netcdf
from tests.classifiers.conftest import TINY
from tests.cli.test_options import BOED

CLASSES = ("no mass", "mass")
RUN = "evaluate classifier a.safetensors --data classes.npz --scenes 8 --looks 1 --out run"
GROWING = RUN.replace("--out run", "--out growing")


def tiny(seed: int) -> DenseNetClassifier:
    torch.manual_seed(seed)
    return DenseNetClassifier(TINY, CLASSES).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classifiers, their ensemble, data of two classes, of findings, in colour; and a run."""
    folder = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(0)

    def write(name: str, labels: np.ndarray, names: tuple[str, ...], *channels: int) -> None:
        images = rng.integers(0, 255, (len(labels), 8, 8, *channels), dtype=np.uint8)
        np.savez(folder / name, val_images=images, val_labels=labels, label_names=np.array(names))

    write("classes.npz", np.arange(12) % 2, CLASSES)
    write("colours.npz", np.arange(12) % 2, CLASSES, 3)
    write("findings.npz", np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 3), ("Mass", "Nodule"))
    members = [tiny(seed) for seed in (0, 1)]
    for name, model in zip("ab", members, strict=True):
        model.save(folder / f"{name}.safetensors", {})
    EnsembleClassifier(members).save(folder / "both.safetensors", {})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert typed(RUN) == 0
    return folder


@pytest.fixture(autouse=True)
def within(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def typed(words: str) -> int:
    with pytest.raises(SystemExit) as end:
        BOED.main(words.split(), prog_name="boed")
    return int(end.value.code or 0)


@pytest.mark.slow
def test_a_run_goes_on_grows_and_is_reported_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(f"{GROWING} --also findings.npz") == 0
    said = capsys.readouterr().out
    assert "a: 13 of 13 conditions" in said
    assert "report: growing/report.html" in said
    first = netcdf.load("growing/results.nc", RESULTS)
    assert first.attrs["command"].startswith("boed ")
    more = GROWING.replace("a.safetensors", "a.safetensors ens=both.safetensors")
    assert typed(f"{more} --also findings.npz") == 0
    second = netcdf.load("growing/results.nc", RESULTS)
    assert list(second["classifier"].values) == ["a", "ens"]
    assert second["log_belief"].sel(classifier="a").equals(first["log_belief"].sel(classifier="a"))
    page = Path("growing/report.html").read_text()
    assert "9 scenes of findings, 6 of them mass" in page
    Path("growing/report.html").unlink()
    assert typed("report growing --figures drawn") == 0
    assert Path("growing/report.html").read_text() == page
    assert Path("drawn/reliability.png").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("--seed 1", "seed is 0 there, now 1"),
        ("--strengths 1", "strengths is [2] there, now [1]"),
        ("--scenes 7", "data is"),
        ("--also findings.npz", "also is not given there"),
        ("--looks 2", "looks is [1] there, now [2]"),
        ("other=b.safetensors", "classifiers: a is"),
    ],
)
def test_a_folder_of_another_evaluation_is_refused(
    change: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = RUN.replace("a.safetensors", change) if "=" in change else f"{RUN} {change}"
    assert typed(command) == 2
    said = capsys.readouterr().err
    assert said.startswith("boed: --out: run holds a run with other settings"), said
    assert words in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("--scenes 13", "--scenes is 13; classes (val) has 12"),
        ("--data findings.npz", "classifier: a.safetensors answers no mass, mass; findings asks"),
        ("--also colours.npz", "--also: data is for 1 channels of 8 pixels; colours has 3"),
        ("--also nowhere.npz", "--also: data set is 'nowhere.npz'"),
        ("--size 16", "read them with --size 8"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    change: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(f"{RUN.replace('run', 'new')} {change}") == 2
    assert words in capsys.readouterr().err
    assert not Path("new").exists()


def test_all_assume_the_prevalence_that_is_given(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    for name, prior in (("even", [0.5, 0.5]), ("rare", [0.8, 0.2])):
        tiny(0).save(folder / f"{name}.safetensors", {PRIOR: prior})
    asked = RUN.replace("a.safetensors", "even.safetensors rare.safetensors")
    asked = asked.replace("--out run", "--prevalence mass=0.2 --out assumed")
    assert typed(asked) == 0
    found = netcdf.load(folder / "assumed" / "results.nc", RESULTS)
    even, rare = (found["log_belief"].sel(classifier=name) for name in ("even", "rare"))
    odds = (even - rare).diff("answer").values  # the same network: moved by the odds of 0.2 alone
    assert np.allclose(odds, np.log(0.2 / 0.8), atol=1e-5)
    assert "no mass 0.8, mass 0.2" in (folder / "assumed" / "report.html").read_text()
    assert typed(asked.replace("mass=0.2", "mass=0.3")) == 2
    assert "prevalence" in capsys.readouterr().err
    assert typed(RUN.replace("--out run", "--prevalence mass=0.2 --out other")) == 2
    assert "does not say which one it was trained for" in capsys.readouterr().err
