"""Searches against the exhaustive one, and against exact answers."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from boed.acquire import acquire
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completions, complete
from boed.data.observation import Observation
from boed.eig import ESTIMATORS, design_problem, estimate
from boed.eig.completions.problem import DesignProblem
from boed.policies import BOED, FirstLook
from boed.problems import DeathProcess, LinearGaussian
from boed.search import (
    CoarseToFine,
    Exhaustive,
    Racing,
    Search,
    bayesian_optimisation,
    gradient_ascent,
    greedy_batch,
    greedy_joint,
)
from boed.search.candidates.batch import JointProblem
from boed.search.candidates.design_geometry import farthest_points, neighbours, scaled
from boed.search.candidates.evaluations import Evaluations
from boed.search.candidates.upper_bounds import upper_bound
from boed.search.continuous.off_grid import off_grid
from boed.search.continuous.pce_objective import PCEObjective
from boed.sensors import Features, PatchSensor
from tests.doubles import CLUE, TILES, ClueClassifier, ClueCompleter, Clues

ADDITIVE = ("variational", "entropy", "accuracy")


class Table:
    """Stands for `DesignProblem`: gains [N, B, D] that are known, for `OfTable`."""

    def __init__(
        self, gains: Tensor, designs: Tensor | None = None, weights: Tensor | None = None
    ) -> None:
        number, batch, candidates = gains.shape
        self.gains, self.shape, self.prior = gains, tuple(gains.shape), torch.zeros(batch, 1)
        self.designs = torch.arange(candidates)[:, None].float() if designs is None else designs
        equal = torch.full((number, batch), 1 / number)
        scenes = torch.zeros(number, batch, 1, 1, 1)
        self.completions = Completions(scenes, equal if weights is None else weights)
        self.posterior = gains[..., None]

    def posterior_at(self, completion: Tensor, scene: Tensor, candidate: Tensor) -> Tensor:
        return self.gains[completion, scene, candidate][:, None]

    @property
    def eig(self) -> Tensor:
        return torch.einsum("nb,nbd->bd", self.completions.weights, self.gains)


class OfTable:
    """The additive estimator whose gains are those of a `Table`."""

    bound = "none"
    needs_whole_scene = False

    def from_log_beliefs(
        self, prior: Tensor, posterior: Tensor, *, whole_scene: Any = None, weights: Any = None
    ) -> Any:
        return posterior[..., 0].mean(0), posterior[..., 0]

    def __call__(self, table: Table) -> Any:
        return table.eig, table.gains


class Limited(OfTable):
    """The same with an upper bound."""


@upper_bound.register
def _(estimator: Limited, table: Table) -> Tensor:
    return table.gains.amax(2) + 0.1


def search(how: Search, table: Table, limited: bool = True) -> Any:
    return how(table, Limited() if limited else OfTable())  # type: ignore[arg-type]


def clue_situation(grid: int = 7, scenes: int = 6, n: int = 8) -> DesignProblem:
    """After one look at the centre, where there is no clue."""
    clues = Clues(TILES)
    sensor, completer = PatchSensor(16, 0.25, grid), ClueCompleter(clues)
    scene = clues.dataset(scenes, 3).scenes()
    blank = Observation.of(scene, torch.zeros_like(scene[:, :1]))
    seen = sensor.observe(blank, scene, torch.tensor([[4, 4]]).expand(scenes, -1))
    drawn = complete(completer, seen, n, seed=1)
    weights = torch.rand(n, scenes, generator=torch.Generator().manual_seed(2)) + 0.1
    drawn = Completions(drawn.scenes, weights / weights.sum(0))
    return design_problem(seen, drawn, sensor, classifier=ClueClassifier())


def skewed(batch: int, candidates: int, seed: int = 0) -> Table:
    """Gains as they are: mostly near the top, some of them far below; and unequal weights."""
    draw = torch.Generator().manual_seed(seed)
    gains = -(torch.rand(10, batch, candidates, generator=draw) ** 4) * 5
    gains = gains + torch.rand(batch, candidates, generator=draw)
    weights = torch.rand(10, batch, generator=draw) ** 2 + 1e-3
    return Table(gains, weights=weights / weights.sum(0))


@pytest.mark.parametrize("name", ADDITIVE)
def test_evaluations_hold_the_exhaustive_gains(name: str) -> None:
    problem, estimator = clue_situation(), ESTIMATORS[name]
    evaluations = Evaluations(problem, estimator)
    some = torch.rand(problem.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    evaluations.evaluate(some)
    evaluations.evaluate(torch.zeros_like(some))
    full = estimate(problem, estimator)
    assert full.gains is not None
    assert torch.equal(evaluations.done, some)
    assert torch.allclose(evaluations.gains[some], full.gains[some], atol=1e-5)
    assert evaluations.gains[~some].isnan().all()
    evaluations.evaluate(torch.ones_like(some))
    result = evaluations.estimate()
    assert torch.allclose(result.eig, full.eig, atol=1e-5)
    assert torch.allclose(result.standard_error, full.standard_error, atol=1e-5)
    assert result.evaluations == some.numel()


@pytest.mark.parametrize(
    "how", [Racing(), Racing(first=3, error=0.05), CoarseToFine(), CoarseToFine(then=Racing())]
)
def test_what_a_search_returns_fits_together(how: Search) -> None:
    problem, estimator = clue_situation(), ESTIMATORS["variational"]
    result, full = how(problem, estimator), estimate(problem, estimator)
    assert result.gains is not None
    assert result.finished is not None
    assert full.gains is not None
    judged = ~result.gains.isnan()
    assert torch.equal(result.finished, judged.all(0))
    assert result.finished.any(1).all()
    assert result.evaluations == int(judged.sum())
    assert result.evaluations < judged.numel()
    assert torch.allclose(result.gains[judged], full.gains[judged], atol=1e-5)
    assert torch.allclose(result.eig[result.finished], full.eig[result.finished], atol=1e-5)
    assert torch.equal(result.eig.isnan(), ~judged.any(0))
    if how == Racing():
        ready = result.eig.where(result.finished, -torch.inf)
        assert (full.eig.amax(1) - ready.amax(1)).abs().max() < 1e-5
    assert result.bound == "lower"


@pytest.mark.parametrize("scouts", [1, 5])
def test_racing_by_limits_never_loses_the_best(scouts: int) -> None:
    table = skewed(400, 40)
    result = search(Racing(scouts=scouts), table)
    best = table.eig.argmax(1)
    assert torch.equal(result.eig.where(result.finished, -torch.inf).argmax(1), best)
    assert result.evaluations < 0.7 * table.gains.numel()


def test_racing_keeps_ties() -> None:
    """Policies choose among ties at random, and must be offered all of them."""
    table = skewed(50, 20)
    twice = Table(table.gains.repeat(1, 1, 2), weights=table.completions.weights)
    result = search(Racing(), twice)
    best = table.eig.argmax(1, keepdim=True)
    assert result.finished.gather(1, torch.cat([best, best + 20], dim=1)).all()


def test_t_intervals_keep_their_promise_for_gaussian_gains() -> None:
    """The best of 10 is dropped in at most 20 % of 2,000 races, + 3 standard errors."""
    draw = torch.Generator().manual_seed(0)
    common = torch.randn(12, 2000, 1, generator=draw) * 3  # cancels in differences
    gains = common + torch.randn(12, 2000, 10, generator=draw)
    gains = gains + torch.linspace(0, 3, 10)
    weights = torch.rand(12, 2000, generator=draw) + 0.2
    table = Table(gains, weights=weights / weights.sum(0))
    result = search(Racing(first=4, error=0.2), table, limited=False)
    share = result.finished.gather(1, table.eig.argmax(1, keepdim=True)).float().mean()
    assert share > 0.8 - 3 * (0.16 / 2000) ** 0.5
    assert result.evaluations < 0.75 * gains.numel()


def test_horses_that_finish_level_are_parted_as_often_as_the_error_says() -> None:
    """Half of the run seen; the t-interval is exact for Gaussian gains. 4 standard errors."""
    draw = torch.Generator().manual_seed(1)
    gains = torch.randn(8, 40000, 2, generator=draw)
    gains = gains - gains.mean(0)
    result = search(Racing(first=4, growth=2, error=0.3), Table(gains), limited=False)
    parted = float((~result.finished).any(1).float().mean())
    assert parted == pytest.approx(0.3, abs=4 * (0.21 / 40000) ** 0.5)


def test_racing_schedule_ends_with_all() -> None:
    assert Racing().schedule(10) == list(range(1, 11))
    assert Racing(first=4, growth=2).schedule(10) == [4, 8, 10]
    assert Racing(first=4).schedule(3) == [3]


@pytest.mark.parametrize("name", ["mixture", "variance", "predictive_entropy"])
def test_estimators_that_need_all_completions(name: str) -> None:
    problem, estimator = clue_situation(), ESTIMATORS[name]
    with pytest.raises(ValueError, match=r"estimator: \w+ cannot evaluate completions one by one"):
        Racing()(problem, estimator)
    with pytest.raises(ValueError, match="cannot evaluate completions one by one"):
        CoarseToFine(then=Racing())(problem, estimator)
    result, full = CoarseToFine(around=2)(problem, estimator), estimate(problem, estimator)
    assert result.finished is not None
    assert 0 < result.finished.sum() < result.finished.numel()
    assert torch.allclose(result.eig[result.finished], full.eig[result.finished], atol=1e-5)


def test_racing_without_a_limit_needs_an_error() -> None:
    with pytest.raises(ValueError, match="error is 0, but no limit of a gain of OfTable is known"):
        search(Racing(), skewed(3, 5), limited=False)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_coarse_to_fine_finds_a_smooth_peak_anywhere(dimensions: int) -> None:
    """One Gaussian bump per scene over 500 scattered designs in units of very different size."""
    draw = torch.Generator().manual_seed(0)
    points = torch.rand(500, dimensions, generator=draw)
    peaks = torch.rand(60, dimensions, generator=draw)
    eig = torch.exp(-4 * torch.cdist(peaks, points) ** 2)
    table = Table(eig.expand(3, -1, -1), points * 10.0 ** torch.arange(dimensions))
    result = search(CoarseToFine(coarse=0.1, around=4), table)
    assert torch.equal(result.eig.where(result.finished, -torch.inf).argmax(1), eig.argmax(1))
    assert result.evaluations < 0.45 * table.gains.numel()
    assert len(result.finished.unique(dim=0)) > 30  # each scene refines its own


def test_the_coarse_part_of_a_grid_is_every_other_position() -> None:
    spots = torch.arange(17)
    points = scaled(torch.cartesian_prod(spots, spots))
    chosen, gap = farthest_points(points, torch.ones(289, dtype=torch.bool), 81)
    assert set(chosen.tolist()) == {17 * r + c for r in range(0, 17, 2) for c in range(0, 17, 2)}
    assert gap == pytest.approx(2**0.5 / 16)
    near = torch.cdist(points, points) <= gap * 1.0001
    eig = torch.full((1, 289), torch.nan)
    eig[0, 17 * 8 + 8] = 1
    around = neighbours(eig, near, 3)[0].nonzero()[:, 0].tolist()
    assert around == [17 * r + c for r in (7, 8, 9) for c in (7, 8, 9)]


def test_coarse_to_fine_of_all_candidates_is_exhaustive() -> None:
    table = skewed(10, 20)
    result = search(CoarseToFine(coarse=1.0), table)
    assert result.finished.all()
    assert torch.allclose(result.eig, table.eig, atol=1e-6)


class Opinionated:
    """A belief that every pixel moves."""

    def log_probs(self, observation: Observation) -> Tensor:
        weights = torch.randn(256, 3, generator=torch.Generator().manual_seed(0))
        return (observation.values.flatten(1) @ weights).log_softmax(1)


@pytest.mark.parametrize("estimator", ["variational", "entropy"])
def test_retrieved_completions_are_raced_with_their_weights(estimator: str) -> None:
    clues = Clues(TILES)
    scene = clues.dataset(6, 3).scenes()
    sensor, policies = PatchSensor(16, 0.25, 7), []
    for how in (Exhaustive(), Racing()):
        completer = Retrieval(clues.dataset(40, 8), bandwidth=0.3)
        policies.append(
            BOED(
                completer,
                Opinionated(),
                estimator=estimator,
                n=8,
                first_look=FirstLook(n=20),
                search=how,
            )
        )
    runs = [
        acquire(scene, sensor, each, steps=3, classifier=Opinionated(), seed=2) for each in policies
    ]
    assert torch.equal(runs[0].designs, runs[1].designs)
    assert torch.allclose(runs[0].scores, runs[1].scores, atol=1e-6)


def test_policies_choose_the_same_with_racing() -> None:
    clues = Clues(TILES)
    scene = clues.dataset(12, 3).scenes()
    sensor, blank = PatchSensor(16, 0.25, 7), torch.zeros_like(scene[:, :1])
    seen = sensor.observe(
        Observation.of(scene, blank), scene, torch.tensor([[8, 4]]).expand(12, -1)
    )
    chosen = [
        BOED(ClueCompleter(clues), ClueClassifier(), n=8, search=how)
        .choose(seen, sensor, 5)
        .designs
        for how in (Exhaustive(), Racing())
    ]
    assert torch.equal(*chosen)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Racing(scouts=0), "scouts is 0"),
        (lambda: Racing(first=0), "first is 0"),
        (lambda: Racing(growth=0.5), "growth is 0.5"),
        (lambda: Racing(error=1.0), "error is 1.0"),
        (lambda: Racing(error=math.nan), "error is nan"),
        (lambda: CoarseToFine(coarse=0), "coarse is 0"),
        (lambda: CoarseToFine(around=0), "around is 0"),
        (lambda: CoarseToFine(rounds=0), "rounds is 0"),
    ],
)
def test_settings_that_make_no_sense(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


class TwoBits:
    """Rows of 3 features: a, a again, and b; the question is (a, b), 4 answers. Exact."""

    chances = torch.tensor([[0.4, 0.1], [0.4, 0.1]])  # P(a, b): H[a] = ln 2, H[b] = 0.5004

    def completions(self, batch: int) -> Completions:
        rows = [[a, a, b] for a in (0.0, 1.0) for b in (0.0, 1.0)]
        scenes = torch.tensor(rows).view(4, 1, 1, 1, 3).expand(-1, batch, -1, -1, -1)
        return Completions(scenes, self.chances.view(4, 1).expand(-1, batch))

    def log_probs(self, observation: Observation) -> Tensor:
        values, seen = observation.values[:, 0, 0], observation.mask[:, 0, 0] > 0
        a = torch.where(seen[:, 0], values[:, 0], values[:, 1])
        fits_a = (torch.tensor([0.0, 1.0]) == a[:, None]) | ~(seen[:, :1] | seen[:, 1:2])
        fits_b = (torch.tensor([0.0, 1.0]) == values[:, 2:]) | ~seen[:, 2:]
        left = self.chances * fits_a[:, :, None] * fits_b[:, None, :]
        left = left.flatten(1)
        return (left / left.sum(1, keepdim=True)).log()


B_ALONE = -(0.2 * math.log(0.2) + 0.8 * math.log(0.8))


@pytest.mark.parametrize("how", [None, Racing(scouts=1)])
@pytest.mark.parametrize("estimator", ["variational", "entropy"])
def test_looks_chosen_together_are_not_redundant(estimator: str, how: Search | None) -> None:
    """The best two separately are a and a again; together, a and b, then nothing is left."""
    world, blank = TwoBits(), Observation.nothing(2, 1, (1, 3))
    problem = design_problem(blank, world.completions(2), Features(3), classifier=world)
    alone = estimate(problem, estimator).eig[0]
    assert alone.tolist() == pytest.approx([math.log(2), math.log(2), B_ALONE], abs=1e-5)
    result = greedy_batch(problem, 3, estimator, search=how)
    assert result.designs[:, :2, 0].tolist() == [[0, 2], [0, 2]]
    total = math.log(2) + B_ALONE
    assert result.eig[0].tolist() == pytest.approx([math.log(2), total, total], abs=1e-5)


def test_a_batch_is_judged_on_everything_it_will_have_seen() -> None:
    """The joint EIG of two looks is the EIG of a sensor that takes both at once."""

    class Both(PatchSensor):
        def observe(self, observation: Any, scene: Tensor, design: Tensor, seed: Any = 0) -> Any:
            first = super().observe(observation, scene, torch.tensor([[0, 0]]).expand_as(design))
            return super().observe(first, scene, design)

    problem = clue_situation(grid=4)
    result = greedy_batch(problem, 2)
    assert result.designs.shape == (6, 2, 2)
    assert (result.eig[:, 1] >= result.eig[:, 0] - 1e-5).all()
    both = design_problem(
        problem.observation,
        problem.completions,
        Both(16, 0.25, 4),
        classifier=problem.classifier,
    )
    joint = JointProblem.after_looks(problem, torch.zeros(6, 1, 2, dtype=torch.long))
    assert torch.allclose(
        estimate(joint, "variational").eig, estimate(both, "variational").eig, atol=1e-5
    )


def test_greedy_joint_finds_the_three_measurements() -> None:
    problem = LinearGaussian.three_measurements()

    def joint(designs: Tensor) -> Tensor:
        looks = designs.shape[1]
        return LinearGaussian(prior_covariance=problem.prior_covariance, looks=looks).exact_eig(
            designs
        )

    result = greedy_joint(joint, torch.eye(2), 3)
    assert result.designs.tolist() == [[0, 1], [1, 0], [0, 1]]
    assert float(result.eig[-1]) == pytest.approx(1.1989477, abs=1e-6)


def test_batches_refuse_what_they_cannot_do() -> None:
    problem = clue_situation(grid=4)
    with pytest.raises(ValueError, match="k is 0"):
        greedy_batch(problem, 0)
    with pytest.raises(ValueError, match="has no joint EIG here"):
        greedy_batch(problem, 2, "variance")
    with pytest.raises(ValueError, match="joint_eig returned"):
        greedy_joint(lambda designs: designs[:, 0, 0] * math.nan, torch.eye(2), 1)
    with pytest.raises(ValueError, match="candidates must be"):
        greedy_joint(lambda designs: designs[:, 0, 0], torch.empty(0, 2), 1)


DEATH = DeathProcess()


def test_gradient_ascent_finds_the_best_time_of_the_death_process() -> None:
    objective = PCEObjective(DEATH.model, samples=300, contrasts=300)
    result = gradient_ascent(objective, DEATH.bounds, starts=2, steps=60)
    assert float(result.design) == pytest.approx(1.28, abs=0.1)
    assert float(DEATH.exact_eig(result.design)) > 1.3559 * 0.999
    assert result.history.shape == (60, 2)
    assert result.value == float(result.values.max())


def test_gradient_ascent_with_reparameterised_outcomes() -> None:
    """|d| as large as allowed is best, in both entries; EIG is 1/2 ln(1 + 1 + 2.25)."""
    problem = LinearGaussian(prior_covariance=torch.diag(torch.tensor([1.0, 1.5]) ** 2))
    objective = PCEObjective(problem.model, samples=400, contrasts=400)
    bounds = torch.tensor([[-1.0, 0.0], [0.5, 1.0]])
    result = gradient_ascent(objective, bounds, starts=2, steps=20, rate=0.2)
    assert torch.allclose(result.design, torch.tensor([-1.0, 1.0]), atol=1e-4)
    assert result.value == pytest.approx(0.5 * math.log(4.25), abs=0.1)


def test_the_pce_objective_is_the_bound_and_its_gradient_is_right() -> None:
    """At most ln(contrasts + 1); the same for the same seed; slopes as finite differences."""
    problem = LinearGaussian.one_dimension()
    objective = PCEObjective(problem.model, samples=300, contrasts=3, seed=4)
    state = torch.random.get_rng_state()
    far = objective(torch.tensor([[50.0]]))
    assert math.log(4) - 0.1 < float(far) <= math.log(4)
    assert torch.equal(torch.random.get_rng_state(), state)
    for model in (problem.model, DEATH.model):
        objective = PCEObjective(model, samples=300, contrasts=30)
        design = torch.tensor([[0.7], [1.4]], dtype=torch.float64, requires_grad=True)
        value = objective(design)
        (slope,) = torch.autograd.grad(value.sum(), design)
        step = 1e-4
        rise = (objective(design.detach() + step) - objective(design.detach() - step)) / (2 * step)
        assert torch.allclose(slope[:, 0], rise, atol=1e-4)


def bowl(designs: Tensor) -> Tensor:
    return 1 - ((designs - torch.tensor([0.3, 20.0])) / torch.tensor([1.0, 30.0])).square().sum(1)


BOWL = torch.tensor([[-1.0, 0.0], [1.0, 30.0]])


def test_gradient_ascent_stays_within_bounds_and_repeats_itself() -> None:
    result = gradient_ascent(bowl, BOWL, starts=4, steps=100)
    assert torch.allclose(result.design, torch.tensor([0.3, 20.0]), rtol=1e-2)
    assert result.value == pytest.approx(1, abs=1e-4)
    again = gradient_ascent(bowl, BOWL, starts=4, steps=100)
    assert torch.equal(result.designs, again.designs)
    bounds = torch.tensor([[0.5, 0.0], [1.0, 10.0]])
    corner = gradient_ascent(bowl, bounds, starts=bounds.mean(0, keepdim=True), steps=60)
    assert corner.design.tolist() == [0.5, 10.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bounds": torch.tensor([[0.0], [0.0]])}, "bounds must be finite and rise"),
        ({"bounds": torch.tensor([0.0, 1.0])}, r"bounds must be \[2"),
        ({"steps": 0}, "steps is 0"),
        ({"rate": -1.0}, "rate is -1.0"),
        ({"starts": 0}, "starts is 0"),
        ({"starts": torch.tensor([[9.0, 9.0]])}, "starts: some lie outside"),
        ({"starts": torch.zeros(2, 3)}, "starts must be"),
        ({"objective": lambda designs: designs}, "objective returned"),
        ({"objective": lambda designs: designs[:, 0] * math.nan}, "objective is nan at design"),
        ({"objective": lambda designs: torch.zeros(len(designs))}, "differentiably"),
        ({"objective": lambda designs: designs.detach()[:, 0]}, "differentiably"),
    ],
)
def test_gradient_ascent_names_what_is_wrong(change: dict[str, Any], message: str) -> None:
    given = {"objective": bowl, "bounds": BOWL, "starts": 2, "steps": 2, **change}
    with pytest.raises(ValueError, match=message):
        gradient_ascent(**given)


def test_bayesian_optimisation_of_a_noisy_death_process() -> None:
    """EIG within 1 % of the best, 1.3559, from 16 evaluations with noise of 0.005 nats."""

    pytest.importorskip("botorch")
    draw = torch.Generator().manual_seed(0)

    def noisy(designs: Tensor) -> Tensor:
        noise = torch.randn(len(designs), generator=draw) * 0.005
        return DEATH.exact_eig(designs).float() + noise

    state = torch.random.get_rng_state()
    result = bayesian_optimisation(noisy, DEATH.bounds, 16, first=6)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert float(DEATH.exact_eig(result.design)) > 1.3559 * 0.99
    assert result.value == pytest.approx(1.3559, abs=0.02)
    assert result.designs.shape == (16, 1)
    assert torch.equal(result.history, result.values.cummax(0).values)


def test_bayesian_optimisation_of_a_sensor_off_the_grid() -> None:
    """The clue is 4 pixels wide: a patch within 3 pixels of it shows some, and that is enough.

    The same seed finds the same.
    """
    pytest.importorskip("botorch")
    clues = Clues()
    sensor, blank = PatchSensor(16, 0.25, 2), Observation.nothing(1, 1, 16)
    drawn = complete(ClueCompleter(clues), blank, 12, seed=0)
    problem = design_problem(blank, drawn, sensor, classifier=ClueClassifier())
    result, again = (
        bayesian_optimisation(off_grid(problem, "entropy"), sensor.bounds, 14, first=12)
        for _ in range(2)
    )
    assert torch.equal(result.designs, again.designs)
    assert (result.design - torch.tensor(CLUE)).abs().max() < 3.5
    assert float(off_grid(problem, "entropy")(result.design[None])) == pytest.approx(
        math.log(3), abs=1e-5
    )
    with pytest.raises(ValueError, match="expected one"):
        off_grid(clue_situation())


def test_bayesian_optimisation_without_botorch_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "botorch":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'boed\[bo\]'"):
        bayesian_optimisation(bowl, BOWL)


def test_bayesian_optimisation_names_what_is_wrong() -> None:
    pytest.importorskip("botorch")
    with pytest.raises(ValueError, match="first is 8, expected 2 to evaluations"):
        bayesian_optimisation(bowl, BOWL, 4)
    with pytest.raises(ValueError, match="objective is nan"):
        bayesian_optimisation(lambda designs: designs[:, 0] * math.nan, BOWL)


def test_the_pce_objective_refuses_outcomes_without_a_gradient() -> None:
    def counts(design: Tensor) -> Tensor:
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Exponential(design.new_ones(())))
            return pyro.sample("y", dist.Poisson(theta * design[..., 0]))

    with pytest.raises(ValueError, match="site 'y': Poisson outcomes have neither"):
        PCEObjective(counts, samples=5, contrasts=5)(torch.ones(1, 1))
    with pytest.raises(ValueError, match="samples must be an integer"):
        PCEObjective(counts, samples=0)
