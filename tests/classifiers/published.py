"""Files of the form in which torchxrayvision publishes its networks, with random weights."""

from __future__ import annotations

import hashlib

import torch

from boed.foundation.torchvision_compat import torchxrayvision

ALL, NIH = "densenet121-res224-all", "densenet121-res224-nih"


def random_network(seed=0):
    """The published architecture with random weights whose outputs are moderate."""
    torch.manual_seed(seed)
    network = torchxrayvision().models.DenseNet()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(2, 4)
        network.classifier.weight.mul_(0.05)
        network.classifier.bias.normal_(-2, 2)
    return network.eval()


def published_file(short):
    return torchxrayvision().models.model_urls[short]["weights_url"].rsplit("/", 1)[-1]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
