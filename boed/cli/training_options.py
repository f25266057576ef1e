"""Options of the training commands, from the fields of `TrainingConfig`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

import typer

from boed.cli.options import KINDS
from boed.training.config import TrainingConfig


def _option(name: str, metadata: Mapping[str, Any]) -> Any:
    """The annotation of an option that is None unless it is given, with its kind."""
    hint = get_type_hints(TrainingConfig)[name]
    kind = KINDS["device"] if name == "device" else metadata["kind"]  # here it has to be there
    return Annotated[hint | None, typer.Option(help=metadata["help"]), kind]


OPTIONS: dict[str, Any] = {
    each.name: _option(each.name, each.metadata)
    for each in fields(TrainingConfig)
    if "help" in each.metadata
}
"""Annotations by name of the fields that have a help text."""


def training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each of `OPTIONS`.

    Args:
        command: a function for typer; those that were given come as its parameter `training`, a
            dictionary.
    """

    def wrapped(**arguments: Any) -> None:
        training = {name: arguments.pop(name) for name in OPTIONS}
        command(**arguments, training=given(training))

    own = inspect.signature(command, eval_str=True)
    kept = [each for each in own.parameters.values() if each.name != "training"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in OPTIONS.items()
    ]
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in kept] + added
    wrapped.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    return wrapped


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that were typed."""
    return {name: value for name, value in options.items() if value is not None}
