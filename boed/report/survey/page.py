"""The survey as one self-contained page, which stores nothing but the answers."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from boed.foundation.files import atomic
from boed.foundation.identity import DIGITS
from boed.report.html import script, template
from boed.report.survey.pairs import Pair

HIDDEN = (96, 122, 158)
"""Red, green and blue of what was not seen: no grey, so that it is no part of a grey image."""


def write_survey(pairs: Sequence[Pair], out: Path, *, about: str) -> str:
    """Write the page.

    Args:
        pairs: the questions.
        out: file to write.
        about: the scenes in a few words, shown to the visitor.

    Returns:
        The survey's name, which the answers carry.

    Raises:
        ValueError: no pairs, or the file is there: people may have been given it.
    """
    check_new(out)
    text, name = survey_page(pairs, about=about)
    with atomic(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return name


def check_new(out: Path) -> None:
    """Refuse a file that is there.

    Raises:
        ValueError: it is.
    """
    if out.exists():
        raise ValueError(
            f"out: {out} exists, and people may have been given it; give another one as `out`, or "
            "remove that file"
        )


def survey_page(pairs: Sequence[Pair], *, about: str) -> tuple[str, str]:
    """The page and the survey's name; see `write_survey`."""
    if not pairs:
        raise ValueError("pairs is empty, expected at least one")
    questions = [
        {
            "seen": _picture(_occluded(each)),
            "most": _picture(each.most),
            "least": _picture(each.least),
        }
        for each in pairs
    ]
    name = hashlib.sha256(json.dumps(questions).encode()).hexdigest()[:DIGITS]
    content = json.dumps({"survey": name, "questions": questions}).replace("<", "\\u003c")
    page = template("survey/survey.html.j2").render(
        script=script("survey/survey.js"), content=content, number=len(pairs), about=about
    )
    return page, name


def _occluded(pair: Pair) -> Tensor:
    """What was seen, in colour, with another colour over the rest."""
    veil = torch.tensor(HIDDEN).float()[:, None, None] / 255
    return pair.values.expand(3, -1, -1) * pair.mask + veil * (1 - pair.mask)


def _picture(image: Tensor) -> str:
    """An image `[C, H, W]` of one or three channels as a PNG in a data URI."""
    from PIL import Image

    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    channels_last = pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels
    Image.fromarray(np.ascontiguousarray(channels_last)).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
