"""How options are typed: NAME,option=value,... with values as TOML has them."""

from __future__ import annotations

import tomllib
from typing import Any


def split_options(text: str) -> list[str]:
    """At commas outside brackets.

    >>> split_options("patch,grid=9,start=[0, 4]")
    ['patch', 'grid=9', 'start=[0, 4]']
    """
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def toml_value(text: str) -> Any:
    """What a TOML value says, or the text itself.

    >>> toml_value("0.5"), toml_value("rows")
    (0.5, 'rows')
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
