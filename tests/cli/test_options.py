"""Every option of every command, and every key of a run.toml, with bad values of its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
import typer

from boed.cli import app
from boed.cli.benchmark import benchmark
from boed.cli.options import kinds_of
from boed.foundation.options import (
    Device,
    Existing,
    Kind,
    Names,
    Number,
    OneOf,
    OutFile,
    OutFolder,
    RunFolder,
    Seeds,
    SensorTable,
    Shares,
    Spelled,
    Switch,
    Text,
    Whole,
    Wholes,
)

BOED: Any = typer.main.get_command(app)
GPU = torch.cuda.is_available()
LONG = "n" * 300
AT = ("FILE/x", "/proc/x", LONG)
ENDINGS = ("png", "safetensors")


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(BOED))
PARAMETERS = [
    pytest.param(path, parameter, id=" ".join((*path, parameter.opts[0])))
    for path, command in COMMANDS.items()
    for parameter in command.params
    if parameter.name != "help"
]


def typed(kind: Kind) -> list[str]:
    """What is typed that the kind refuses. `FILE` and `FOLDER` are there."""
    bounds: list[float] = []
    if isinstance(kind, Whole | Number):
        bounds = [] if kind.minimum is None else [kind.minimum - 1]
        bounds += [] if kind.maximum is None else [kind.maximum + 1]
    endless = ["inf"] if getattr(kind, "finite", True) else []
    values: dict[type, list[str]] = {
        Seeds: ["x", "1.5", "1,2", "[1]", *map(str, bounds)],
        Whole: ["x", "1.5", "nan", "1e3", "two", *map(str, bounds)],
        Wholes: ["x", ",", "1.5", "1,x", "1,1", "1;2", *map(str, bounds)],
        Number: ["x", "nan", *endless, "-inf", "1,5", *map(str, bounds)],
        Text: [],
        OneOf: ["nonsense", "Test ", "cpu,cuda"],
        Names: [",", "a,b,a"],
        Device: ["tpu", "meta", "cuda:99", "cpu:1", "cuda:", *([] if GPU else ["cuda"])],
        Existing: ["nowhere/x.png"],
        OutFolder: ["FILE", "FILE/sub", "/proc/x", LONG],
        RunFolder: ["FILE", "FILE/sub", "/proc/x", LONG, "FOLDER", "."],
        OutFile: ["FOLDER", "x.foo", "x", *(f"{at}.{end}" for at in AT for end in ENDINGS)],
        SensorTable: [],
        Spelled: ["nonsense", "top:x", "top:0", "top:1.5", "top:1:2", "half:1", "top:", ":1"],
        Shares: [
            "x",
            "0",
            "1",
            "-0.1",
            "nan",
            "inf",
            "a=",
            "a=x",
            "a=0.2,b",
            "a=2",
            "=",
            "a=b=0.1",
        ],
        Switch: [],
    }
    return ["", "  ", *values[type(kind)]]


def refused(arguments: list[str], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names the option, and nothing done."""
    with pytest.raises(SystemExit) as end:
        BOED.main(arguments, prog_name="boed")
    said = capsys.readouterr()
    assert end.value.code == 2, (arguments, said)
    assert said.out == ""
    assert said.err.startswith("boed: "), said.err
    assert said.err.count("\n") == 1, said.err
    assert name in said.err, said.err
    assert len(list(Path().rglob("*"))) == 3


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a file and a folder, in which somebody keeps notes."""
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("here")
    Path("FOLDER").mkdir()
    Path("FOLDER", "notes.txt").write_text("mine")


@pytest.mark.parametrize(("path", "parameter"), PARAMETERS)
def test_bad_values_are_refused_before_any_work(
    path: tuple[str, ...],
    parameter: Any,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    kind = kinds_of(COMMANDS[path].callback)[parameter.name]
    option = parameter.opts[0] if parameter.opts[0].startswith("-") else None
    if isinstance(kind, Switch):
        refused([*path, f"{option}=maybe"], str(option), capsys)
        return
    record_property("error", len(typed(kind)))
    for value in typed(kind):
        given = [value] if option is None else [f"{option}={value}"]
        refused([*path, *given], option or parameter.name, capsys)


@pytest.mark.parametrize("path", [*COMMANDS, ()], ids=" ".join)
@pytest.mark.parametrize("nonsense", ["--nonsense", "--nonsense=3", "-z"])
def test_options_that_there_are_not(
    path: tuple[str, ...], nonsense: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused([*path, nonsense], nonsense.partition("=")[0], capsys)


@pytest.mark.parametrize("words", [(), ("train",), ("evaluate",), ("data",)])
def test_the_bare_name_of_a_group_shows_its_help(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        BOED.main(list(words), prog_name="boed")
    assert end.value.code == 0
    assert "Usage: boed" in capsys.readouterr().out


WRITTEN: dict[type, list[Any]] = {
    Whole: ["two", True, 4.5, [1], {"a": 1}, -7],
    Seeds: ["two", True, 4.5, [], [1, 1], [-1], ["a"], {"a": 1}, -7],
    Number: ["x", True, [0.1], {"a": 1}, float("nan"), float("inf"), -1.0],
    Text: [5, True, [], ["a"], {"a": 1}, ""],
    OneOf: [5, True, ["test"], "nonsense", ""],
    Shares: ["x", True, [0.3], 2, -0.1, float("nan"), {"a": "x"}, {"a": 2}, "a=0.2,b", ""],
    Names: [5, True, [], [1, 2], ["random", "random"], {"a": 1}, "", ["random", ""]],
    Device: [5, "tpu", ["cpu"], ""],
    SensorTable: [5, True, ["patch"], {"grid": 3}, {"name": 5}, ""],
}
"""What a file holds that the kind refuses."""

SETTINGS = {k: v for k, v in kinds_of(benchmark).items() if k not in ("settings", "out")}


@pytest.mark.parametrize("key", SETTINGS)
def test_values_of_another_type_in_a_file_of_settings(
    key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in WRITTEN[type(SETTINGS[key])]:
        Path("FILE").write_text(tomli_w.dumps({key: value}))
        refused(["benchmark", "FILE"], f"settings FILE: {key}", capsys)


@pytest.mark.parametrize("key", ["settings", "out", "stepz", "engin"])
def test_keys_that_no_file_of_settings_has(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("FILE").write_text(f'{key} = "x"')
    refused(["benchmark", "FILE"], f"no setting '{key}'", capsys)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("benchmark", "--seed", str(2**63 - 1), "--seeds", "2"), "--seeds is 2, expected at most"),
        (("benchmark", "FOLDER"), "settings is 'FOLDER/run.toml', which does not exist"),
        (("evaluate", "completer", "aipo", "--deep", "9", "--scenes", "8"), "--deep is 9"),
        (("benchmark", "--policies", "boed,radnom"), "--policies is 'radnom': did you mean"),
        (("benchmark", "--baseline", "oracel"), "--baseline is 'oracel'"),
        (("benchmark", "--search", "lucky"), "screen-kermany-64"),
        (("benchmark", "--search", "lucky"), "--search is 'lucky'"),
        (("benchmark", "--sensor", "ptach"), "--sensor is 'ptach': did you mean 'patch'"),
        (("benchmark", "--sensor", "patch,grid=5,grid=7"), "option grid stands there twice"),
        (("benchmark", "--patch", "0.2", "--sensor", "kspace"), "--patch is for the patch sensor"),
        (("benchmark", "--engine", "local", "--workers", "2"), "--workers is 2"),
        (("data", "fetch", "foo"), "cifar10"),
        (("train", "recipe", "aipo-digits-32", "--set", "device=tpu"), "device is 'tpu'"),
        (("train", "recipe", "aipo-digits-32", "--set", "lr=inf"), "lr is inf, expected a finite"),
        (("train", "completer", "aipo", "--init", "no.safetensors"), "--init is 'no.safetensors'"),
        (("train", "completer", "aipo", "--vae", "FOLDER"), "--vae is 'FOLDER'"),
        (("train", "screen", "--classifier", "nope"), "--classifier is 'nope'"),
        (("evaluate", "completer", "no.safetensors"), "'no.safetensors', a file that does not"),
        (("evaluate", "completer", "a=flwo"), "completer is 'flwo': did you mean 'flow'"),
        (("train", "classifier", "--data", "iris"), "--data is 'iris', a table"),
        (("sheet", "--data", "wine"), "--data is 'wine', a table; sheet is for images"),
        (("evaluate", "completer", "aipo", "--data", "iris"), "--data is 'iris', a table"),
        (("report", "FOLDER"), "run is 'FOLDER', which has neither run.json nor log.jsonl"),
    ],
)
def test_what_the_library_refuses_is_said_of_the_option(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(list(arguments), words, capsys)
