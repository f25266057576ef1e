"""What every command goes through: options checked before any work, errors as one line."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from boed.cli.console import explained, say
from boed.cli.options import kinds_of
from boed.foundation.interruption import sigterm_interrupts
from boed.training import Recipe, TrainingConfig

USAGE: type[Exception] = typer.BadParameter.__mro__[1]
PARSING: type[Exception] = typer.BadParameter.__mro__[2]
"""What typer raises of what was typed, wherever a version of it keeps the classes."""

RECIPE = {each.name for each in (*fields(Recipe), *fields(TrainingConfig))} - {"training"}
"""What `--set` changes."""

OTHER_NAMES = {
    "policies": "policy",
    "completer": "completers",
    "classifier": "classifiers",
    "set": "change",
}
"""Arguments of the library that some commands have under another name."""

TYPED = "boed.typed"
"""Where a context keeps what was typed, as text."""


class Command(TyperCommand):
    """A command that refuses what was typed in the project's own words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; of a value that cannot be read the kind of its option says what is expected."""
        ctx.meta[TYPED], _, _ = self.make_parser(ctx).parse_args(args=list(args))
        try:
            return super().parse_args(ctx, args)
        except PARSING:
            try:
                self.check(ctx.meta[TYPED])
            except ValueError as error:
                raise USAGE(str(error)) from None
            raise

    def invoke(self, ctx: Any) -> Any:
        """Check all that was typed, then run the command; its errors name options as typed."""
        with explained(self.options, self.unasked(ctx.meta[TYPED])), sigterm_interrupts():
            self.check(ctx.meta[TYPED])
            return super().invoke(ctx)

    @property
    def options(self) -> dict[str, str]:
        """How the library's arguments are typed for this command, by their names."""
        own = {str(each.name): _shown(each) for each in self.params}
        changes = dict.fromkeys(RECIPE, f"{own['change']} ") if "change" in own else {}
        others = {name: own[here] for name, here in OTHER_NAMES.items() if here in own}
        return {name: option + name for name, option in changes.items()} | others | own

    def unasked(self, typed: dict[str, Any]) -> frozenset[str]:
        """What `--set` could have changed and did not."""
        changes = typed.get("change") or ()
        changes = [changes] if isinstance(changes, str) else changes
        own = {str(each.name) for each in self.params}
        return frozenset(RECIPE - {str(each).partition("=")[0] for each in changes} - own)

    def check(self, typed: dict[str, Any]) -> None:
        """Refuse a value that is not of the kind of its option.

        Args:
            typed: text, or several of it, by name of the option.

        Raises:
            ValueError: naming the option, what was given, and what is expected.
        """
        assert self.callback is not None
        kinds = kinds_of(self.callback)
        for parameter in self.params:
            given = typed.get(str(parameter.name))
            values = [given] if isinstance(given, str) else given
            if isinstance(values, list | tuple):
                for value in values:
                    kinds[str(parameter.name)].read(_shown(parameter), value)


class Group(TyperGroup):
    """The group of all commands, whose errors are one line, too."""

    def main(self, *given: Any, **options: Any) -> Any:
        """See typer's; the bare name of a group shows its help."""
        if not options.get("standalone_mode", True):
            return super().main(*given, **options)
        try:
            code = super().main(*given, **{**options, "standalone_mode": False})
        except PARSING as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                typer.echo(error.ctx.get_help())  # type: ignore[attr-defined]
                raise SystemExit(0) from None
            say(" ".join(error.format_message().split()))  # type: ignore[attr-defined]
            raise SystemExit(2) from None
        except typer.Abort:
            raise SystemExit(130) from None
        raise SystemExit(code if isinstance(code, int) else 0)


def _shown(parameter: Any) -> str:
    """How a parameter is typed: `--option`, or the name of an argument."""
    first = str(parameter.opts[0])
    return first if first.startswith("-") else str(parameter.name)
