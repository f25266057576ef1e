"""`boed evaluate policy` from what is typed to the files of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from boed.benchmark.shifted import RESULTS
from boed.foundation import netcdf
from tests.cli.test_evaluate_classifier import typed

RUN = (
    "evaluate policy --policies random,centre_out,in_order --scenes 6 --steps 2 --grid 3 "
    "--shifts noise,blur --strengths 1,3 --out run"
)


@pytest.mark.slow
def test_what_is_typed_is_run_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert typed(RUN) == 0
    said = capsys.readouterr().out
    assert "digits (test): 6 scenes, 2 looks, 5 conditions, random, centre_out, in_order" in said
    assert "blur 3: 36 of 36 looks" in said
    assert "random against the strongest fixed scan, accuracy after 2 looks: certainly" in said
    assert "report: run/report.html" in said
    found = netcdf.load("run/results.nc", RESULTS)
    assert list(found["condition"].values) == ["clean", "noise 1", "noise 3", "blur 1", "blur 3"]
    assert found.attrs["command"].startswith("boed ")
    page = Path("run/report.html").read_text()
    Path("run/report.html").unlink()
    assert typed("report run --figures drawn") == 0
    assert Path("run/report.html").read_text() == page
    assert Path("drawn/differences.png").exists()
    assert typed("report run/parts/noise-3") == 0
    assert Path("run/parts/noise-3/report.html").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("--shifts blurr", "--shifts is 'blurr': did you mean 'blur'?"),
        ("--strengths 0", "one of --strengths is 0, expected at least 1"),
        ("--policies random", "--policies is random, expected a baseline or a fixed scan"),
        ("--scenes 10000", "--scenes is 10000; digits (test) has"),
        ("--baseline oracle", "--baseline is 'oracle', expected one of random, centre_out"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    change: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert typed(f"{RUN} {change}") == 2
    assert words in capsys.readouterr().err
    assert not Path("run").exists()
