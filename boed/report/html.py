"""What the reports share: their templates, and figures as part of the page."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template
    from matplotlib.figure import Figure


def template(name: str) -> Template:
    """A template by its path in the package, or in this folder, where those that it extends lie.

    It escapes what it is given and refuses names that it is not given.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(_text)
    ).get_template(name)


def script(*names: str) -> tuple[str, str]:
    """A script of files that share their names, and its hash for the page's policy.

    No other script runs there.
    """
    text = "\n".join(['"use strict";\n{', *map(_text, names), "}"])
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return text, f"sha256-{digest}"


def _text(name: str) -> str:
    """A file of this folder, or of another one of the package."""
    there = [resources.files(each).joinpath(name) for each in ("boed.report", "boed")]
    return next(each for each in there if each.is_file()).read_text(encoding="utf-8")


def rows_of(facts: list[tuple[str, Any]], versions: Any) -> list[tuple[str, str]]:
    """What was run, as rows of a table without the unknown; `versions` is a mapping or nothing."""
    if isinstance(versions, dict):
        facts = [*facts, ("versions", ", ".join(f"{k} {v}" for k, v in versions.items()))]
    return [(name, str(value)) for name, value in facts if value not in (None, "")]


def shares(prevalence: Any) -> str | None:
    """Probabilities by name in words; nothing where there are none."""
    if not isinstance(prevalence, dict):
        return None
    return ", ".join(f"{name} {share:g}" for name, share in prevalence.items())


def rounded(value: Any) -> str | None:
    """To one decimal; nothing where there is no number."""
    return None if value is None or not math.isfinite(float(value)) else f"{float(value):.1f}"


DPI = 140
"""Of pictures, and of what figures are laid out by."""


def svg(figure: Figure) -> str:
    """A figure as a data URI of SVG: sharp at any size."""
    return _embedded(figure, "svg", "image/svg+xml")


def png(figure: Figure) -> str:
    """A figure as a data URI of PNG, for pictures of many pixels."""
    return _embedded(figure, "png", "image/png")


def _lay_out(figure: Figure) -> None:
    """What `savefig` draws all twice for. Of pictures without ticks, no axis is measured."""
    figure.dpi = DPI
    engine = figure.get_layout_engine()
    if engine is None:
        return
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not axis.get_label_text() and not len(axis.get_ticklocs()):
                axis.set_visible(False)
    engine.execute(figure)
    figure.set_layout_engine(None)


def _embedded(figure: Figure, kind: str, mime: str) -> str:
    import matplotlib

    _lay_out(figure)
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "boed"}):  # the same figure, the same bytes
        date = {"Date": None} if kind == "svg" else None
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=date)
    return f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode()}"
