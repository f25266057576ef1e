"""What each layer may see, and sees, by its Jacobian."""

from __future__ import annotations

import pytest
import torch

from boed.completion.autoregressive.layers import GatedBlock, GatedPixelCNN, RowConv, RowsAbove

SIZE, AT = 7, (3, 3)


def reads(function, inputs: int, at=AT):
    """Which inputs, [O, I, H, W], the outputs at a pixel depend on."""
    torch.manual_seed(1)
    x = torch.rand(1, inputs, SIZE, SIZE, dtype=torch.double)
    jacobian = torch.autograd.functional.jacobian(lambda x: function(x)[0, ..., at[0], at[1]], x)
    return jacobian[..., 0, :, :, :].flatten(0, -4) != 0


def before(here: bool) -> torch.Tensor:
    """The pixels before `AT` in raster order, and with `here` itself, [H, W]."""
    number = AT[0] * SIZE + AT[1]
    return (torch.arange(SIZE * SIZE) < number + here).unflatten(0, (SIZE, SIZE))


@pytest.mark.parametrize("own", [False, True])
def test_the_vertical_stack_sees_whole_rows(own):
    seen = reads(RowsAbove(2, 3, kernel=5, own=own).double(), 2).flatten(0, 1)
    assert (seen == seen[0]).all()
    expected = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    expected[1 : 3 + own, 1:6] = True
    assert torch.equal(seen[0], expected)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(("left", "own"), [(0, True), (1, False), (1, True), (2, False), (2, True)])
def test_the_horizontal_stack_sees_what_is_on_the_left_and_groups_before(left, own, groups):
    seen = reads(RowConv(6, 12, left=left, groups=groups, own=own).double(), 6)
    assert seen[:, :, 3, 3 - left : 3].all()
    reader, read = torch.arange(12) * groups // 12, torch.arange(6) * groups // 6
    here = read[None] <= reader[:, None] if own else read[None] < reader[:, None]
    assert torch.equal(seen[:, :, 3, 3], here)
    seen[:, :, 3, 3 - left : 4] = False
    assert not seen.any()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("first", [False, True])
def test_a_block_of_both_stacks_sees_no_pixel_after(first, channels):
    inputs = channels if first else 6
    block, other = GatedBlock(inputs, 6, kernel=3, groups=channels, first=first).double(), 0.5
    left = reads(lambda x: block(other + 0 * x, x)[1], inputs)
    expected = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    expected[3, 2] = True
    group, read = torch.arange(6) * channels // 6, torch.arange(inputs) * channels // inputs
    here = read[None] < group[:, None] if first else read[None] <= group[:, None]
    assert torch.equal(left[:, :, 3, 3], here)
    left[:, :, 3, 3] = False
    assert torch.equal(left, expected.expand_as(left))
    expected = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    expected[2 : 3 if first else 4, 2:5] = True
    for stack in (0, 1):
        above = reads(lambda x, stack=stack: block(x, other + 0 * x)[stack], inputs).any(0)
        assert torch.equal(above, expected.expand_as(above))


def neighbours(reach: int) -> torch.Tensor:
    inside = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    inside[AT[0] - reach : AT[0] + reach + 1, AT[1] - reach : AT[1] + reach + 1] = True
    return inside


@pytest.mark.parametrize("hidden", [0, 60])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("first_kernel", "kernel"), [(3, 3), (7, 3), (3, 5)])
def test_a_pixelcnn_sees_all_pixels_before_and_none_after(channels, first_kernel, kernel, hidden):
    torch.manual_seed(0)
    network = GatedPixelCNN(
        channels=channels, levels=2, filters=6, kernel=kernel, first_kernel=first_kernel,
        blocks=3, hidden=hidden,
    ).double()  # fmt: skip
    seen = reads(lambda x: network(x), channels).unflatten(0, (2, channels)).any(0)
    assert not seen[:, :, ~before(here=True)].any()
    reach = first_kernel // 2 + 3 * (kernel // 2)
    assert seen[:, :, before(here=False) & neighbours(min(reach, 3))].all()  # no blind spot
    order = torch.arange(channels)
    assert torch.equal(seen[:, :, 3, 3], order[None] < order[:, None])
