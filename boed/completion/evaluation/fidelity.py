"""Do completions agree with what was seen, and with the true scene. Pixel values are in [0, 1]."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boed.completion.evaluation.hidden import check_completions, hidden_mean
from boed.data.observation import Observation
from boed.foundation.torchvision_compat import torchvision


def observed_error(drawn: Float[Tensor, "n B C H W"], observation: Observation) -> Tensor:
    """Mean absolute error on the seen pixels, `[B]`; NaN where nothing was seen.

    Args:
        drawn: completions before the seen pixels are put back in.

    Raises:
        ValueError: shapes that do not belong together, NaN, or an observation of an indirect
            sensor, which sees no pixels.
    """
    if observation.readings is not None:
        raise ValueError("observation has readings of an indirect sensor: it sees no pixels")
    return l1(drawn, observation.values, (observation.mask > 0).to(drawn.dtype)).mean(0)


def l1(
    scenes: Float[Tensor, "n B C H W"],
    truth: Float[Tensor, "B C H W"],
    hidden: Float[Tensor, "B 1 H W"],
) -> Float[Tensor, "n B"]:
    """Mean absolute error over the hidden pixels; NaN where nothing is hidden.

    Raises:
        ValueError: shapes that do not belong together, NaN, or a mask other than 0 and 1.
    """
    check_completions(scenes, truth, hidden)
    return torch.stack([hidden_mean((scene - truth).abs(), hidden) for scene in scenes])


def psnr(
    scenes: Float[Tensor, "n B C H W"], truth: Float[Tensor, "B C H W"]
) -> Float[Tensor, "n B"]:
    """Peak signal-to-noise ratio of the whole image in dB; infinite where it is the true one.

    Average it over scenes with a pixel hidden, or over the squared errors: one infinite value
    makes the mean infinite.

    Raises:
        ValueError: shapes that do not belong together, or NaN.
    """
    check_completions(scenes, truth)
    squared = [(scene - truth).square().mean((1, 2, 3)) for scene in scenes]
    return -10 * torch.stack(squared).log10()


def ssim(
    scenes: Float[Tensor, "n B C H W"], truth: Float[Tensor, "B C H W"]
) -> Float[Tensor, "n B"]:
    """Structural similarity of the whole image (Wang et al. 2004), by torchmetrics.

    Gaussian window of 11 pixels and standard deviation 1.5, the image reflected at its borders.

    Raises:
        ValueError: shapes that do not belong together, NaN, or a side of fewer than 6 pixels.
    """
    check_completions(scenes, truth)
    if min(scenes.shape[-2:]) < 6:
        raise ValueError(
            f"scenes are of {tuple(scenes.shape[-2:])} pixels, expected 6 or more a side for the "
            "window"
        )
    torchvision()  # torchmetrics imports it
    from torchmetrics.functional.image import structural_similarity_index_measure

    similarities = [
        structural_similarity_index_measure(scene, truth, reduction="none", data_range=1.0)
        for scene in scenes
    ]
    return torch.stack([torch.as_tensor(each) for each in similarities])


def best_of(values: Float[Tensor, "n B"], higher: bool) -> Float[Tensor, " B"]:
    """The best of the n values of each scene: the highest, or the lowest; NaN if one is.

    It improves with n: compare at equal n only.

    Raises:
        ValueError: another shape, or no values.
    """
    if values.ndim != 2 or len(values) == 0:
        raise ValueError(f"values must be [n, B] with n >= 1, got {tuple(values.shape)}")
    return values.amax(0) if higher else values.amin(0)
