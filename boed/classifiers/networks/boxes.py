"""Rectangles of pixels, and what convolutions and poolings make of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Box:
    """A rectangle of pixels in each of P images; it may reach over their borders.

    Attributes:
        start: first row and column, `[P, 2]`.
        length: rows and columns, the same for all.
    """

    start: Int64[Tensor, "P 2"]
    length: tuple[int, int]

    @classmethod
    def around(cls, changed: Bool[Tensor, "P H W"]) -> Box:
        """The smallest boxes of one size that hold what changed in each image."""
        starts, lengths = [], []
        for axis in (2, 1):
            line = changed.any(axis)
            first = line.float().argmax(1)
            last = line.shape[1] - 1 - line.flip(1).float().argmax(1)
            starts.append(first)
            lengths.append(int((last - first).max()) + 1)
        return cls(torch.stack(starts, 1), (lengths[0], lengths[1]))

    # Output o of a convolution or pooling with kernel k, stride s and padding p reads the inputs
    # s o - p to s o - p + k - 1. So outputs a to a + m - 1 read inputs from s a - p on, in all
    # s (m - 1) + k of them; and an output depends on inputs b to b + n - 1 if it reads one of them,
    #     s o - p + k - 1 >= b  and  s o - p <= b + n - 1,
    # that is from o = ceil((b + p - k + 1) / s) on. These are at most floor((n + k - 2) / s) + 1,
    # whatever b; one more than depends on the box does no harm, it is computed all the same.

    def through(self, kernel: int, stride: int, padding: int) -> Box:
        """The outputs of a convolution or pooling that depend on the box."""
        start = -((kernel - 1 - padding - self.start) // stride)
        rows, columns = ((length + kernel - 2) // stride + 1 for length in self.length)
        return Box(start, (rows, columns))

    def read(self, kernel: int, stride: int, padding: int) -> Box:
        """The inputs that a convolution or pooling reads for the outputs in the box."""
        rows, columns = (stride * (length - 1) + kernel for length in self.length)
        return Box(stride * self.start - padding, (rows, columns))

    def halved(self) -> Box:
        """The outputs of a pooling of pixels in pairs; the box begins and ends between pairs."""
        return Box(self.start // 2, (self.length[0] // 2, self.length[1] // 2))

    def grown(self, by: int) -> Box:
        """The box and so many pixels around it."""
        rows, columns = self.length
        return Box(self.start - by, (rows + 2 * by, columns + 2 * by))

    def even(self) -> Box:
        """The box, grown so that it starts at an even pixel and is of even length."""
        rows, columns = (length + 1 + (length + 1) % 2 for length in self.length)
        return Box(self.start - self.start % 2, (rows, columns))

    def pixels(self, size: tuple[int, int]) -> tuple[Int64[Tensor, "P h w"], Bool[Tensor, "P h w"]]:
        """Row-major index of each pixel in an image of `size`, and whether it lies inside.

        Those outside have the index of the nearest pixel inside.
        """
        device = self.start.device
        axes = [
            self.start[:, axis, None] + torch.arange(self.length[axis], device=device)
            for axis in (0, 1)
        ]
        nearest = [place.clamp(0, size[axis] - 1) for axis, place in enumerate(axes)]
        inside = [each == place for each, place in zip(nearest, axes, strict=True)]
        index = nearest[0][:, :, None] * size[1] + nearest[1][:, None, :]
        return index, inside[0][:, :, None] & inside[1][:, None, :]

    def cut(
        self, images: Float[Tensor, "B H W C"], which: Int64[Tensor, " P"]
    ) -> Float[Tensor, "P h w C"]:
        """The box's pixels of image `which[p]`, whatever outside."""
        height, width, channels = images.shape[1:]
        index, _ = self.pixels((height, width))
        flat = (index + (which * height * width)[:, None, None]).flatten()
        return images.reshape(-1, channels).index_select(0, flat).view(*index.shape, channels)

    def paste(self, images: Float[Tensor, "P H W C"], window: Float[Tensor, "P h w c"]) -> None:
        """Put the box's pixels into each image's first channels; those outside are dropped."""
        height, width, channels = images.shape[1:]
        index, inside = self.pixels((height, width))
        image = torch.arange(len(images), device=index.device)[:, None, None] * height * width
        rows = images.view(-1, channels)[:, : window.shape[3]]
        rows[(index + image)[inside]] = window[inside]
