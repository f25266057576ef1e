"""How to train: what the loop, the command line and recipes know as the settings of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from boed.foundation.checks import Sized
from boed.foundation.memory import check_memory
from boed.foundation.options import COUNT, SEED, Kind, Number, OneOf, Switch, Whole, refusal
from boed.foundation.precision import PRECISIONS

if TYPE_CHECKING:
    from boed.training.ranks import Ranks


def unsaid(kind: type[Any]) -> dict[str, Any]:
    """Settings that recipes do not say while they have these values."""
    return {
        each.name: each.default if each.default_factory is MISSING else each.default_factory()
        for each in fields(kind)
        if each.metadata.get("unsaid")
    }


def _asked(default: Any, kind: Kind, text: str, *, unsaid: bool = False) -> Any:
    """A field that the command line asks for, too: what it may be, and its help.

    Recipes do not say the default of one that is `unsaid`.
    """
    return field(default=default, metadata={"kind": kind, "help": text, "unsaid": unsaid})


def _of(default: Any, kind: Kind) -> Any:
    """A field that only Python and recipes give."""
    return field(default=default, metadata={"kind": kind})


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
        precision: of the forward pass: `fp32`, `bf16` (autocast), or `auto`, whichever of them
            is faster where the training begins.
        minutes: stop, resumably, after so much time in this call; 0 is no limit.
        every: steps between checkpoints and validations.
        device: cpu or cuda.
        devices: processes that train together on each machine, one for each GPU.
        nodes: machines that train together.
        rates: factors of the learning rate for parts of the model, by how the names of their
            parameters begin; 1 for the rest.
        unit: what a batch consists of.

    Raises:
        ValueError: a number out of its range, or a batch that the devices cannot share.
    """

    unit: ClassVar[str] = "images"
    steps: int = field(metadata={"kind": COUNT, "help": "Updates; the preset's if not given."})
    batch: int = _asked(64, COUNT, "Images per update; the preset's if not given.")
    lr: float = _asked(1e-3, Number(above=0), "Highest learning rate; the preset's if not given.")
    warmup: int = _of(100, Whole(0))
    weight_decay: float = _of(0.01, Number(minimum=0))
    betas: tuple[float, float] = (0.9, 0.9)
    ema: float = 0.999
    clip: float = _of(200.0, Number(above=0, finite=False))
    skip: float = _asked(
        math.inf,
        Number(above=0, finite=False),
        "Make no update whose gradient norm is larger; the preset's if not given.",
        unsaid=True,
    )
    patience: int = _of(50, COUNT)
    seed: int = _asked(0, SEED, "Seed of everything random; 0 if not given.")
    precision: str = _asked("auto", OneOf(PRECISIONS), "fp32, bf16, or auto: the faster one here.")
    minutes: float = _asked(
        0.0, Number(minimum=0), "Stop, resumably, after so long; 0 is no limit."
    )
    every: int = _of(500, COUNT)
    device: str = _asked("cpu", OneOf(("cpu", "cuda")), "cpu, the default, or cuda.")
    devices: int = _asked(1, COUNT, "GPUs of this machine that train together.")
    nodes: int = _asked(1, COUNT, "Machines that train together (docs/training.md).")
    rates: dict[str, float] = field(default_factory=dict, metadata={"unsaid": True})

    def __post_init__(self) -> None:
        for each in fields(self):
            if "kind" in each.metadata:
                each.metadata["kind"].check(each.name, getattr(self, each.name))
        object.__setattr__(self, "betas", tuple(self.betas))  # files have lists
        if not isinstance(self.rates, Mapping):
            raise refusal("rates", self.rates, "factors by how names of parameters begin")
        for name, factor in self.rates.items():
            Number(above=0).check(f"rates: {name}", factor)
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema is {self.ema}, expected 0 <= ema < 1")
        if self.batch % (self.devices * self.nodes):
            raise ValueError(
                f"batch is {self.batch}, expected a multiple of the {self.devices * self.nodes} "
                "devices that share it"
            )

    def table(self) -> dict[str, Any]:
        """The fields by name, as headers and running states hold them; no rates if alike."""
        held = {**asdict(self), "skip": str(self.skip)}
        return {key: each for key, each in held.items() if key != "rates" or each}

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


@dataclass(frozen=True, kw_only=True)
class ClassifierTrainingConfig(TrainingConfig):
    """How to train a classifier.

    Attributes:
        augmentation: how training scenes are changed, a name of `AUGMENTATIONS`.
        balanced: each answer counts as if it were as frequent as the others, and beliefs are of
            such a population.
        smoothing: of the labels (Szegedy et al. 2016): so much goes to all answers alike.
    """

    augmentation: str = _asked(
        "none",
        OneOf("boed.classifiers.augmentation:AUGMENTATIONS"),
        "Of training scenes: none, light, or strong, for scenes from elsewhere.",
        unsaid=True,
    )
    balanced: bool = _asked(
        False,
        Switch(),
        "Count each answer as if it were as frequent as the others.",
        unsaid=True,
    )
    smoothing: float = _asked(
        0.0,
        Number(minimum=0, maximum=0.9),
        "Of the labels: so much goes to all answers alike.",
        unsaid=True,
    )


TARGETS = ("label", "belief", "information", "map")
"""What a value network may learn from."""


@dataclass(frozen=True, kw_only=True)
class LookTrainingConfig(TrainingConfig):
    """How to train a policy that says in one pass where to look.

    Attributes:
        batch: scenes per update.
        looks: T, at each scene.
        watched: scenes of val that each validation looks at.
        augmentation: how training scenes are changed, a name of `AUGMENTATIONS`.
    """

    unit: ClassVar[str] = "scenes"
    looks: int = _asked(4, COUNT, "At each scene; the preset's if not given.")
    watched: int = _of(512, COUNT)
    augmentation: str = _asked(
        "none",
        OneOf("boed.classifiers.augmentation:AUGMENTATIONS"),
        "Of training scenes: none, light, or strong; light for few pictures if not given.",
    )


@dataclass(frozen=True, kw_only=True)
class ValueTrainingConfig(LookTrainingConfig):
    """How to train a policy that values looks, on its own looks.

    Attributes:
        moments: of each scene, of its T looks, at which looks are judged.
        candidates: looks that are judged at each moment: the one taken, and random others; the one
            taken alone is what DIME judges.
        target: what a look gains: `label`, the fall of the log loss of the true label; `belief`,
            the same for what the classifier says of the whole scene; `information`, how far the
            look moves the classifier's belief, by Kullback-Leibler divergence; `map`, the EIG by a
            completer's samples.
        explore: probability of a random look at the end; it falls to that from 1 in a straight
            line.
        exploring: over so much of all steps.
        joint: the classifier learns, too, of what the policy shows it, and is written beside it.
    """

    moments: int = _asked(4, COUNT, "Of each scene, at which looks are judged; the preset's.")
    candidates: int = _asked(8, COUNT, "Looks judged at each moment; the preset's.")
    target: str = _asked(
        "label",
        OneOf(TARGETS),
        "label, belief (on the whole scene), information (moved belief) or map (of a completer).",
    )
    explore: float = _of(0.1, Number(minimum=0, maximum=1))
    exploring: float = _of(0.5, Number(above=0, maximum=1))
    joint: bool = _asked(
        False,
        Switch(),
        "Train the classifier along, on what the policy shows it; it is written beside.",
        unsaid=True,
    )

    def exploration(self, step: int) -> float:
        """The probability of a random look in a step."""
        done = min(step / (self.exploring * self.steps), 1)
        return 1 - (1 - self.explore) * done


PRICE = "Nats to be gained for each unit of a look's cost; of nonmyopic, or for a --problem."
"""Help of the option `--price`."""


@dataclass(frozen=True, kw_only=True)
class NonmyopicTrainingConfig(ValueTrainingConfig):
    """How to train a policy that values looks by all that follow.

    Attributes:
        price: nats that a look has to gain for each unit of its cost.
    """

    price: float = _asked(0.0, Number(minimum=0), PRICE)


@dataclass(frozen=True, kw_only=True)
class GreedyTrainingConfig(LookTrainingConfig):
    """How to train a selector of looks with a predictor of the label.

    Attributes:
        temperature: of the relaxed choice at the beginning; it falls in a geometric sequence.
        coolest: at the end.
    """

    temperature: float = _asked(
        1.0, Number(above=0), "Of the relaxed choice at the beginning; greedy."
    )
    coolest: float = _of(0.1, Number(above=0))

    def cooled(self, step: int) -> float:
        """The temperature in a step."""
        done = step / max(self.steps - 1, 1)
        return float(self.temperature * (self.coolest / self.temperature) ** done)


LOOK_TRAININGS: dict[str, type[LookTrainingConfig]] = {
    "value": ValueTrainingConfig,
    "greedy": GreedyTrainingConfig,
    "nonmyopic": NonmyopicTrainingConfig,
}
"""How each policy of a network is trained."""


POLICY_METHODS = ("dad", "fixed", "idad", "rl", "vsoed")
"""How a policy for a Pyro model is trained; `boed.deep_adaptive.objectives` has them."""


@dataclass(frozen=True, kw_only=True)
class PolicyTrainingConfig(TrainingConfig):
    """How to train a policy for a Pyro model.

    Attributes:
        batch: experiments per update.
        precision: fp32, which designs and sums of log-likelihoods need.
        looks: T, of each experiment.
        contrasts: L, draws of theta that the truth is contrasted with. sPCE cannot exceed
            log(L + 1) nats, and its gradient fades as it gets near.
        limit: of the gradient that reaches each coordinate of a design, in nats per the policy's
            unit.
        price: nats that a unit of cost is worth: what the looks and the ways between them cost is
            taken off the gain.
        at_once: looks that are chosen together, before any of them has an outcome.
        near: share of the contrasts that are drawn near the truth, which raises what training can
            gain from ln(L + 1) to 20.8 nats (`boed.deep_adaptive.nearby`).
        budget: of cost; an experiment whose next look costs more than is left makes no more. 0 is
            no limit.
        watched: experiments that each validation averages over, with 4 times the contrasts.

    Raises:
        ValueError: a number out of its range, or looks that do not divide by `at_once`.
    """

    unit: ClassVar[str] = "experiments"
    steps: int = _asked(8000, COUNT, "Updates; the preset's if not given.")
    batch: int = _asked(256, COUNT, "Images or experiments per update; the preset's if not given.")
    weight_decay: float = _of(0.0, Number(minimum=0))
    betas: tuple[float, float] = (0.9, 0.99)
    precision: str = _asked("fp32", OneOf(PRECISIONS), "fp32, bf16, or auto: the faster one here.")
    clip: float = _of(1.0, Number(above=0, finite=False))
    looks: int = _asked(10, COUNT, "At each scene, or in each experiment; the preset's.")
    contrasts: int = _asked(1023, COUNT, "L, that the truth is told from; sPCE is at most ln(L+1).")
    limit: float = _of(2.0, Number(above=0))
    price: float = _asked(0.0, Number(minimum=0), PRICE)
    at_once: int = _asked(
        1, COUNT, "Looks chosen together, before any has an outcome; not fixed.", unsaid=True
    )
    budget: float = _asked(
        0.0, Number(minimum=0), "Of cost in each experiment; of rl. 0 is no limit.", unsaid=True
    )
    near: float = _asked(
        0.0,
        Number(minimum=0, maximum=0.9),
        "Share of contrasts near the truth; of dad, fixed, rl.",
        unsaid=True,
    )
    watched: int = _of(512, Whole(2))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.looks % self.at_once:
            raise ValueError(
                f"looks is {self.looks}, expected a multiple of at_once, {self.at_once}"
            )
        if self.near:
            Whole(2).check("contrasts", self.contrasts)

    def table(self) -> dict[str, Any]:
        """As `TrainingConfig.table`; no budget, and no looks at once, where there is one."""
        held = super().table()
        always = unsaid(TrainingConfig)
        left_out = {key: each for key, each in unsaid(type(self)).items() if key not in always}
        return {key: each for key, each in held.items() if left_out.get(key) != each}

    @property
    def most(self) -> float:
        """The budget, infinite where there is no limit."""
        return self.budget or math.inf
