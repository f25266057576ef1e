"""What a command says names its own options, as they are typed, and none that it does not have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boed.cli.console import as_typed
from tests.cli.test_options import BOED, COMMANDS

ROOT = Path(__file__).parents[2] / "boed"
OPTION = re.compile(r"--[a-z][a-z-]*")
ARGUMENT = re.compile(r"`(\w+)(?:='?[^'`]*'?)?`")


def options(path: tuple[str, ...]) -> set[str]:
    return {option for each in COMMANDS[path].params for option in each.opts}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data for which nothing is shipped, of some kinds."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 255, (12, 16, 16), dtype=np.uint8)
    splits = ("train", "val", "test")

    def write(name: str, classes: int, some: tuple[str, ...] = splits, **more: Any) -> None:
        arrays = {f"{split}_images": images for split in some}
        arrays |= {f"{split}_labels": np.arange(12) % classes for split in some}
        np.savez(name, **arrays, **more)

    write("whole.npz", 3)
    write("named.npz", 3, label_names=np.array(["a", "b", "c"]))
    write("findings.npz", 2, label_names=np.array(["ill"]))
    write("tests.npz", 2, ("test",))
    Image.fromarray(images[0]).save("one.png")
    Path("plates/a").mkdir(parents=True)
    for number in range(6):
        Image.fromarray(images[number, : 16 - number % 2]).save(f"plates/a/{number}.png")


ASKED = [
    "benchmark --data {}",
    "benchmark --data {} --classifier gaussian",
    "benchmark --data {} --library digits --classifier gaussian",
    "benchmark --data {} --completer aipo --classifier gaussian",
    "benchmark --data {} --classifier densenet-digits-32",
    "benchmark --data {} --classifier gaussian --policies fixed --search screen",
    "scan one.png --data {}",
    "scan one.png --data {} --classifier gaussian --completer flow",
    "scan one.png --data {} --classifier gaussian --library digits",
    "scan one.png --data {} --classifier densenet-digits-32",
    "sheet --data {} --completer vaeac",
    "sheet --data {} --completer aipo-digits-32",
    "evaluate completer aipo retrieval --data {} --scenes 8",
    "evaluate completer aipo --data {} --scenes 8 --classifier densenet-digits-32",
    "evaluate classifier densenet-digits-32 --data {} --split test --scenes 8",
    "evaluate classifier gaussian --data {} --split test --scenes 8",
    "train screen --data {}",
    "train recipe screen-digits-32 --set data={} --set size=16",
]
DATA = ["whole.npz", "named.npz", "findings.npz", "tests.npz", "plates"]


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("asked", ASKED)
def test_advice_is_of_options_that_the_command_has(
    asked: str, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = asked.format(data).split()
    with pytest.raises(SystemExit) as end:
        BOED.main(words, prog_name="boed")
    said = capsys.readouterr().err
    assert end.value.code == 2, said
    path = next(tuple(words[:n]) for n in (1, 2) if tuple(words[:n]) in COMMANDS)
    assert not ARGUMENT.search(said), said
    assert "returned" not in said
    others = re.findall(r"`(boed [^`]*)`", said)
    assert set(OPTION.findall(re.sub(r"`[^`]*`", "", said))) <= options(path), said
    for other in others:
        typed = other.split()[1:]
        its = next(tuple(typed[:n]) for n in (1, 2) if tuple(typed[:n]) in COMMANDS)
        assert set(OPTION.findall(other)) <= options(its), said
        if "--data" in typed:
            assert typed[typed.index("--data") + 1] in (data, "digits"), said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("scan one.png --data digits --policy foo", "--policy is 'foo'"),
        ("scan one.png --data digits --policy foo:Bar", "--policy is 'foo:Bar'"),
        ("scan one.png --data digits --steps 0", "--steps is 0"),
        ("scan one.png --data digits --search foo", "--search is 'foo'"),
        ("benchmark --policies foo", "--policies is 'foo'"),
        (
            "benchmark --data whole.npz --classifier gaussian --completer aipo-digits-32",
            "16: read them with --size 32",
        ),
        ("benchmark --data whole.npz --classifier densenet-digits-32", "read them with --size 32"),
        ("evaluate completer aipo-digits-32 --data whole.npz", "read them with --size 32"),
        ("benchmark --data foo", "--data is 'foo'"),
        ("benchmark --scenes 501", "--scenes is 501"),
        ("benchmark --data tests.npz --classifier gaussian", "\n--completer retrieval is"),
        ("evaluate completer aipo --scenes 0", "--scenes is 0"),
        (
            "evaluate classifier densenet-digits-32 --data whole.npz --scenes 8",
            "read them with --size 32",
        ),
        ("evaluate classifier densenet-digits-32 --scenes 501", "--scenes is 501; digits (val)"),
        ("evaluate classifier densenet-digits-32 --also foo", "--also: data set is 'foo'"),
        ("evaluate classifier gaussian", "classifier is 'gaussian', expected one of"),
        ("evaluate classifier densenet-digits-32 --also named.npz", "--also is named, which asks"),
        ("evaluate classifier densenet-digits-32 --also wine", "--also is 'wine', a table"),
        ("evaluate classifier densenet-digits-32 --data wine", "--data is 'wine', a table"),
        ("evaluate classifier densenet-digits-32 a=densenet-digits-32 a=b", "'b'"),
        ("evaluate classifier a=densenet-digits-32 a=densenet-digits-32", "'a' is given twice"),
        ("evaluate classifier aipo-digits-32", "is 'aipo-digits-32', which is a completer"),
        ("evaluate completer aipo --scenes 501", "--scenes is 501"),
        ("evaluate completer aipo --scenes 16 --deep 17", "--deep is 17, expected at most --sc"),
        ("evaluate completer aipo --classifier gaussian", "--classifier is 'gaussian'"),
        ("evaluate completer diffusion --classifier densenet-digits-32", "give it as completer.s"),
        (
            "benchmark --data named.npz --library whole.npz --classifier gaussian",
            "--library: whole (train) is labelled class 0, class 1, class 2; named (test) asks "
            "a, b, c, and classifier gaussian is fitted to the library's labels; if they are the "
            "same, give the file of whole the key label_names",
        ),
        (
            "benchmark --data whole.npz --library named.npz --classifier trees",
            "--library: named (train) is labelled a, b, c; whole (test) asks class 0",
        ),
        (
            "benchmark --data named.npz --library digits --classifier gaussian --policies random",
            "--library: digits (train) is labelled 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; named (test) asks",
        ),
        ("sheet --scene 500", "--scene is 500"),
        ("sheet --completer foo", "--completer is 'foo'"),
        ("train recipe densenet-digits-32 --set bathc=3", "--set is 'bathc'"),
        ("train recipe densenet-digits-32 --set batch=0", "--set batch is 0"),
        ("train recipe densenet-digits-32 --set data=foo", "--set data is 'foo'"),
        ("data fetch cifar10 --size 28", "--size is 28"),
        ("data fetch pneumoniamnist --size 30", "--size is 30; pneumoniamnist has 28"),
    ],
)
def test_an_argument_of_the_library_is_named_as_it_is_typed(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        BOED.main(words.split(), prog_name="boed")
    assert said.lstrip("\n") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "message", "typed"),
    [
        ("benchmark", "give `library`, or `size`", "give --library, or --size"),
        ("benchmark", "take `search='a b'`", "take --search 'a b'"),
        ("benchmark", "`unheard` of", "`unheard` of"),
        ("scan", "policies: a", "--policy: a"),
        ("scan", "take `policies='boed'`", "take --policy boed"),
        ("evaluate completer", "completer is 'a'", "completer is 'a'"),
        ("evaluate completer", "give it as `completer='a'`", "give it as a"),
        ("train recipe", "steps is 0; give `lr='1'`", "--set steps is 0; give --set lr=1"),
        ("report", "run is 'a'; figures is 'b'", "run is 'a'; figures is 'b'"),
    ],
)
def test_names_become_options_in_one_place(path: str, message: str, typed: str) -> None:
    assert as_typed(message, COMMANDS[tuple(path.split())].options) == typed


def texts(tree: ast.AST) -> Iterator[str]:
    """The texts in a module that are no documentation."""
    documentation = {
        id(each.value)
        for each in ast.walk(tree)
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
    }
    for each in ast.walk(tree):
        if isinstance(each, ast.JoinedStr):
            yield "".join(
                part.value if isinstance(part, ast.Constant) else "X" for part in each.values
            )
        elif isinstance(each, ast.Constant) and id(each) not in documentation:
            yield str(each.value)


def test_the_library_advises_by_arguments_that_some_command_has() -> None:
    known = {name for command in COMMANDS.values() for name in command.options}
    known |= {"X", "noise"}  # a name that is filled in, and an attribute of sensors
    for file in sorted(ROOT.rglob("*.py")):
        if file.is_relative_to(ROOT / "cli"):
            continue
        for text in texts(ast.parse(file.read_text(encoding="utf-8"))):
            assert set(ARGUMENT.findall(text)) <= known, (file, text)
