"""Options of the training commands, from the fields of `TrainingConfig`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

import typer

from boed.cli.options import KINDS
from boed.training.config import TrainingConfig


def options_of(*settings: type[TrainingConfig]) -> dict[str, Any]:
    """Annotations by name of the fields that have a help text, of all the settings together."""
    return {
        each.name: _option(kind, each.name, each.metadata)
        for kind in settings
        for each in fields(kind)
        if "help" in each.metadata
    }


def _option(settings: type[TrainingConfig], name: str, metadata: Mapping[str, Any]) -> Any:
    """The annotation of an option that is None unless it is given, with its kind."""
    hint = get_type_hints(settings)[name]
    kind = KINDS["device"] if name == "device" else metadata["kind"]  # here it has to be there
    return Annotated[hint | None, typer.Option(help=metadata["help"]), kind]


def training_options(
    *settings: type[TrainingConfig],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each of `options_of(*settings)`.

    The command is a function for typer; those that were given come as its parameter `training`, a
    dictionary.
    """
    options = options_of(*(settings or (TrainingConfig,)))

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        def wrapped(**arguments: Any) -> None:
            training = {name: arguments.pop(name) for name in options}
            command(**arguments, training=given(training))

        own = inspect.signature(command, eval_str=True)
        kept = [each for each in own.parameters.values() if each.name != "training"]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in options.items()
        ]
        parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in kept] + added
        wrapped.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
        wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
        return wrapped

    return with_options


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that were typed."""
    return {name: value for name, value in options.items() if value is not None}
