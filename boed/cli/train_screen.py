"""`boed train screen`: a small network that guesses which looks a classifier need not judge."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from boed.cli.options import Data, Size, Weights
from boed.cli.recipe import default_checkpoint, trained
from boed.cli.training_options import training_options


@training_options()
def train_screen(
    data: Data = "digits",
    size: Size = None,
    classifier: Annotated[
        str | None,
        typer.Option(help="Checkpoint or shipped model to distil; the data's own if none."),
    ] = None,
    patch: Annotated[float, typer.Option(help="Width of a look over that of the scene.")] = 0.25,
    out: Weights = None,
    *,
    training: dict[str, Any],
) -> None:
    """Distil a classifier into a screen, for `--search screen`.

    The same command goes on where it was interrupted, or stopped by --minutes. A finished
    checkpoint is not trained again.
    """
    from boed.training import Recipe

    asked = Recipe(kind="screen", data=data, size=size, classifier=classifier, patch=patch)
    screen: Any = trained(asked, out or default_checkpoint("screen", data), training)
    if screen is None:
        return
    figures = screen.provenance["scores"]["val"]
    typer.echo(
        f"KL from the classifier on val: {figures['kl']:.4f} nats "
        f"({figures['kl_unchanged']:.4f} if no look changed anything)"
    )
