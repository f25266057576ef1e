"""What it means: beliefs p(v | observation) from partly seen scenes."""

from boed.classifiers.classifier import Classifier
from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.module import from_module
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.classifiers.screen import ScreenConfig, ScreenNet

__all__ = [
    "Classifier",
    "DenseNetClassifier",
    "DenseNetConfig",
    "ScreenConfig",
    "ScreenNet",
    "from_module",
]
