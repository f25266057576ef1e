"""Any network as a classifier."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boed.data.observation import Observation
from boed.foundation.arguments import checked
from boed.foundation.checks import calling, describe


class ModuleClassifier(nn.Module):
    """A network of logits as a classifier; `from_module` makes it.

    Args:
        network: see `from_module`.
        mask: see `from_module`.
        multi_label: see `from_module`.
    """

    def __init__(self, network: nn.Module, *, mask: bool, multi_label: bool) -> None:
        super().__init__()
        self.network, self.mask, self.multi_label = network, mask, multi_label

    @torch.no_grad()
    def log_probs(self, observation: Observation) -> Float[Tensor, "B *L K"]:
        """The log-softmax of the network's logits.

        Raises:
            ValueError: the network does not return logits `[B, K]`, two of each finding.
        """
        shown = [observation.values, observation.mask] if self.mask else [observation.values]
        with calling(self.network):
            logits = self.network(torch.cat(shown, dim=1))
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise ValueError(
                f"{type(self.network).__name__} returned {describe(logits)}, expected logits (B, K)"
            )
        if self.multi_label and logits.shape[1] % 2:
            raise ValueError(
                f"{type(self.network).__name__} returned {logits.shape[1]} logits, expected two "
                "of each finding, absent and present"
            )
        return (logits.unflatten(1, (-1, 2)) if self.multi_label else logits).log_softmax(-1)


@checked
def from_module(
    network: nn.Module, *, mask: bool = True, multi_label: bool = False
) -> ModuleClassifier:
    """A classifier from any network of logits, in evaluation mode.

    It should have been trained on partly seen scenes, and be calibrated: over-confident beliefs
    mislead the EIG.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(2 * 8 * 8, 3))
    >>> classifier = from_module(network)
    >>> classifier.log_probs(Observation.nothing(5, 1, 8)).shape
    torch.Size([5, 3])

    Args:
        network: from scenes `[B, C, H, W]` in [0, 1], 0 where unseen, to logits `[B, K]`; with
            findings `[B, 2 L]`, absent and present of each in turn.
        mask: whether the network also reads the mask, as a channel behind the others.
        multi_label: whether several findings can hold at once.

    Raises:
        ValueError: it is no network.
    """
    return ModuleClassifier(network, mask=mask, multi_label=multi_label).eval()
