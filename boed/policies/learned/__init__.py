"""Policies that have learned where to look: one pass of a network in place of completions."""

from boed.policies.learned.backbones import ValueConfig
from boed.policies.learned.beginning import NETWORKS, load_network
from boed.policies.learned.greedy import GreedyNet
from boed.policies.learned.looks import CandidateLooks
from boed.policies.learned.network import LookNet, NonmyopicNet, ValueNet
from boed.policies.learned.shown import PolicyLooks
from boed.policies.learned.training import train_look_policy
from boed.policies.learned.value import ONE_PASS, Greedy, Nonmyopic, OnePass, Value

__all__ = [
    "NETWORKS",
    "ONE_PASS",
    "CandidateLooks",
    "Greedy",
    "GreedyNet",
    "LookNet",
    "Nonmyopic",
    "NonmyopicNet",
    "OnePass",
    "PolicyLooks",
    "Value",
    "ValueConfig",
    "ValueNet",
    "load_network",
    "train_look_policy",
]
