"""A sheet of completions of one scene (Fig. 8 of Harvey et al. 2021)."""

from __future__ import annotations

from pathlib import Path

import torch

from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completer
from boed.data.dataset import Dataset
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.files import atomic
from boed.foundation.options import FRACTION
from boed.report.figures import completions_figure


def write_sheet(
    data: Dataset,
    completer: Completer,
    out: Path,
    *,
    scene: int = 0,
    patch: float = 0.35,
    seed: int = 0,
    record: dict[str, str] | None = None,
) -> None:
    """Draw five completions of a scene after 0 to 5 squares of it were seen.

    Args:
        data: whose scene is completed.
        completer: draws the completions.
        out: figure to write.
        scene: which; -1 completes a sample of the completer.
        patch: side of a square over the width.
        seed: of the squares and completions.
        record: what the file says of itself, as `claim_picture` returns it.

    Raises:
        ValueError: there is no such scene, or the completer has no samples of its own.
    """
    FRACTION.check("patch", patch)
    if scene == -1 and isinstance(completer, Retrieval):
        raise ValueError(
            "scene is -1, a sample of the completer; Retrieval draws images of its library and has "
            f"none: expected 0 to {len(data) - 1}, or another completer"
        )
    if scene >= len(data) or scene < -1:
        raise ValueError(
            f"scene is {scene}, expected -1 to {len(data) - 1}: {data.name} ({data.split}) has "
            f"{len(data)}"
        )
    if scene < 0:
        blank = Observation.nothing(1, data.channels, data.size)
        truth = completer.sample(blank, 1, seed)[0]
    else:
        truth = data.scenes(slice(scene, scene + 1))
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 2**31, (5,), generator=generator).tolist()
    masks = [torch.zeros(1, 1, data.size, data.size)]
    for each in corners:
        one = squares(
            1,
            data.size,
            patch,
            counts=torch.ones(1, dtype=torch.long),
            generator=torch.Generator().manual_seed(each),
        )
        masks.append(torch.maximum(masks[-1], one))
    seen = Observation.of(truth.repeat(6, 1, 1, 1), torch.cat(masks))
    samples = completer.sample(seen, 5, seed + 1)
    figure = completions_figure(
        seen.values.numpy(),
        seen.mask.numpy(),
        samples.transpose(0, 1).numpy(),
        truth=truth[0].numpy(),
    )
    with atomic(out) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight", metadata=record)
