"""A folder knows whose results it holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from boed.foundation.identity import (
    RECORD,
    check_claim,
    claim,
    claim_picture,
    identity,
    read_record,
)

OURS = {"identity": {"sensor": "Rows 1", "policies": {"a": "Random 2"}}, "settings": {"steps": 3}}


def with_result(folder: Path) -> Path:
    """A folder claimed by `OURS` in which something was finished."""
    assert not claim(folder, "benchmark", OURS)
    (folder / "parts").mkdir()
    (folder / "parts" / "one.npz").write_bytes(b"a result")
    return folder


def test_the_same_run_goes_on(tmp_path: Path) -> None:
    assert claim(with_result(tmp_path), "benchmark", OURS)
    assert read_record(tmp_path) == {"kind": "benchmark", **OURS}


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("evaluation", OURS, "another kind, 'benchmark', not 'evaluation'"),
        (
            "benchmark",
            {**OURS, "identity": {**OURS["identity"], "sensor": "Rows 9"}},
            "identity: sensor is 'Rows 1' there, now 'Rows 9'",
        ),
        (
            "benchmark",
            {**OURS, "identity": {"sensor": "Rows 1", "policies": {}}},
            "identity: policies: a is 'Random 2' there, now not given",
        ),
        ("benchmark", {**OURS, "settings": {"steps": 4}}, "settings: steps is 3 there, now 4"),
        ("benchmark", {**OURS, "more": 1}, "more is not given there, now 1"),
    ],
)
def test_another_run_is_refused(kind: str, content: dict, message: str, tmp_path: Path) -> None:
    with_result(tmp_path)
    before = (tmp_path / RECORD).read_bytes()
    with pytest.raises(ValueError, match=message):
        claim(tmp_path, kind, content)
    assert (tmp_path / RECORD).read_bytes() == before


def test_a_run_that_ended_before_any_result_does_not_keep_its_folder(tmp_path: Path) -> None:
    claim(tmp_path, "benchmark", OURS)
    assert not claim(tmp_path, "evaluation", {"other": 1})
    assert read_record(tmp_path) == {"kind": "evaluation", "other": 1}


def with_completers(**completers: str) -> dict:
    return {"identity": {"data": "digits", "completers": completers}, "settings": {"n": 3}}


def test_an_evaluation_goes_on_with_more_completers(tmp_path: Path) -> None:
    claim(tmp_path, "evaluation", with_completers(a="A 1"), grows=("completers",))
    (tmp_path / "results.nc").write_bytes(b"a result")
    more = with_completers(a="A 1", b="B 1")
    assert claim(tmp_path, "evaluation", more, grows=("completers",))
    assert read_record(tmp_path) == {"kind": "evaluation", **more}
    for others, message in (
        (with_completers(b="B 1"), "completers: a is 'A 1' there, now not given"),
        (with_completers(a="A 2", b="B 1"), "completers: a is 'A 1' there, now 'A 2'"),
        ({**more, "settings": {"n": 4}}, "settings: n is 3 there, now 4"),
    ):
        with pytest.raises(ValueError, match=message):
            claim(tmp_path, "evaluation", others, grows=("completers",))
        assert read_record(tmp_path) == {"kind": "evaluation", **more}


def test_results_of_which_nothing_is_known_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "results.nc").write_bytes(b"a result")
    with pytest.raises(ValueError, match=r"holds 'results\.nc', but no run\.json"):
        claim(tmp_path, "benchmark", OURS)
    assert (tmp_path / "results.nc").read_bytes() == b"a result"


@pytest.mark.parametrize("name", ["notes.txt", "plates/0.png", ".git/config"])
def test_a_folder_of_something_else_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "home" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    first = name.split("/")[0]
    for claims in (claim, check_claim):
        with pytest.raises(ValueError, match=f"out: .*home holds '{first}', but no run"):
            claims(tmp_path / "home", "benchmark", OURS)
    assert [each for each in (tmp_path / "home").rglob("*") if each.is_file()] == [file]


@pytest.mark.parametrize("left", [(), (".run.json.x.json",), ("run.toml",)])
def test_an_empty_folder_is_claimed(left: tuple[str, ...], tmp_path: Path) -> None:
    for name in left:  # by a kill while the record was written, or to be run
        (tmp_path / name).write_text("{")
    assert not check_claim(tmp_path, "benchmark", OURS)
    assert not (tmp_path / RECORD).exists()
    assert not claim(tmp_path, "benchmark", OURS)
    assert claim(with_result(tmp_path / "other"), "benchmark", OURS)


@pytest.mark.parametrize("left", ["run.toml", "notes.txt", "parts/.one.npz", ".report.html.x.html"])
def test_what_was_not_finished_does_not_keep_its_folder(left: str, tmp_path: Path) -> None:
    claim(tmp_path, "benchmark", OURS)
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).write_text("")
    assert not claim(tmp_path, "benchmark", {**OURS, "settings": {"steps": 4}})
    assert (tmp_path / left).exists()


@pytest.mark.parametrize("text", ["{}", '{"kind": 3}', '{"runs": 1}'])
def test_a_record_of_something_else_is_not_written_over(text: str, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(ValueError, match=r"run\.json is damaged \(says of no kind of run"):
        claim(tmp_path, "benchmark", OURS)
    assert (tmp_path / RECORD).read_text() == text


@pytest.mark.parametrize("text", ["{", "[1]", "1", "\xff", "[" * 100_000])
def test_a_damaged_record_is_refused(text: str, tmp_path: Path) -> None:
    (with_result(tmp_path) / RECORD).write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        claim(tmp_path, "benchmark", OURS)


def test_identities_are_of_content() -> None:
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert identity(one) == identity(one)
    assert identity(one) != identity(other)
    assert identity(one).startswith("Linear ")


def test_what_cannot_be_read_is_never_the_same(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w") as file:
        assert identity(file) != identity(file)


SHEET = {"data": "digits", "scene": 3}


def drawn(path: Path, record: dict[str, str]) -> Path:
    """A picture with a record."""
    from matplotlib.figure import Figure

    Figure(figsize=(1, 1)).savefig(path, metadata=record)
    return path


def test_the_same_picture_is_drawn_again(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    drawn(path, claim_picture(path, "sheet", SHEET))
    assert claim_picture(path, "sheet", SHEET)


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("scan", SHEET, "kind is 'sheet' there, now 'scan'"),
        ("sheet", {**SHEET, "scene": 4}, "scene is 3 there, now 4"),
        ("sheet", {"data": "wine"}, "data is 'digits' there, now 'wine'"),
    ],
)
def test_another_picture_is_refused(kind: str, content: dict, message: str, tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    drawn(path, claim_picture(path, "sheet", SHEET))
    with pytest.raises(
        ValueError, match=f"sheet.png shows something else: {message}; give another"
    ):
        claim_picture(path, kind, content)


@pytest.mark.parametrize("name", ["photo.png", "photo.pdf", "photo.svg", "text.png"])
def test_a_picture_of_which_nothing_is_known_is_not_written_over(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("a text") if name == "text.png" else drawn(path, {})
    with pytest.raises(ValueError, match="exists and was not written by boed; give another"):
        claim_picture(path, "sheet", SHEET)
