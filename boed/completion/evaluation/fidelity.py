"""Do completions agree with what was seen, and with the true scene. Pixel values are in [0, 1]."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boed.completion.evaluation.hidden import check_completions, hidden_mean
from boed.data.observation import Observation
from boed.foundation.checks import at_least
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


def relative_l1(
    scenes: Float[Tensor, "n B C H W"], truth: Float[Tensor, "B C H W"]
) -> Float[Tensor, "n B"]:
    """Sum of absolute errors over that of the true image, in %; NaN where that is black.

    Of the whole image, which is how the percentages of Dupont & Suresha 2019 (Sec. 5.3) read: they
    do not define them, but their l2 over their RMSE is nearly one constant, as 1 over the RMS of
    the images would be.

    Raises:
        ValueError: shapes that do not belong together, or NaN.
    """
    check_completions(scenes, truth)
    return 100 * (scenes - truth).abs().sum((2, 3, 4)) / _or_nan(truth.abs().sum((1, 2, 3)))


def relative_l2(
    scenes: Float[Tensor, "n B C H W"], truth: Float[Tensor, "B C H W"]
) -> Float[Tensor, "n B"]:
    """Euclidean norm of the error over that of the true image, in %; see `relative_l1`.

    Raises:
        ValueError: shapes that do not belong together, or NaN.
    """
    check_completions(scenes, truth)
    error = (scenes - truth).square().sum((2, 3, 4)).sqrt()
    return 100 * error / _or_nan(truth.square().sum((1, 2, 3)).sqrt())


def squared_error(
    scenes: Float[Tensor, "n B C H W"],
    truth: Float[Tensor, "B C H W"],
    hidden: Float[Tensor, "B 1 H W"],
) -> Float[Tensor, "n B"]:
    """Squared error summed over channels, mean over the hidden pixels; NaN where none is.

    The L2 of the CIFAR-10 report, 1 / n^2 sum_{p, q, r} (Y - Y^)^2 of its hole of n^2 pixels.

    Raises:
        ValueError: shapes that do not belong together, NaN, or a mask other than 0 and 1.
    """
    check_completions(scenes, truth, hidden)
    channels = truth.shape[1]
    each = [channels * hidden_mean((scene - truth).square(), hidden) for scene in scenes]
    return torch.stack(each)


def share_within(
    scenes: Float[Tensor, "n B C H W"],
    truth: Float[Tensor, "B C H W"],
    hidden: Float[Tensor, "B 1 H W"],
    *,
    levels: int = 5,
) -> Float[Tensor, "n B"]:
    """Share of the hidden pixels whose every channel is right to so many of 255 levels.

    The MAEM of the CIFAR-10 report, with 5. NaN where nothing is hidden.

    Raises:
        ValueError: shapes that do not belong together, NaN, a mask other than 0 and 1, or levels
            below 0.
    """
    check_completions(scenes, truth, hidden)
    at_least(0, levels=levels)
    within = (255 * (scenes - truth).abs()).amax(2, keepdim=True) < levels + 0.5
    return torch.stack([hidden_mean(each.to(truth.dtype), hidden) for each in within])


def psnr(
    scenes: Float[Tensor, "n B C H W"],
    truth: Float[Tensor, "B C H W"],
    hidden: Float[Tensor, "B 1 H W"] | None = None,
) -> Float[Tensor, "n B"]:
    """Peak signal-to-noise ratio in dB, of the whole image or of its hidden pixels.

    Infinite where it is the true one, NaN where nothing is hidden. Average it over scenes with a
    pixel hidden, or over the squared errors: one infinite value makes the mean infinite.

    Args:
        scenes, truth: pixels in [0, 1].
        hidden: 1 where a pixel counts; all do if not given.

    Raises:
        ValueError: shapes that do not belong together, NaN, or a mask other than 0 and 1.
    """
    check_completions(scenes, truth, hidden)
    squared = [_mean((scene - truth).square(), hidden) for scene in scenes]
    return -10 * torch.stack(squared).log10()


def ssim(
    scenes: Float[Tensor, "n B C H W"],
    truth: Float[Tensor, "B C H W"],
    hidden: Float[Tensor, "B 1 H W"] | None = None,
) -> Float[Tensor, "n B"]:
    """Structural similarity (Wang et al. 2004) by torchmetrics, of the whole image or its hole.

    Gaussian window of 11 pixels and standard deviation 1.5, the image reflected at its borders. Of
    a hole it is the mean of what the windows around its pixels say, in which seen ones count, too;
    NaN where nothing is hidden.

    Args:
        scenes, truth: pixels in [0, 1].
        hidden: 1 around which pixels windows count; all do if not given.

    Raises:
        ValueError: shapes that do not belong together, NaN, a mask other than 0 and 1, or a side
            of fewer than 6 pixels.
    """
    check_completions(scenes, truth, hidden)
    if min(scenes.shape[-2:]) < 6:
        raise ValueError(
            f"scenes are of {tuple(scenes.shape[-2:])} pixels, expected 6 or more a side for the "
            "window"
        )
    torchvision()  # torchmetrics imports it
    from torchmetrics.functional.image import structural_similarity_index_measure

    def similarities(scene: Tensor) -> tuple[Tensor, Tensor]:
        """Of each image, and around each of its pixels."""
        whole, around = structural_similarity_index_measure(
            scene, truth, reduction="none", data_range=1.0, return_full_image=True
        )
        return torch.as_tensor(whole), torch.as_tensor(around)

    each = [similarities(scene) for scene in scenes]
    return torch.stack([a if hidden is None else hidden_mean(b, hidden) for a, b in each])


def mean_decibels(
    scenes: Float[Tensor, "n B C H W"], truth: Float[Tensor, "B C H W"]
) -> Float[Tensor, " B"]:
    """Mean of the n PSNRs of each scene in dB, as papers report it; infinite where one is exact.

    It is above the PSNR of the mean squared error unless all errors are alike.

    Raises:
        ValueError: shapes that do not belong together, or NaN.
    """
    return psnr(scenes, truth).mean(0)


def best_of(values: Float[Tensor, "n B"], higher: bool) -> Float[Tensor, " B"]:
    """The best of the n values of each scene: the highest, or the lowest; NaN if one is.

    It improves with n: compare at equal n only.

    Raises:
        ValueError: another shape, or no values.
    """
    if values.ndim != 2 or len(values) == 0:
        raise ValueError(f"values must be [n, B] with n >= 1, got {tuple(values.shape)}")
    return values.amax(0) if higher else values.amin(0)


def _mean(values: Float[Tensor, "B C H W"], hidden: Tensor | None) -> Float[Tensor, " B"]:
    """Over all pixels, or over the hidden ones."""
    return values.mean((1, 2, 3)) if hidden is None else hidden_mean(values, hidden)


def _or_nan(values: Tensor) -> Tensor:
    """What is divided by, NaN for 0."""
    return values.masked_fill(values == 0, torch.nan)
