"""What every command goes through: options checked before any work, errors as one line."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from boed.cli.console import explained, say
from boed.cli.options import kinds_of
from boed.foundation.interruption import sigterm_interrupts

PARSING: type[Exception] = typer.BadParameter.__mro__[2]
"""Of all errors that typer finds in what was typed, wherever a version of it keeps the class."""


class Command(TyperCommand):
    """A command that refuses what was typed in the project's own words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Check each value that was typed against the kind of its option, then parse."""
        typed, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        assert self.callback is not None
        kinds = kinds_of(self.callback)
        with explained():
            for parameter in self.params:
                given = typed.get(parameter.name)
                values = [given] if isinstance(given, str) else given
                if parameter.name in kinds and isinstance(values, list | tuple):
                    for value in values:
                        kinds[parameter.name].read(_shown(parameter), value)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what the library calls an argument is the option that was typed."""
        options = {each.name: _shown(each) for each in self.params}
        with explained(options), sigterm_interrupts():
            return super().invoke(ctx)


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
