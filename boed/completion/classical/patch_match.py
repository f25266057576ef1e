"""Completion by patches of the same image, as PatchMatch does (Barnes et al. 2009)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from boed.completion.classical.filling import Filling
from boed.data.dataset import Dataset
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least


@checked
class PatchMatchFill(Filling):
    """Hidden pixels for which every patch over them is like one that was seen whole.

    From the border of what is hidden inwards, each pixel is first that in the middle of the patch
    that fits best where its own is known (Efros & Leung 1999). Then each patch over hidden pixels
    finds the nearest seen one, and the mean of what these say of a pixel takes its place, again
    and again (Wexler et al. 2007, as Barnes et al. 2009 complete images). Nearest patches are
    searched for among all: their randomised search is for images of more pixels than ours. One
    resolution, not several.

    Args:
        library: scenes of the size and channels to complete; their mean where nothing is seen.
        patch: side of a patch in pixels, odd; at most the scene's.
        iterations: rounds at most; they end where nothing changes.

    Raises:
        ValueError: a patch that is even, less than 3 pixels or larger than the scene, or less than
            0 iterations.
    """

    def __init__(self, library: Dataset, *, patch: int = 5, iterations: int = 10) -> None:
        at_least(0, iterations=iterations)
        super().__init__(library)
        if patch % 2 == 0 or not 3 <= patch <= min(self.shape):
            raise ValueError(
                f"patch is {patch}, expected an odd number from 3 to the scene's {min(self.shape)}"
            )
        self.patch, self.iterations = patch, iterations

    def fill(
        self, seen: Float[Tensor, "b C H W"], hidden: Bool[Tensor, "H W"]
    ) -> Float[Tensor, "b C Q"]:
        """The Q hidden pixels in raster order.

        Raises:
            ValueError: no patch was seen whole.
        """
        whole = ~self._patches(hidden[None, None].double())[0].any(1)
        if not whole.any():
            raise ValueError(
                f"patch is {self.patch}, but no {self.patch} x {self.patch} pixels of a scene were "
                "seen whole, of which there has to be one to copy; give a smaller patch"
            )
        return torch.stack([self._filled(each.double(), hidden, whole) for each in seen])

    def _filled(
        self, scene: Float[Tensor, "C H W"], hidden: Bool[Tensor, "H W"], whole: Bool[Tensor, " P"]
    ) -> Float[Tensor, "C Q"]:
        sources = self._patches(scene[None])[0, whole]
        scene = self._inwards(scene, hidden, sources)
        ones = self._patches(torch.ones_like(scene[None]))
        votes = self._image(ones, hidden)
        for _ in range(self.iterations):
            patches = self._patches(scene[None])
            best = _nearest(patches[0, ~whole], sources)
            patches[0, ~whole] = sources[best]
            after = torch.where(hidden, (self._image(patches, hidden) / votes)[0], scene)
            if torch.equal(after, scene):
                break
            scene = after
        return scene[:, hidden]

    def _inwards(
        self,
        scene: Float[Tensor, "C H W"],
        hidden: Bool[Tensor, "H W"],
        sources: Float[Tensor, "S K"],
    ) -> Float[Tensor, "C H W"]:
        """A first guess, one ring of pixels after another."""
        scene, channels, half = scene.clone(), len(scene), self.patch // 2
        known = ~hidden
        middle = sources.unflatten(1, (channels, -1))[:, :, self.patch**2 // 2]  # [S, C]
        while not known.all():
            near = F.max_pool2d(known[None].double(), 3, 1, 1)[0] > 0
            ring = near & ~known
            both = torch.cat([scene * known, known[None].double()])
            around = self._patches(F.pad(both[None], (half,) * 4))[0, ring.flatten()]
            values, weights = around.split([channels * self.patch**2, self.patch**2], dim=1)
            weights = weights.repeat(1, channels)
            squared = weights @ sources.square().T - 2 * (values * weights) @ sources.T
            scene[:, ring] = middle[squared.argmin(1)].T
            known = known | ring
        return scene

    def _patches(self, images: Float[Tensor, "b C h w"]) -> Float[Tensor, "b P K"]:
        """All patches inside of images, K = C * patch^2, in raster order of their corners."""
        return F.unfold(images, self.patch).transpose(1, 2)

    def _image(
        self, patches: Float[Tensor, "b P K"], hidden: Bool[Tensor, "H W"]
    ) -> Float[Tensor, "b C H W"]:
        """Sum of all patches at their places."""
        return F.fold(patches.transpose(1, 2), tuple(hidden.shape), self.patch)


def _nearest(patches: Float[Tensor, "Q K"], sources: Float[Tensor, "S K"]) -> Tensor:
    """Of each patch the nearest source, the first of several."""
    exact = "donot_use_mm_for_euclid_dist"  # equal patches are at a distance of exactly 0
    return torch.cdist(patches, sources, compute_mode=exact).argmin(1)
