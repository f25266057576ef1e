"""A survey of a data set's scenes, completed by a completer with a likelihood."""

from __future__ import annotations

from pathlib import Path

import torch

from boed.benchmark.sweep import scene_rows
from boed.completion.log_probability import check_has_likelihood, meaning
from boed.data.masks import check_masks, named
from boed.data.observation import Observation
from boed.foundation.checks import at_least
from boed.foundation.randomness import derive
from boed.report.survey.page import check_new, write_survey
from boed.report.survey.pairs import likelihood_pairs
from boed.zoo.context import context_for
from boed.zoo.models import completer_for
from boed.zoo.names import check_names


def make_survey(
    completer: str,
    out: Path,
    *,
    data: str | Path = "digits",
    size: int | None = None,
    split: str = "test",
    masks: str = "blobs",
    scenes: int = 100,
    completions: int = 8,
    pairs: int = 15,
    seed: int = 0,
) -> str:
    """Draw completions of scenes and write the page that asks about the most and least likely.

    Args:
        completer: name or checkpoint of one with a likelihood.
        out: page to write.
        data, size, split: of the scenes.
        masks: what is seen of them, a name of `boed.data.masks.MASKS`.
        scenes: a fixed random choice, from which the pairs are taken.
        completions: of each.
        pairs: how many are asked about.
        seed: of masks and completions.

    Returns:
        The survey's name.

    Raises:
        ValueError: more scenes than there are, more pairs than scenes, unknown names, a completer
            without a likelihood, or a file that is there.
    """
    named(masks)
    at_least(2, completions=completions)
    at_least(1, scenes=scenes, pairs=pairs)
    if pairs > scenes:
        raise ValueError(f"pairs is {pairs}, expected at most `scenes`, {scenes}")
    check_new(out)
    check_names(completers=[completer])
    check_has_likelihood(completer)
    context = context_for(data, size=size, split=split)
    test = context.data
    if scenes > len(test):
        raise ValueError(f"scenes is {scenes}; {test.name} ({test.split}) has {len(test)}")
    check_masks(masks, test.size)
    model = completer_for(context, completer)
    meaning(model)
    rows = torch.from_numpy(scene_rows(len(test), scenes))
    generator = torch.Generator().manual_seed(derive(seed, "survey", "masks"))
    seen = Observation.of(test.scenes(rows), named(masks)(scenes, test.size, generator=generator))
    found = likelihood_pairs(seen, model, n=completions, pairs=pairs, seed=seed)
    return write_survey(found, out, about=test.name)
