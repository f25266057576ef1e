"""The processes that train one model together: one alone, or several through Lightning Fabric."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")

PATIENCE = timedelta(hours=6)
"""How long the ranks wait for one another: the first validates while the others wait."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        device: where this process keeps its copy of the model.
        number: how many processes there are, over all machines.
        rank: which of them this one is, from 0.
        fabric: what connects them, if there are several.
    """

    device: torch.device
    number: int = 1
    rank: int = 0
    fabric: Fabric | None = None

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and shows progress."""
        return self.rank == 0

    def first_says(self, value: T) -> T:
        """The first rank's value, on all ranks."""
        return value if self.fabric is None else self.fabric.broadcast(value)

    def agree(self, value: int) -> bool:
        """Whether all ranks have the same value; the answer is the same on all of them."""
        differs = torch.tensor(float(value != self.first_says(value)), device=self.device)
        self.average_([differs])
        return float(differs) == 0

    def copy_first(self, model: nn.Module) -> None:
        """Give all ranks the first one's weights and buffers."""
        if self.fabric is not None:
            weights = {name: each.cpu() for name, each in model.state_dict().items()}
            model.load_state_dict(self.fabric.broadcast(weights))

    def average_(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its mean over the ranks, all in one exchange."""
        if self.fabric is None:
            return
        flat = torch.cat([each.reshape(-1) for each in tensors])
        means = self.fabric.all_reduce(flat, reduce_op="mean")
        assert isinstance(means, Tensor)
        parts = means.split([each.numel() for each in tensors])
        for each, part in zip(tensors, parts, strict=True):
            each.copy_(part.view_as(each))

    def wait(self) -> None:
        """Go on when all ranks have come here."""
        if self.fabric is not None:
            self.fabric.barrier()


@functools.cache
def join(device: str = "cpu", devices: int = 1, nodes: int = 1) -> Ranks:
    """This process among the ranks, which are started if nothing else has started them.

    Several are started by running the same command again for each further device of this machine.
    Processes that torchrun or a cluster's scheduler started are found by their environment
    variables. The first call decides; the same call again returns the same ranks.

    Args:
        device: cpu or cuda.
        devices: processes on each machine, each with a GPU of its own if `device` is cuda.
        nodes: machines; each runs the same command.

    Raises:
        ValueError: more GPUs than there are, another number of processes than asked for, or
            lightning-fabric is not installed.
    """
    present = torch.cuda.device_count() if device == "cuda" else devices
    if devices > present:
        raise ValueError(f"device is 'cuda' and devices {devices}, but torch sees {present} GPUs")
    if devices * nodes == 1:
        started = int(os.environ.get("WORLD_SIZE", "1"))
        if "TORCHELASTIC_RUN_ID" in os.environ and started > 1:
            raise ValueError(
                f"devices is 1 and nodes 1, but torchrun started {started} processes; give devices "
                "(per machine) and nodes"
            )
        return Ranks(device=torch.device(device))
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy
    except ImportError as error:
        raise ValueError(
            f"devices is {devices} and nodes {nodes}: more than one needs lightning-fabric; "
            "pip install 'boed[distributed]'"
        ) from error
    strategy = DDPStrategy(timeout=PATIENCE)
    fabric = Fabric(accelerator=device, devices=devices, num_nodes=nodes, strategy=strategy)
    fabric.launch()
    if fabric.world_size != devices * nodes:
        raise ValueError(
            f"devices is {devices} and nodes {nodes}, expected {devices * nodes} processes, but "
            f"{fabric.world_size} were started"
        )
    return Ranks(
        device=fabric.device, number=fabric.world_size, rank=fabric.global_rank, fabric=fabric
    )
