"""What the headers of the shipped classifiers say of their training data."""

from __future__ import annotations

from boed.classifiers.ensemble import load_classifier
from boed.classifiers.evaluation.out_of_distribution import KEY, feature_record
from boed.classifiers.trained import PRIOR
from boed.classifiers.training import answer_frequencies
from boed.data.looking import Squares
from boed.data.training_split import training_splits
from boed.foundation.files import load_weights, save_weights
from boed.foundation.shipped import shipped, shipped_names
from boed.training.recipes import Recipe, recipe_path
from boed.zoo.cards import refresh_cards
from boed.zoo.job import looks_of


def refresh_features() -> None:
    """Write `feature_record` and the frequencies of answers into all shipped classifiers' headers.

    And their cards anew.

    `boed train classifier` writes it too; this is for weights that were trained before. The
    tensors stay as they are. `$BOED_DATA` has to hold what they were trained on.

    Raises:
        ValueError: a data set is missing, or is not the one that a classifier was trained on.
    """
    for name in shipped_names("classifiers"):
        tensors, header = load_weights(shipped(name))
        if header["kind"] == "screen":
            continue
        model = load_classifier(shipped(name))
        train, val = training_splits(header["data"]["name"], model.config.size)
        if train.sha256 != header["data"]["sha256"]:
            raise ValueError(f"{name}: {train.name} is not the data that it was trained on")
        recipe = Recipe.read(recipe_path(shipped(name)))
        looking = looks_of(recipe, train) or Squares(recipe.patch or 0.25)
        record = feature_record(model, train, val, looking=looking)
        prior = header.get(PRIOR, answer_frequencies(train).tolist())
        save_weights(shipped(name), tensors, {**header, KEY: record, PRIOR: prior})
    refresh_cards()
