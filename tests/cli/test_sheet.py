"""`boed sheet`: completions of one scene, and what is refused before any work."""

import pytest
from typer.testing import CliRunner

from boed.cli import app
from boed.zoo import context


def sheet(*arguments: object):
    return CliRunner().invoke(app, ["sheet", *map(str, arguments)])


@pytest.mark.parametrize("scene", [0, -1])
def test_sheet(tmp_path, scene):
    out = tmp_path / "sheet.png"
    assert sheet("--scene", scene, "--out", out).exit_code == 0
    assert out.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scene", "-2"], ["scene is -2"]),
        (["--patch", "0"], ["patch is 0"]),
        (["--patch", "2"], ["patch is 2"]),
        (["--patch", "nan"], ["patch is nan"]),
        (["--out", "s.foo"], ["out is 's.foo'", ".png"]),
        (["--out", "sheet"], ["out is 'sheet'", ".png"]),
        (["--out", "folder.png"], ["out is 'folder.png'", "a folder"]),
    ],
)
def test_bad_options_are_refused_before_any_work(options, words, tmp_path, monkeypatch):
    (tmp_path / "folder.png").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(context, "load", pytest.fail)
    result = sheet(*options)
    assert result.exit_code == 2, result.output
    for word in words:
        assert word in result.output
    assert [each.name for each in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "iris"], ["iris", "a table"]),
        (["--scene", "500"], ["scene is 500", "to 499"]),
        (["--scene", "-1", "--completer", "retrieval"], ["scene is -1", "Retrieval"]),
    ],
)
def test_what_does_not_fit_the_data_is_refused(options, words, tmp_path):
    result = sheet(*options, "--out", tmp_path / "sheet.png")
    assert result.exit_code == 2, result.output
    for word in words:
        assert word in result.output
    assert not (tmp_path / "sheet.png").exists()


def test_tables_are_not_evaluated_by_completers(tmp_path):
    arguments = ["evaluate", "completer", "retrieval", "--data", "iris", "--out", tmp_path / "run"]
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == 2, result.output
    assert "a table" in result.output
    assert not (tmp_path / "run").exists()
