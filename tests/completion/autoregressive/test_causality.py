"""Which pixels the logits of each model depend on: all that it should see, none after."""

from __future__ import annotations

import pytest
import torch

from boed.data.observation import Observation

SIZE = 5
WIDE = {"filters": 12, "hidden": 60}  # of few ReLUs all may be off


def changed(model) -> torch.Tensor:
    """Whether logits [C, H, W] change with another level of a channel of a pixel [C, H, W]."""
    channels = model.config.channels
    generator = torch.Generator().manual_seed(3)
    levels = torch.randint(0, 3, (channels, SIZE, SIZE), generator=generator) / 2
    number = levels.numel()
    images = levels.double().repeat(number + 1, 1, 1, 1)
    index = torch.arange(number)
    flat = images.view(number + 1, -1)
    flat[index, index] = (flat[index, index] + 0.5) % 1.5
    condition = model.condition(Observation.nothing(1, channels, SIZE)).double()
    logits = model.double().logits(images, condition.expand(len(images), *condition.shape[1:]))
    differ = (logits[:-1] - logits[-1]).abs().amax(1) > 1e-12  # [read, C, H, W]
    return differ.movedim(0, -1).unflatten(-1, (channels, SIZE, SIZE))


def order(channels: int) -> torch.Tensor:
    """The place of each channel of each pixel in drawing, [C, H, W]."""
    place = torch.arange(SIZE * SIZE * channels)
    return place.unflatten(0, (SIZE, SIZE, channels)).permute(2, 0, 1)


def earlier(channels: int) -> torch.Tensor:
    """Whether what is read, the last three dimensions, is drawn before what reads it."""
    place = order(channels)
    return place < place[:, :, :, None, None, None]


@pytest.mark.parametrize("channels", [1, 3])
def test_no_model_sees_what_is_drawn_later(make, channels):
    seen = changed(make(size=SIZE, levels=3, channels=channels, first_kernel=3, **WIDE))
    assert not (seen & ~earlier(channels)).any()
    for channel in range(channels):
        assert seen[channel, 2, 2, channel, 2, 1], "the pixel on the left"
        assert seen[channel, 2, 2, :channel, 2, 2].all(), "channels before of the pixel itself"


def triangle(layers: int) -> torch.Tensor:
    """What a Row LSTM with a 3 x 3 convolution sees, [H, W, H, W], by its recursion."""
    empty = torch.zeros(SIZE, SIZE, SIZE, SIZE, dtype=torch.bool)
    inside = [(r, c) for r in range(SIZE) for c in range(SIZE)]

    def of(sets, r, c):
        return sets[r, c] if (r, c) in inside else torch.zeros(SIZE, SIZE, dtype=torch.bool)

    x = empty.clone()
    for r, c in inside:
        for i, j in ((r, c - 1), (r - 1, c - 1), (r - 1, c), (r - 1, c + 1)):
            if (i, j) in inside:
                x[r, c, i, j] = True
    for _ in range(layers):
        state = empty.clone()
        for r, c in inside:
            state[r, c] = of(x, r, c) | of(x, r, c - 1)
            for j in (c - 1, c, c + 1):
                state[r, c] |= of(state, r - 1, j)
        x = x | state
    return x


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("make", ["row-lstm"], indirect=True)
def test_a_row_lstm_sees_a_triangle(make, layers, channels):
    model = make(size=SIZE, levels=3, channels=channels, first_kernel=3, layers=layers, **WIDE)
    seen = changed(model).amax((0, 3))
    here = torch.eye(SIZE * SIZE).unflatten(0, (SIZE, SIZE)).unflatten(2, (SIZE, SIZE)) > 0
    assert torch.equal(seen & ~here, triangle(layers))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("make", ["diagonal-bilstm"], indirect=True)
def test_a_diagonal_bilstm_sees_all_before_but_one_number(make, channels):
    """The last one of the row above, of which only later features there would tell."""
    model = make(size=SIZE, levels=3, channels=channels, first_kernel=3, layers=1, **WIDE)
    expected = earlier(channels)
    for row in range(1, SIZE):
        expected[:, row, : SIZE - 2, -1, row - 1, -1] = False  # the convolution sees it else
    assert torch.equal(changed(model), expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("make", ["flattened-row-lstm"], indirect=True)
def test_a_flattened_row_lstm_sees_all_before(make, channels):
    model = make(size=SIZE, levels=3, channels=channels, scale=1.0, hidden=6)
    model.network.lstm.bias_ih_l0[6:12] = 4  # its gates forget less than half at each step
    assert torch.equal(changed(model), earlier(channels))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("make", ["pixelcnn-zone"], indirect=True)
def test_a_zone_is_of_24_pixels_above_and_on_the_left(make, channels):
    model = make(size=SIZE, levels=3, channels=channels, filters=60)
    row = torch.arange(SIZE)
    behind = (row[:, None] >= row) & (row[:, None] - row < 5)
    zone = (behind[:, None, :, None] & behind[None, :, None]).unsqueeze(2).unsqueeze(0)
    assert torch.equal(changed(model), earlier(channels) & zone)
    assert int(zone[0, 4, 4].sum()) == 25
