"""Designs that are not a list: gradient ascent, Bayesian optimisation, refining off the grid."""
