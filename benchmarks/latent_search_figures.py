"""The pictures of docs/latent_search.md that a trained GAN draws, of test digits."""

from __future__ import annotations

from collections.abc import Callable

from inpainting import grid, picture, worst_figure
from latent_search_study import CURVE, FITTED, MASKS, SEARCHES, Study, others
from matplotlib.figure import Figure

from boed.completion import Completer, complete
from boed.completion.registry import load_completer
from boed.data.observation import Observation
from boed.foundation.shipped import shipped


def methods_figure(study: Study) -> Figure:
    """A digit under each mask by each method: Fig. 1, 4 to 7."""
    columns = ["seen", "truth", *SEARCHES, "overlay", "ce", *FITTED, "nearest", "mirror"]
    figure, axes = grid(len(MASKS), len(columns), size=0.75, extra=0.15)
    for row, (mask, masks) in enumerate(MASKS.items()):
        truth = study.truth(1, start=row)
        seen, seeds = study.observed(truth, masks), study.seeds(masks, 1)
        pictures = {"seen": picture(truth[0], seen.mask[0]), "truth": picture(truth[0])}
        for way, changes in SEARCHES.items():
            pictures[way] = picture(study.changed(**changes).sample(seen, 1, seeds)[0, 0])
        overlaid = study.changed(blend="overlay").sample(seen, 1, seeds)
        pictures["overlay"] = picture(overlaid[0, 0])
        for name, make in others(study, mask).items():
            pictures[name] = picture(complete(make(), seen, 1, seed=seeds).scenes[0, 0])
        for column, name in enumerate(columns):
            if name in pictures:
                axes[row, column].imshow(pictures[name])
            if row == 0:
                axes[row, column].set_title(name, fontsize=6)
    return figure


def search_figure(study: Study) -> Figure:
    """What a search has come to after more and more iterations, not blended: Fig. 3."""
    steps = [each for each in CURVE if each <= study.most]
    figure, axes = grid(4, len(steps) + 2, size=0.8, extra=0.1)
    truth = study.truth(4, start=8)
    masks = MASKS["centre"]
    seen = study.observed(truth, masks)
    for row in range(4):
        axes[row, 0].imshow(picture(truth[row], seen.mask[row]))
        axes[row, -1].imshow(picture(truth[row]))
    for column, iterations in enumerate(steps, start=1):
        ended = study.changed(iterations=iterations).search(seen, 1, study.seeds(masks, 4))
        for row in range(4):
            axes[row, column].imshow(picture(ended.made[0, row]))
        axes[0, column].set_title(f"{iterations}", fontsize=7)
    return figure


def samples_figure(study: Study) -> Figure:
    """Scenes of which nothing was seen, by the VAE of AIPO and by the GAN: Fig. 2."""
    shown = 12
    blank = Observation.nothing(1, study.test.channels, study.test.size)
    models = {"VAE": load_completer(shipped("aipo-digits-32")), "GAN": study.model}
    figure, axes = grid(len(models), shown, size=0.7)
    for row, (name, model) in enumerate(models.items()):
        for column, scene in enumerate(model.sample(blank, shown, study.seed)[:, 0]):
            axes[row, column].imshow(picture(scene))
        axes[row, 0].set_title(name, fontsize=7, loc="left")
    return figure


def errors_figure(study: Study) -> Figure:
    """Twice the absolute errors of the search and the Context Encoder: Fig. 12."""
    shown, mask = 6, "centre"
    truth = study.truth(shown, start=12)
    seen, seeds = study.observed(truth, MASKS[mask]), study.seeds(MASKS[mask], shown)
    completers: dict[str, Completer] = {"gan-latent": study.model}
    completers |= {name: make() for name, make in others(study, mask).items() if name == "ce"}
    figure, axes = grid(2 * len(completers) + 2, shown, size=0.75)
    rows = [("seen", [picture(*each) for each in zip(truth, seen.mask, strict=True)])]
    rows.append(("truth", [picture(each) for each in truth]))
    for name, completer in completers.items():
        scenes = completer.sample(seen, 1, seeds)[0]
        rows.append((name, [picture(each) for each in scenes]))
        rows.append(("error x 2", [picture(2 * each) for each in (scenes - truth).abs()]))
    for row, (name, pictures) in enumerate(rows):
        for column, each in enumerate(pictures):
            axes[row, column].imshow(each)
        axes[row, 0].set_title(name, fontsize=7, loc="left")
    return figure


def failures_figure(study: Study) -> Figure:
    """Of 48 completions those that miss most: seen, G(z), the completion, the truth: Fig. 13."""
    truth = study.truth(48, start=20)
    seen, seeds = study.observed(truth, MASKS["centre"]), study.seeds(MASKS["centre"], 48)
    ended = study.model.search(seen, 1, seeds).made[0]
    scenes = study.model.sample(seen, 1, seeds)[0]
    worst = (scenes - truth).square().sum((1, 2, 3)).argsort(descending=True)[:10].tolist()
    return worst_figure(worst, seen, truth, made=(ended, scenes))


FIGURES: dict[str, Callable[[Study], Figure]] = {
    "methods": methods_figure,
    "search": search_figure,
    "samples": samples_figure,
    "errors": errors_figure,
    "failures": failures_figure,
}
"""By the names of their files."""
