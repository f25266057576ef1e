"""How to train: what the loop, the command line and recipes know as the settings of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from boed.foundation.checks import Sized, at_least, more_than
from boed.foundation.memory import check_memory
from boed.foundation.registry import check_known

if TYPE_CHECKING:
    from boed.training.ranks import Ranks


def _asked(default: Any, text: str, **bounds: float) -> Any:
    """A field that the command line asks for, too; its help, and the bound that it must keep."""
    return field(default=default, metadata={"help": text, **bounds})


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train.

    Attributes:
        steps: updates in all; the learning rate follows a cosine to zero over them.
        batch: images per update, over all devices; each takes its `share`.
        lr: highest learning rate, reached after `warmup` steps.
        weight_decay, betas: of AdamW.
        ema: decay of the running average of weights, which is what comes out.
        clip: gradients of a larger norm are scaled down to it.
        skip: an update whose gradient norm is larger than this, or NaN, is not made.
            Buffers such as batch-norm statistics then stay as they were, too.
        patience: so many skipped updates in a row go back to the last good state.
        seed: for batches, masks and latent variables.
        bf16: run the forward pass under bfloat16 autocast.
        minutes: stop, resumably, after so much time in this call; 0 is no limit.
        every: steps between checkpoints and validations.
        device: cpu or cuda.
        devices: processes that train together on each machine, one for each GPU.
        nodes: machines that train together.

    Raises:
        ValueError: a number out of its range, or a batch that the devices cannot share.
    """

    steps: int = field(metadata={"help": "Updates; the preset's if not given.", "minimum": 1})
    batch: int = _asked(64, "Images per update; the preset's if not given.", minimum=1)
    lr: float = _asked(1e-3, "Highest learning rate; the preset's if not given.", above=0)
    warmup: int = 100
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.9)
    ema: float = 0.999
    clip: float = field(default=200.0, metadata={"above": 0})
    skip: float = field(default=math.inf, metadata={"above": 0})
    patience: int = field(default=50, metadata={"minimum": 1})
    seed: int = _asked(0, "Seed of everything random; 0 if not given.")
    bf16: bool = _asked(False, "bfloat16 autocast in the forward pass; as in the preset.")
    minutes: float = _asked(0.0, "Stop, resumably, after so long; 0 is no limit.", minimum=0)
    every: int = field(default=500, metadata={"minimum": 1})
    device: str = _asked("cpu", "cpu, the default, or cuda.")
    devices: int = _asked(1, "GPUs of this machine that train together.", minimum=1)
    nodes: int = _asked(1, "Machines that train together (docs/training.md).", minimum=1)

    def __post_init__(self) -> None:
        for each in fields(TrainingConfig):
            value = {each.name: getattr(self, each.name)}
            if "minimum" in each.metadata:
                at_least(each.metadata["minimum"], **value)
            if "above" in each.metadata:
                more_than(each.metadata["above"], **value)
        object.__setattr__(self, "betas", tuple(self.betas))  # files have lists
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema is {self.ema}, expected 0 <= ema < 1")
        check_known("device", self.device, ("cpu", "cuda"))
        if self.batch % (self.devices * self.nodes):
            raise ValueError(
                f"batch is {self.batch}, expected a multiple of the {self.devices * self.nodes} "
                "devices that share it"
            )

    @property
    def share(self) -> int:
        """Images per update that one device takes."""
        return self.batch // (self.devices * self.nodes)

    def check_batch(self, images: Sized) -> None:
        """Refuse a batch that one device has no room for.

        Raises:
            ValueError: its images alone need more memory than the limit.
        """
        pixels = images.channels * images.size**2
        check_memory(f"batch {self.batch}: {self.share} images at once", 4 * self.share * pixels)

    def ranks(self) -> Ranks:
        """This process among those that train together; starts them if there are to be several."""
        from boed.training.ranks import join

        return join(self.device, self.devices, self.nodes)
