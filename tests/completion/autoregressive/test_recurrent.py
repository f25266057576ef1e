"""The recurrent layers against plain loops, and what each direction of a diagonal one sees."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from boed.completion.autoregressive.pixel_rnn import DiagonalBiLSTM, PixelRNNConfig, RowLSTM
from boed.completion.autoregressive.recurrent import (
    DiagonalLayer,
    RowLayer,
    cell,
    skewed,
    unskewed,
)

SHAPES = [(4, 6), (6, 3), (1, 4), (3, 1)]


def test_a_cell_is_an_lstm():
    theirs = nn.LSTMCell(5, 4)
    x, h, c = torch.rand(3, 5), torch.rand(3, 4), torch.rand(3, 4)
    z = x @ theirs.weight_ih.T + theirs.bias_ih + h @ theirs.weight_hh.T + theirs.bias_hh
    i, f, candidate, o = z.chunk(4, dim=1)
    expected = theirs(x, (h, c))
    for ours, other in zip(cell(torch.cat([i, f, o, candidate], 1), c), expected, strict=True):
        torch.testing.assert_close(ours, other)
    groups = torch.cat([each[:, part] for part in (slice(2), slice(2, 4))
                        for each in (i, f, o, candidate)], 1)  # fmt: skip
    torch.testing.assert_close(cell(groups, c, 2)[0], expected[0])


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_skewed_rows_come_back(height, width):
    x = 1 + torch.rand(2, 3, height, width, 4)
    diagonals = skewed(x)
    assert diagonals.shape == (2, 3, height, width + height - 1, 4)
    for row in range(height):
        assert torch.equal(diagonals[:, :, row, row : row + width], x[:, :, row])
    assert int((diagonals[..., 0] > 0).sum()) == 6 * height * width
    assert torch.equal(unskewed(diagonals, width), x)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_a_diagonal_layer_is_a_loop_over_pixels(height, width, groups):
    layer = DiagonalLayer(12, 6, groups)
    z = layer.gates(torch.randn(2, 12, height, width))
    states, zero = layer.states(z), torch.zeros(2, 2, 6)
    state, memory = {}, {}
    for r in range(height):
        for c in range(width):
            beside, above = state.get((r, c - 1), zero), state.get((r - 1, c), zero)
            read = z[:, :, r, c] + torch.cat([beside, above], -1) @ layer.from_states
            state[r, c], memory[r, c] = cell(read, memory.get((r, c - 1), zero), groups)
            torch.testing.assert_close(states[:, :, r, c], state[r, c])


@pytest.mark.parametrize("groups", [1, 3])
def test_a_row_layer_is_a_loop_over_pixels(groups):
    layer = RowLayer(12, 6, groups)
    x = torch.randn(2, 12, 4, 5)
    z, kernel = layer.to_state(x), layer.from_above.weight
    state, memory, zero = {}, {}, torch.zeros(2, 6)
    for r in range(4):
        for c in range(5):
            read = z[:, :, r, c]
            for tap, column in enumerate((c - 1, c, c + 1)):
                read = read + state.get((r - 1, column), zero) @ kernel[:, :, tap].T
            state[r, c], memory[r, c] = cell(read, memory.get((r - 1, c), zero), groups)
    rows = [torch.stack([state[r, c] for c in range(5)], dim=2) for r in range(4)]
    torch.testing.assert_close(layer(x), layer.out(torch.stack(rows, dim=2)))


def test_each_direction_alone_sees_no_pixel_after():
    """A widely used port leaves states from the right in their row, and reads the row below."""
    layer, at = DiagonalLayer(4, 2, 1).double(), (2, 2)
    x = torch.rand(1, 4, 5, 5, dtype=torch.double)

    def states(x):
        left, right = layer.states(layer.gates(x))
        return torch.stack([left[0, at[0], at[1]], right.flip(-2)[0, at[0] - 1, at[1]]])

    jacobian = torch.autograd.functional.jacobian(states, x)  # [2, F, 1, 4, 5, 5]
    left, right = (jacobian != 0).flatten(1, 3).any(1)
    expected = torch.zeros(5, 5, dtype=torch.bool)
    expected[:3, :3] = True
    assert torch.equal(left, expected)
    expected = torch.zeros(5, 5, dtype=torch.bool)
    expected[:2, 2:] = True
    assert torch.equal(right, expected)


@pytest.mark.parametrize("kind", [RowLSTM, DiagonalBiLSTM])
@pytest.mark.parametrize(
    ("name", "size", "channels", "h", "layers", "hidden", "levels"),
    [("mnist", 28, 1, 16, 7, 32, 2), ("cifar", 32, 3, 129, 12, 1023, 256)],
)
def test_the_published_architectures(kind, name, size, channels, h, layers, hidden, levels):
    config, _ = kind.architectures[name](size, channels)
    with torch.device("meta"):
        network = kind(config).network
    count = sum(each.numel() for each in network.parameters())
    left = 3 if channels == 1 else 4  # a pixel's own earlier channels, too
    enter = 2 * h * channels * (3 * 7 + left) + 2 * 2 * h
    outputs = channels * levels
    head = 2 * h * hidden + hidden + hidden * outputs + outputs
    layer = {
        RowLSTM: 4 * h * 2 * 2 * h + 4 * h + 4 * h * h * 3,
        DiagonalBiLSTM: 8 * h * 2 * h + 8 * h + 2 * 2 * h * 4 * h,
    }
    assert count == enter + layers * (layer[kind] + h * 2 * h + 2 * h) + head


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("filters", 0, "filters is 0, expected at least 1"),
        ("filters", 16, "filters is 16, expected a multiple of the 3 channels"),
        ("hidden", 10, "hidden is 10, expected a multiple of the 3 channels"),
        ("hidden", 0, "hidden is 0, expected at least 1"),
        ("layers", 0, "layers is 0, expected at least 1"),
        ("first_kernel", 4, "first_kernel is 4, expected an odd number of at least 3"),
    ],
)
def test_what_configurations_refuse(field, value, message):
    with pytest.raises(ValueError, match=message):
        PixelRNNConfig(**{"size": 8, "channels": 3, "filters": 12, "hidden": 12, field: value})
