"""Estimators of a design's expected information gain from a Pyro model."""
