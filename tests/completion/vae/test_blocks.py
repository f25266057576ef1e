"""The block-string grammar, and how encoder activations come out of it."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from boed.completion.vae.blocks import (
    DecoderBlock,
    Encoder,
    EncoderBlock,
    pad_channels,
    parse_decoder,
    parse_encoder,
    parse_widths,
)

CIFAR10 = (
    "32x11,32d2,16x6,16d2,8x6,8d2,4x3,4d4,1x3",
    "1x1,4m1,4x2,8m4,8x5,16m8,16x10,32m16,32x21",
)
FFHQ256 = (
    "256x3,256d2,128x8,128d2,64x12,64d2,32x17,32d2,16x7,16d2,8x5,8d2,4x5,4d4,1x4",
    "1x2,4m1,4x3,8m4,8x4,16m8,16x9,32m16,32x21,64m32,64x13,128m64,128x7,256m128",
)


def test_every_form_of_an_encoder_part():
    assert parse_encoder("8x2, 8d2,4") == [
        EncoderBlock(8),
        EncoderBlock(8),
        EncoderBlock(8, 2),
        EncoderBlock(4),
    ]


def test_every_form_of_a_decoder_part():
    assert parse_decoder("1, 4m1,4x2") == [
        DecoderBlock(1),
        DecoderBlock(4, 1),
        DecoderBlock(4),
        DecoderBlock(4),
    ]


@pytest.mark.parametrize(
    ("strings", "groups", "per_resolution", "encoder_blocks"),
    [
        (CIFAR10, 43, {1: 1, 4: 3, 8: 6, 16: 11, 32: 22}, 33),
        (FFHQ256, 66, {1: 2, 4: 4, 8: 5, 16: 10, 32: 22, 64: 14, 128: 8, 256: 1}, 68),
    ],
)
def test_the_strings_released_with_child_2020(strings, groups, per_resolution, encoder_blocks):
    encoder, decoder = parse_encoder(strings[0]), parse_decoder(strings[1])
    assert len(decoder) == groups
    assert Counter(block.resolution for block in decoder) == per_resolution
    assert len(encoder) == encoder_blocks
    assert {block.resolution for block in decoder} == {block.resolution for block in encoder}
    mixes = [(block.mixin, block.resolution) for block in decoder if block.mixin]
    assert mixes == list(zip(list(per_resolution)[:-1], list(per_resolution)[1:], strict=True))


def test_a_size_that_is_no_power_of_two():
    blocks = parse_encoder("28d2,14d2,7d7,1x1")
    assert [block.resolution for block in blocks] == [28, 14, 7, 1]
    assert [block.mixin for block in parse_decoder("1x1,7m1,14m7,28m14")] == [None, 1, 7, 14]
    encoder = Encoder(1, blocks, {28: 4, 14: 4, 7: 4, 1: 4}, bottleneck=0.5)
    activations = encoder(torch.rand(2, 1, 28, 28))
    assert {r: tuple(a.shape) for r, a in activations.items()} == {
        r: (2, 4, r, r) for r in (28, 14, 7, 1)
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is none of R, RxN, RdK"),
        ("32y2", "'32y2' is none of"),
        ("32x0", "'32x0' is none of"),
        ("0x2", "'0x2' is none of"),
        ("32x2,,16", "'' is none of"),
        ("32m16", "'32m16' is none of"),
        ("32x2,16x2", "'16x2' follows resolution 32"),
        ("32d2,8x1", "'8x1' follows resolution 16"),
        ("28d3", "does not divide evenly"),
    ],
)
def test_wrong_encoders(text, message):
    with pytest.raises(ValueError, match=rf"encoder '{text}': .*{message}"):
        parse_encoder(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4d2", "'4d2' is none of"),
        ("1x0", "'1x0' is none of"),
        ("4m1", "mixes in 1, expected one of"),
        ("1,4m1,8m2", "mixes in 2"),
        ("1,3m1,8m3", "mixes in 3"),
        ("1,4m1,4m4", "mixes in 4"),
        ("4,1m4", "mixes in 4"),
    ],
)
def test_wrong_decoders(text, message):
    with pytest.raises(ValueError, match=rf"decoder '{text}': .*{message}"):
        parse_decoder(text)


def test_widths():
    assert parse_widths("") == {}
    assert parse_widths("32:64, 16:128") == {32: 64, 16: 128}


@pytest.mark.parametrize("text", ["32", "32:64:1", "32:x", "32:0", "32:64,", "-1:3"])
def test_wrong_widths(text):
    with pytest.raises(ValueError, match="is not RESOLUTION:WIDTH"):
        parse_widths(text)


def test_channels_are_padded_with_zeros_or_cut():
    x = torch.rand(2, 3, 4, 4)
    wide = pad_channels(x, 5)
    assert torch.equal(wide[:, :3], x)
    assert wide.shape[1] == 5
    assert wide[:, 3:].abs().max() == 0
    assert torch.equal(pad_channels(x, 2), x[:, :2])


def test_encoder_with_other_widths_per_resolution():
    encoder = Encoder(1, parse_encoder("8d2,4d4,1"), {8: 4, 4: 6, 1: 3}, bottleneck=0.5)
    activations = encoder(torch.rand(2, 1, 8, 8))
    assert {r: a.shape[1] for r, a in activations.items()} == {8: 4, 4: 6, 1: 3}
