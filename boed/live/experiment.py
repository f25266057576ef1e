"""A session with a Pyro model that answers messages."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from boed.deep_adaptive import design_policy
from boed.eig.model.design_space import DesignSpace
from boed.foundation.arguments import checked
from boed.foundation.shipped import shipped, shipped_names
from boed.live.messages import Answering
from boed.problems.names import problem_named
from boed.session import ModelSession
from boed.session.log import check_is_log


class LiveExperiment(Answering):
    """A `ModelSession` beside what is needed to talk about it, one message after another.

    Args:
        session: the session.

    Attributes:
        limit: bytes of a message, at most.
    """

    actions: ClassVar = ("next", "ingest", "state", "posterior")

    def __init__(self, session: ModelSession) -> None:
        self.session = session
        self.limit = 2**24

    def close(self) -> None:
        """Let another process have the log."""
        self.session.close()

    def next(self) -> dict[str, Any]:
        """The designs that have no outcome yet; new ones if there are none."""
        suggested = self.session.suggest()
        width = self.session.example.shape
        designs = [] if suggested is None else suggested.reshape(-1, *width).tolist()
        return {"designs": designs, "reason": None if designs else self.session.reason}

    @checked
    def ingest(
        self, outcome: float | list[Any], design: list[float] | None = None
    ) -> dict[str, Any]:
        """Take an outcome, of the first design that has none or of the one that is given."""
        self.session.ingest(outcome, design)
        return {"looks": len(self.session.designs), "spent": self.session.spent}

    def state(self) -> dict[str, Any]:
        """All looks so far, and what they cost."""
        session, budget = self.session, self.session.budget
        return {
            "designs": session.designs.tolist(),
            "outcomes": session.outcomes.tolist(),
            "waiting": session.waiting().tolist(),
            "spent": session.spent,
            "budget": None if math.isinf(budget) else budget,
            "horizon": session.looks,
            "reason": session.reason,
        }

    @checked
    def posterior(self, particles: int = 4096) -> dict[str, Any]:
        """Mean and standard deviation of each latent site."""
        known = self.session.posterior(particles)
        of = {"mean": known.mean, "standard_deviation": known.standard_deviation}
        return {
            site: {name: _finite(site, value(site)) for name, value in of.items()}
            for site in known.latents
        }


def make_experiment(
    problem: str,
    policy: str,
    *,
    path: Path | None = None,
    budget: float | None = None,
    seed: int = 0,
) -> LiveExperiment:
    """A session by the names of its parts.

    Args:
        problem: as `boed train policy --problem` has it.
        policy: trained for it, by path or by the name of a shipped one.
        path: folder of the log; kept in memory alone if not given.
        budget: of cost.
        seed: of the posterior's random numbers.

    Raises:
        ValueError: an unknown problem, a policy of another one, or a folder that is in use, damaged
            or of another session.
        OSError: the folder cannot be written.
    """
    if path is not None:
        check_is_log(path)
    made = problem_named(problem)
    file = shipped(policy) if policy in shipped_names("policies") else Path(policy)
    if not file.is_file():
        names = ", ".join(each for each in shipped_names("policies") if "value" not in each)
        raise ValueError(
            f"policy is {policy!r}, expected a checkpoint of `boed train policy`, or one that is "
            f"shipped for a --problem: {names}"
        )
    trained = design_policy(file, made)
    first, space = trained.next([]), trained.space
    if space is None and made.bounds is not None:
        space = DesignSpace(bounds=made.bounds)
    return LiveExperiment(
        ModelSession(
            made.model,
            trained,
            first.reshape(-1, trained.network.design_dim)[0],
            path=path,
            observation=made.observation,
            target=made.target,
            space=space,
            budget=math.inf if budget is None else budget,
            seed=seed,
        )
    )


def _finite(site: str, value: Tensor) -> Any:
    if not bool(value.isfinite().all()):
        raise ValueError(f"posterior of {site} is not finite; expected more particles")
    return value.tolist()
