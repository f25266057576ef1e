"""A trained policy with the problem that it is for: what an experiment asks for the next design."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from boed.deep_adaptive.config import PolicyConfig
from boed.deep_adaptive.experiments import choose_next
from boed.deep_adaptive.network import DeepAdaptiveDesign
from boed.deep_adaptive.objectives import Trainable
from boed.deep_adaptive.static_design import StaticDesign
from boed.deep_adaptive.training import train_policy
from boed.eig.model.design_space import DesignSpace
from boed.eig.model.pyro_model import Model, site_model
from boed.foundation.arguments import checked
from boed.foundation.files import load_weights, sha256
from boed.foundation.fingerprint import is_users, of_function
from boed.foundation.identity import DIGITS, check_same
from boed.foundation.numbers import as_numbers
from boed.foundation.randomness import derive
from boed.foundation.registry import check_known
from boed.problems.names import problem_facts
from boed.problems.problem import Experiment, space_of
from boed.training.checkpoints import check_layers
from boed.training.config import POLICY_METHODS, PolicyTrainingConfig

History = Sequence[tuple[Tensor, Tensor]]
"""The looks of one experiment in order: design `[K]` and outcome `[*Y]` of each."""


SIZES: dict[str, Any] = {"hidden": 256, "embedding": 64, "activation": "relu"}
"""Of a network of which nothing else is said."""


def stacked(history: History) -> tuple[Float[Tensor, "1 t K"], Float[Tensor, "1 t *Y"]]:
    """Designs and outcomes of one experiment, as a batch of one."""
    designs, outcomes = zip(*history, strict=True)
    return tuple(  # type: ignore[return-value]
        torch.stack([_floats(name, each) for each in looks])[None]
        for name, looks in (("design", designs), ("outcome", outcomes))
    )


def _floats(name: str, value: object) -> Tensor:
    """Numbers as they are, whole ones as doubles."""
    numbers = as_numbers(name, value)
    return numbers if numbers.is_floating_point() else numbers.double()


FILES: dict[str, Any] = {"deep adaptive design": DeepAdaptiveDesign, "fixed design": StaticDesign}
"""What a checkpoint of a policy holds."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DesignPolicy:
    """A policy for one problem and horizon.

    It is also what `boed.eig.model.sequential` takes: `policy(designs, outcomes)`.

    Attributes:
        network: chooses the designs.
        about: the problem that it was trained for and its horizon, in words.
        facts: of the problem (`problem_facts`); None if its checkpoint does not say.
        looks: T, for which it was trained.
        name: how it was trained, such as `dad`.
        space: the designs that there are; what the network chooses is brought into it.
    """

    network: Trainable
    about: str
    facts: dict[str, Any] | None
    looks: int
    name: str
    space: DesignSpace | None = None

    @torch.no_grad()
    def next(self, history: History) -> Float[Tensor, "*Q K"]:
        """The next design of an experiment, or `[at_once, K]` of those that are chosen together.

        Raises:
            ValueError: the horizon is reached, or a look does not have the network's shape.
        """
        if not history:
            return self._chosen(self.network.start(1), 0)[0].detach()
        return self(*stacked(history))[0].detach()

    def __call__(
        self, designs: Float[Tensor, "B t K"], outcomes: Float[Tensor, "B t *Y"]
    ) -> Float[Tensor, "B *Q K"]:
        """The next design of each experiment, of the precision of those before.

        `[B, at_once, K]` where several are chosen together, or as many as are left.

        Raises:
            ValueError: the horizon is reached, or the looks do not have the network's shape.
        """
        summary = self.network.summarise(designs, outcomes)
        chosen = self._chosen(summary, designs.shape[1]).to(designs.dtype)
        return chosen if self.space is None else self.space.nearest(chosen)  # to the last digit

    @property
    def at_once(self) -> int:
        """Looks that are chosen together, before any of them has an outcome."""
        return self.network.at_once

    def _chosen(self, summary: Any, made: int) -> Float[Tensor, "B *Q K"]:
        if made >= self.looks:
            raise ValueError(
                f"history has {made} looks; policy {self.name} was trained for {self.looks} and "
                "has no further one"
            )
        number = min(self.at_once, self.looks - made)
        return choose_next(self.network, summary, number, space=self.space)

    def check_model(self, model: Model, looks: int | None = None) -> None:
        """Refuse another model, or more looks, than the policy was trained for.

        Of a model of which it cannot be told whether it is another one, nothing is said.

        Args:
            model: the Pyro program to be looked at: a function, or the `model` of a problem.
            looks: how many; not checked if not given.

        Raises:
            ValueError: naming what differs, there and here.
        """
        if looks is not None and looks > self.looks:
            raise ValueError(
                f"policy {self.name} is for {self.about}, and {looks} looks are asked for; "
                f"expected at most {self.looks}"
            )
        if self.facts is None:
            return
        problem = getattr(model, "__self__", None)
        ours = dict(self.facts)
        if problem is not None and isinstance(getattr(problem, "name", None), str):
            ours = problem_facts(problem)
        elif is_users(model) and "model" in self.facts:
            ours["model"] = of_function(model)[:DIGITS]
        elif is_users(model):
            ours["name"] = getattr(model, "__name__", "a model of one's own")
        check_same(
            f"policy {self.name} is for another model ({self.about})",
            self.facts,
            ours,
            advice="train one for this model (`boed train policy`), or give `policy.network` to "
            "see how it does with another one",
        )

    def check_for(self, problem: Experiment, looks: int) -> None:
        """Refuse another problem or horizon than the policy was trained for.

        Raises:
            ValueError: naming what differs, there and here.
        """
        theirs: dict[str, Any] = {"problem": self.about}
        ours: dict[str, Any] = {"problem": described(problem, looks, at_once=self.at_once)}
        if self.facts is not None:
            theirs |= self.facts
            ours |= problem_facts(problem)
        check_same(
            f"policy {self.name} is for another experiment",
            theirs,
            ours,
            advice="train one for this problem and horizon (`boed train policy`)",
        )


@checked
def design_policy(
    path: Path | str, problem: Experiment | None = None, looks: int | None = None
) -> DesignPolicy:
    """A trained policy by its checkpoint.

    Args:
        path: of the file.
        problem, looks: what it has to be for; not checked if not given. A problem with a design
            space has to be given.

    Raises:
        ValueError: the file is missing, damaged, or holds something else; or it is for another
            problem or horizon.
    """
    _, header = load_weights(path, *FILES)
    policy = _loaded(FILES[header["kind"]].load(path), header, space_of(problem))
    if problem is not None:
        policy.check_for(problem, policy.looks if looks is None else looks)
    elif policy.facts is not None and "space" in policy.facts:
        raise ValueError(
            f"policy {path} is for {policy.about}, with designs "
            f"{policy.facts['space']['designs']}; expected the problem as well, whose space says "
            "which these are"
        )
    return policy


@checked
def train_design_policy(
    problem: Experiment,
    method: str = "dad",
    *,
    settings: PolicyTrainingConfig | None = None,
    architecture: PolicyConfig | None = None,
    init: Path | str | None = None,
    out: Path | str | None = None,
    provenance: dict[str, Any] | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> DesignPolicy:
    """Train a policy for a problem, resumably.

    Args:
        problem: the model, its sites and the bounds of its designs, or their `space`.
        method: a name of `POLICY_METHODS`.
        settings: horizon, contrasts, updates, seed; the defaults if not given.
        architecture: of the network; of the size that the problem asks for if not given.
        init: checkpoint of a policy to start from.
        out: checkpoint to write; see `train_policy`.
        provenance: what else its header should say.
        on_step: called with step and loss.

    Raises:
        ValueError: an unknown method (the nearest is suggested), one that the model cannot be
            trained by, `init` is of another network, and what `train_policy` refuses.
    """
    check_known("method", method, POLICY_METHODS)
    settings = settings or PolicyTrainingConfig()
    before = torch.get_rng_state()
    torch.manual_seed(derive(settings.seed, "designs" if method == "fixed" else "weights"))
    config = architecture or architecture_for(problem)
    config = replace(config, at_once=settings.at_once) if config.at_once == 1 else config
    network: Any = DeepAdaptiveDesign(config)
    if method == "fixed":
        start = network.within(torch.randn(settings.looks, config.design_dim))
        network = StaticDesign(start, problem.bounds, logarithmic=config.logarithmic)
    torch.set_rng_state(before)
    begun = None if init is None else start_from(network, init)
    about = {
        "problem": described(problem, settings.looks, at_once=settings.at_once),
        "experiment": problem_facts(problem),
        "method": method,
        "init": begun,
        **(provenance or {}),
    }
    network = train_policy(
        problem.model,
        network,
        settings,
        method=method,
        out=out,
        observation=problem.observation,
        target=problem.target,
        space=space_of(problem),
        provenance=about,
        on_step=on_step,
    )
    header = about | {"settings": {"looks": settings.looks}}
    return _loaded(network, header, space_of(problem))


def start_from(network: Trainable, path: Path | str) -> dict[str, Any]:
    """Give a network the weights of a checkpoint, and the units that it works in.

    Returns:
        Where those weights come from: problem, method, steps and checksum.

    Raises:
        ValueError: the checkpoint is of no policy, or of a network of other layers.
    """
    _, header = load_weights(path, *FILES)
    weights = FILES[header["kind"]].load(path).state_dict()
    theirs = header.get("config", {}).get("at_once", 1)
    if theirs != network.at_once:
        raise ValueError(
            f"init {path} chooses {theirs} looks at once, expected {network.at_once} (at_once)"
        )
    check_layers(f"init {path}", weights, network.state_dict())
    network.load_state_dict(weights)
    said = {key: header.get(key) for key in ("problem", "method", "steps")}
    return {**said, "sha256": sha256(path)}


def described(problem: Experiment, looks: int, *, at_once: int = 1) -> str:
    """A problem and its horizon, in words."""
    together = f", {at_once} at once" if at_once > 1 else ""
    return f"{problem.name}, T = {looks}{together}"


def architecture_for(problem: Experiment, **sizes: Any) -> PolicyConfig:
    """A network that fits a problem's designs and outcomes.

    Args:
        problem: its finite set of `designs`, else its bounds, else its `dimensions` say what a
            design is; one number if it has none of these. A `space` goes before the first two.
        sizes: other fields of `PolicyConfig`; those of `SIZES` if not given.

    Raises:
        ValueError: the model fails on the middle of its designs, or lacks its observation.
    """
    bounds, designs, space = problem.bounds, getattr(problem, "designs", None), space_of(problem)
    if space is not None:
        bounds, designs = space.bounds, None if space.designs is None else space.permitted
    if designs is not None:
        rows = tuple(map(tuple, designs.tolist()))
        shape: dict[str, Any] = {"design_dim": len(rows[0]), "designs": rows}
    elif bounds is None:
        shape = {"design_dim": getattr(problem, "dimensions", 1)}
    else:
        lower, upper = (tuple(row) for row in bounds.tolist())
        shape = {"design_dim": len(lower), "lower": lower, "upper": upper}
    if designs is not None or bounds is not None:
        shape["logarithmic"] = getattr(problem, "logarithmic", None)
    example = DeepAdaptiveDesign(PolicyConfig(**{**shape, "hidden": 1, "embedding": 1})).middle
    example = example if space is None else space.nearest(example)
    with torch.random.fork_rng():
        looked = site_model(
            problem.model,
            example[None],
            problem.observation,
            target=problem.target,
            estimator="deep adaptive design",
        ).simulate(example[None])
    shape["outcome_dim"] = looked.outcomes[problem.observation].numel()
    shape["outcome_scale"] = getattr(problem, "outcome_scale", "linear")
    return PolicyConfig(**{**shape, **SIZES, **sizes})


def _loaded(network: Trainable, header: dict[str, Any], space: DesignSpace | None) -> DesignPolicy:
    default = "fixed" if isinstance(network, StaticDesign) else "dad"
    return DesignPolicy(
        network=network,
        about=header.get("problem", "a problem that its checkpoint does not name"),
        facts=header.get("experiment"),
        looks=header.get("settings", header.get("fit", {}))["looks"],
        name=header.get("method", default),
        space=space,
    )
