"""What README and docs tell people to type works: Python, commands, links."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main
from typer.testing import CliRunner

from boed.cli import app

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TAUGHT = [README, ROOT / "docs" / "quickstart.md", ROOT / "docs" / "bring_your_own.md"]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *(path for top in ("completion", "classifiers", "policies", "data", "benchmarks")
      for path in sorted((ROOT / top).glob("**/*.md"))),
]  # fmt: skip
PAGES = [path for path in PAGES if "generated" not in path.parts]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
OWN_FILE = re.compile(r"# (\w+\.(?:py|toml))\n")


def blocks(path: Path, *languages: str) -> list[str]:
    """The code of a page in these languages."""
    return [code for language, code in FENCE.findall(path.read_text()) if language in languages]


def small(code: str) -> str:
    """The same code on fewer scenes."""
    return re.sub(r"(scenes[= ])\d+", r"\g<1>2", code)


def written(path: Path, folder: Path) -> None:
    """Write the blocks that begin with the name of a file to that file."""
    for code in blocks(path, "python", "toml"):
        if name := OWN_FILE.match(code):
            (folder / name[1]).write_text(small(code))


def commands(path: Path) -> list[str]:
    """The command lines of a page that call `boed`, in code blocks and between backticks."""
    text = path.read_text()
    lines = [line for code in blocks(path, "sh") for line in re.split(r"\n|&&", code)]
    lines += re.findall(r"`(boed [^`]+)`", FENCE.sub("", text))
    joined = (" ".join(line.split()) for line in lines)
    return [line for line in joined if line.startswith("boed ") and not re.search(r" [|-] ", line)]


def complaint(line: str) -> str | None:
    """What the command line is refused for before anything is run; None if it is not."""
    command: Any = typer.main.get_command(app)
    words, parent = shlex.split(line, comments=True)[1:], None
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        parent = command.context_class(command, info_name="boed", parent=parent)
        if words[0] not in command.commands:
            return f"there is no command {words[0]}"
        command = command.commands[words.pop(0)]
    if not words:
        return None  # the command is only named
    if hasattr(command, "commands"):
        options = {option for each in command.params for option in each.opts}
        return None if options.issuperset(words) else f"no options {words}"
    try:
        command.make_context(command.name, words, parent=parent)
    except Exception as error:
        return getattr(error, "format_message", lambda: repr(error))()
    return None


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_readme_is_short() -> None:
    assert len(README.read_text().split()) <= 1300


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, first looks from few completions; modules of the folder go again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(importlib.import_module("boed.zoo.policies"), "FIRST_COMPLETIONS", 20)
    modules = set(sys.modules)
    yield tmp_path
    for name in {each.stem for each in tmp_path.glob("*.py")} - modules:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("path", TAUGHT, ids=named)
def test_python_runs(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boed.report.write_report", lambda *_, **__: None)  # the slow test draws it
    run_python(path, folder)


def run_python(path: Path, folder: Path) -> None:
    """Run all Python of a page, from top to bottom."""
    written(path, folder)
    torch.manual_seed(0)
    namespace: dict[str, Any] = {"__name__": "page"}
    for number, code in enumerate(blocks(path, "python")):
        exec(compile(small(code), f"{path.name}, block {number}", "exec"), namespace)


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_commands_parse(path: Path) -> None:
    for line in commands(path):
        assert complaint(line) is None, f"{line}: {complaint(line)}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("boed bench", "no command bench"),
        ("boed train ghost", "no command ghost"),
        ("boed benchmark --scene 3", "--scene"),
        ("boed benchmark --scenes many", "--scenes"),
        ("boed data fetch --size 64", "Missing argument"),
        ("boed --versions", "no options"),
    ],
)
def test_wrong_commands_do_not_parse(line: str, message: str) -> None:
    assert message in (complaint(line) or "")


@pytest.mark.slow
@pytest.mark.parametrize("path", TAUGHT, ids=named)
def test_commands_run(path: Path, folder: Path) -> None:
    run_python(path, folder)  # the commands use its files
    lines = [
        line
        for code in blocks(path, "sh")
        for line in code.splitlines()
        if line.startswith("boed benchmark") and "--scenes 256" not in line
        if "kermany" not in line and line != "boed benchmark"
    ]
    assert lines
    for line in lines:
        result = CliRunner().invoke(app, shlex.split(small(line), comments=True)[1:])
        assert result.exit_code == 0, f"{line}\n{result.output}"


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    text = FENCE.sub("", path.read_text())
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        where, _, anchor = link.partition("#")
        if where.startswith("reference/"):
            continue  # made when the site is built
        target = path.parent / where if where else path
        assert target.exists(), f"{named(path)}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{named(path)}: {link}"


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
