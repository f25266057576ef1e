"""Trained models by name, and the recipes that train them."""

from boed.foundation.shipped import shipped, shipped_names
from boed.zoo.features import refresh_features
from boed.zoo.models import (
    DEFAULT_COMPLETER,
    DEFAULT_SIZE,
    FAMILY,
    FITTED,
    Context,
    GaussianClassifier,
    Missing,
    classifier_for,
    completer_for,
    named_completers,
    primary_for,
    screen_for,
)
from boed.zoo.recipes import recipe_named, train_recipe

__all__ = [
    "DEFAULT_COMPLETER",
    "DEFAULT_SIZE",
    "FAMILY",
    "FITTED",
    "Context",
    "GaussianClassifier",
    "Missing",
    "classifier_for",
    "completer_for",
    "named_completers",
    "primary_for",
    "recipe_named",
    "refresh_features",
    "screen_for",
    "shipped",
    "shipped_names",
    "train_recipe",
]
