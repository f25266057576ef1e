"""Policies that have learned where to look: one pass of a network in place of completions."""

from boed.policies.learned.looks import CandidateLooks
from boed.policies.learned.network import ValueConfig, ValueNet
from boed.policies.learned.training import train_value
from boed.policies.learned.value import Value

__all__ = ["CandidateLooks", "Value", "ValueConfig", "ValueNet", "train_value"]
