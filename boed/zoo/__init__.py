"""Trained models by name, and the recipes that train them."""

from boed.foundation.shipped import shipped, shipped_names
from boed.zoo.defaults import DEFAULT_COMPLETER, DEFAULT_SIZE, FAMILY, primary_for
from boed.zoo.features import refresh_features
from boed.zoo.fitted import FITTED, Context, GaussianClassifier, Missing
from boed.zoo.models import (
    classifier_for,
    completer_for,
    named_classifiers,
    named_completers,
    screen_for,
)
from boed.zoo.policies import policies_for, search_for
from boed.zoo.recipes import recipe_named, train_recipe
from boed.zoo.trainings import TimeOver

__all__ = [
    "DEFAULT_COMPLETER",
    "DEFAULT_SIZE",
    "FAMILY",
    "FITTED",
    "Context",
    "GaussianClassifier",
    "Missing",
    "TimeOver",
    "classifier_for",
    "completer_for",
    "named_classifiers",
    "named_completers",
    "policies_for",
    "primary_for",
    "recipe_named",
    "refresh_features",
    "screen_for",
    "search_for",
    "shipped",
    "shipped_names",
    "train_recipe",
]
