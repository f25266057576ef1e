"""What it means: beliefs p(v | observation) from partly seen scenes."""

from classifiers.classifier import Classifier, DenseNetClassifier
from classifiers.densenet import DenseNetConfig
from classifiers.screen import ScreenConfig, ScreenNet

__all__ = ["Classifier", "DenseNetClassifier", "DenseNetConfig", "ScreenConfig", "ScreenNet"]
