"""Small autoregressive models with random weights, and what is seen of small scenes."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from boed.completion.autoregressive.conditional_pixel_cnn import (
    ConditionalPixelCNN,
    ConditionalPixelCNNConfig,
)
from boed.completion.autoregressive.flattened_lstm import (
    FlattenedRowLSTM,
    FlattenedRowLSTMConfig,
)
from boed.completion.autoregressive.pixel_constrained import (
    PixelConstrained,
    PixelConstrainedConfig,
)
from boed.completion.autoregressive.pixel_rnn import DiagonalBiLSTM, PixelRNNConfig, RowLSTM
from boed.completion.autoregressive.zone import ZonePixelCNN, ZonePixelCNNConfig

STACKS = {"filters": 6, "blocks": 2}
LSTM = {"filters": 6, "layers": 2, "hidden": 6}
KINDS = {
    "pc-cnn": (PixelConstrained, PixelConstrainedConfig, {**STACKS, "dilations": (1, 2)}),
    "pixelcnn-c": (ConditionalPixelCNN, ConditionalPixelCNNConfig, {**STACKS, "code": 5}),
    "row-lstm": (RowLSTM, PixelRNNConfig, LSTM),
    "diagonal-bilstm": (DiagonalBiLSTM, PixelRNNConfig, LSTM),
    "flattened-row-lstm": (FlattenedRowLSTM, FlattenedRowLSTMConfig, {"hidden": 6, "window": 3}),
    "pixelcnn-zone": (ZonePixelCNN, ZonePixelCNNConfig, {"filters": 6, "temperature": 1.0}),
}
"""Each member: class, configuration, and what makes it small."""


@pytest.fixture(params=KINDS)
def make(request):
    """Makes a model of each kind, whose weights are large enough for its logits to differ."""
    model_of, config_of, small = KINDS[request.param]

    def made(seed: int = 0, scale: float = 2.0, **changes):
        fields = {"size": 2, "channels": 1, "levels": 2} | small | changes
        known = {each.name for each in dataclasses.fields(config_of)}
        fields = {name: value for name, value in fields.items() if name in known}
        torch.manual_seed(seed)
        model = model_of(config_of(**fields)).eval().requires_grad_(False)
        for parameter in model.parameters():
            parameter.copy_(scale * parameter + 0.05 * torch.randn_like(parameter))
        return model

    return made
