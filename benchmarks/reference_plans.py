"""How every estimator is run on the reference problems, and where it cannot be exact."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Plan:
    """How one estimator is run on the reference problems.

    Attributes:
        estimator: its name in `MODEL_ESTIMATORS`.
        samples: outer samples.
        contrasts: inner samples.
        steps: of training.
        tolerance: added to the problem's, for what the estimator's family cannot express, nats.
        loose: problems where its family or its training leaves a gap, and why: there a bound is
            checked to be on its side of the truth, and what is no bound is shown only.
        skip: problems that it cannot handle, and why.
    """

    estimator: str
    samples: int = 12_000
    contrasts: int = 4_000
    steps: int = 0
    tolerance: float = 0.0
    loose: dict[str, str] = field(default_factory=dict)
    skip: dict[str, str] = field(default_factory=dict)

    def quick(self) -> Plan:
        """A quarter of the outer samples and half of the training."""
        return replace(self, samples=self.samples // 4, steps=self.steps // 2)


GUIDE = "a gap of the fitted guide is left at this budget"
CRITIC = "a gap of the learned critic or classifier is left at this budget"
DISCRETE = "discrete target"

PLANS = [
    Plan("nmc"),
    Plan("pce"),
    Plan("snmc"),
    Plan("ace", samples=4_000, contrasts=64, steps=500, loose={"constant elasticity": GUIDE}),
    Plan("vnmc", samples=4_000, contrasts=64, steps=500, loose={"constant elasticity": GUIDE}),
    Plan(
        "infonce",
        steps=500,
        tolerance=0.03,
        loose={"location finding A": CRITIC, "constant elasticity": CRITIC},
    ),
    Plan("pyro_nmc", samples=4_000),
    Plan(
        "posterior",
        steps=600,
        tolerance=0.03,
        loose={
            "location finding A": GUIDE,
            "location finding, unit square": GUIDE,
            "constant elasticity": GUIDE,
        },
    ),
    Plan(
        "marginal",
        steps=600,
        tolerance=0.02,
        skip={"constant elasticity": "y has point masses and a density, q(y) a density alone"},
    ),
    Plan(
        "marginal_likelihood",
        steps=600,
        tolerance=0.1,
        loose=dict.fromkeys(
            ["location finding A", "location finding, unit square"],
            "a gap of the learned q(y | theta) is left at this budget",
        ),
        skip={"constant elasticity": "y has point masses and a density, q(y) a density alone"},
    ),
    Plan(
        "pyro_vnmc",
        samples=2_000,
        contrasts=64,
        steps=400,
        tolerance=0.03,
        loose={"constant elasticity": GUIDE},
        skip={"finite space": DISCRETE, "class information": DISCRETE},
    ),
    Plan(
        "lfire",
        samples=200,
        contrasts=200,
        steps=300,
        tolerance=0.06,
        loose=dict.fromkeys(
            [
                "linear-Gaussian",
                "linear-Gaussian 1-D",
                "death process",
                "location finding A",
                "location finding, unit square",
                "constant elasticity",
                "hyperbolic discounting",
            ],
            CRITIC,
        ),
    ),
    Plan(
        "laplace",
        samples=200,
        steps=200,
        tolerance=0.02,
        loose={
            "death process": "the posterior is cut off at 0",
            "constant elasticity": "the posterior is not Gaussian",
            "hyperbolic discounting": "the posterior is not Gaussian",
            "location finding A": "the posterior is not Gaussian",
            "location finding, unit square": "the posterior is not Gaussian",
        },
        skip={"finite space": DISCRETE, "class information": DISCRETE},
    ),
    Plan(
        "donsker_varadhan",
        samples=48_000,
        steps=600,
        tolerance=0.05,
        loose=dict.fromkeys(
            [
                "linear-Gaussian",
                "linear-Gaussian 1-D",
                "death process",
                "location finding A",
                "location finding, unit square",
                "constant elasticity",
                "hyperbolic discounting",
            ],
            CRITIC,
        ),
    ),
]
