"""Inception, as what describes whole scenes."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boed.completion.evaluation.plan import Extractor
from boed.foundation.torchvision_compat import torchvision


class InceptionExtractor:
    """Features of the Inception network that the FID is defined with, from the user's own weights.

    Args:
        weights: `pt_inception-2015-12-05-6726825d.pth` as torch-fidelity publishes it; read
            without executing anything in it.
        answers: what answers the question about scenes, which Inception does not know.

    Raises:
        ValueError: torch-fidelity is not installed, the file is missing, or not these weights.
    """

    def __init__(self, weights: Path | str, answers: Extractor) -> None:
        torchvision()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise ValueError(
                "inception needs torch-fidelity: pip install torch-fidelity"
            ) from error
        if not Path(weights).is_file():
            raise ValueError(f"inception weights {weights} do not exist")
        try:
            torch.load(weights, map_location="cpu", weights_only=True)  # refuses to run code
            self._network: nn.Module = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
            )
        except Exception as error:  # an unpickler of foreign bytes
            raise ValueError(f"inception weights {weights} cannot be read: {error}") from error
        self.answers = answers
        self.name = "Inception (FID)"

    @torch.no_grad()
    def features(self, scenes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """The 2048 features before the last layer."""
        colour = scenes.expand(-1, 3, -1, -1) if scenes.shape[1] == 1 else scenes
        (features,) = self._network((colour * 255).round().to(torch.uint8))
        return features.float()

    def log_probs(self, scenes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Log-probabilities of the answers."""
        return self.answers.log_probs(scenes)
