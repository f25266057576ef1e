"""Screening: exact for what it keeps, whatever the screen guesses."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch import Tensor

from boed.classifiers import DenseNetClassifier, DenseNetConfig, ScreenConfig, ScreenNet
from boed.classifiers.trained import checksum
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completions, complete
from boed.data.load import load
from boed.data.observation import Observation
from boed.eig import ESTIMATORS, design_problem, estimate
from boed.eig.completions.problem import DesignProblem
from boed.policies import BOED
from boed.search import Exhaustive, Racing, Screening, Search
from boed.sensors import Lines, PatchSensor
from boed.setup import setup
from boed.zoo import Context, screen_for, shipped
from tests.doubles import TILES, ClueClassifier, ClueCompleter, Clues, FindingsClassifier

SENSOR = PatchSensor(16, 0.25, 7)
OWN = ScreenConfig(
    encoder=DenseNetConfig(
        size=32, channels=1, outputs=10, stem=4, width=8, growth=(8,), layers=(1,)
    ),
    answers=10,
)
ADDITIVE = ("variational", "entropy", "information", "accuracy")


class PerfectScreen:
    """Asks the classifier itself; `sign` -1 says the opposite of each belief."""

    def __init__(self, classifier: Any, sign: float = 1.0) -> None:
        self.classifier, self.sign, self.rows = classifier, sign, 0

    def check(self, classifier: Any, patch: float) -> None:
        if classifier is not self.classifier:
            raise ValueError("screen: it was distilled from another classifier")

    def log_beliefs(
        self,
        observation: Observation,
        completion: Tensor,
        belief: Tensor,
        answer: Tensor,
        corners: Tensor,
    ) -> Tensor:
        self.rows += len(completion)
        after = [
            self.classifier.log_probs(SENSOR.observe(observation, completion, corner))
            for corner in corners.expand(len(completion), -1, -1).unbind(1)
        ]
        result = torch.stack(after, dim=1)
        return result if self.sign > 0 else (-result.clamp(min=-20)).log_softmax(-1)


def situation(classifier: Any = None, scenes: int = 6, n: int = 8) -> DesignProblem:
    """After one look at the centre, where there is no clue; completions of unequal weight."""
    clues = Clues(TILES)
    scene = clues.dataset(scenes, 3).scenes()
    blank = Observation.nothing_of(scene)
    seen = SENSOR.observe(blank, scene, torch.tensor([[4, 4]]).expand(scenes, -1))
    drawn = complete(ClueCompleter(clues), seen, n, seed=1)
    weights = torch.rand(n, scenes, generator=torch.Generator().manual_seed(2)) + 0.1
    drawn = Completions(drawn.scenes, weights / weights.sum(0))
    return design_problem(seen, drawn, SENSOR, classifier=classifier or ClueClassifier())


def exact_where_finished(problem: DesignProblem, how: Search, name: str) -> tuple[Any, Tensor]:
    """What a search found, and the exhaustive EIG, after making sure that they agree."""
    result, full = how(problem, ESTIMATORS[name]), estimate(problem, ESTIMATORS[name])
    done = result.finished
    assert done is not None
    assert full.gains is not None
    assert result.gains is not None
    assert done.any(1).all()
    assert torch.allclose(result.eig[done], full.eig[done], atol=1e-5)
    assert torch.allclose(result.standard_error[done], full.standard_error[done], atol=1e-5)
    judged = ~result.gains.isnan()
    assert torch.allclose(result.gains[judged], full.gains[judged], atol=1e-5)
    assert result.evaluations == int(judged.sum())
    return result, full.eig


@pytest.mark.parametrize("name", ADDITIVE)
@pytest.mark.parametrize("keep", [1, 4])
def test_a_perfect_screen_finds_the_best_look(name: str, keep: int) -> None:
    problem = situation()
    how = Screening(screen=PerfectScreen(problem.classifier), keep=keep, around=0)
    result, eig = exact_where_finished(problem, how, name)
    assert torch.allclose(result.eig.nan_to_num(-1).amax(1), eig.amax(1), atol=1e-5)
    assert result.finished.sum(1).tolist() == [keep] * 6
    assert result.evaluations == 8 * 6 * keep
    assert result.eig[~result.finished].isnan().all()


@pytest.mark.parametrize("name", ["variational", "entropy"])
def test_racing_among_those_kept_changes_no_choice(name: str) -> None:
    problem = situation()
    screen = PerfectScreen(problem.classifier)
    plain = Screening(screen=screen, keep=6, around=0)(problem, ESTIMATORS[name])
    how = Screening(screen=screen, keep=6, around=0, then=Racing())
    raced, _ = exact_where_finished(problem, how, name)
    best = [each.eig.where(each.finished, -torch.inf).amax(1) for each in (plain, raced)]
    assert torch.allclose(*best, atol=1e-5)
    assert raced.evaluations <= plain.evaluations
    assert not (raced.finished & ~plain.finished).any()


@pytest.mark.parametrize("then", [None, Racing()])
@pytest.mark.parametrize("keep", [49, 1000])
def test_all_kept_is_the_exhaustive_choice(keep: int, then: Racing | None) -> None:
    problem = situation()
    how = Screening(screen=PerfectScreen(problem.classifier, -1), keep=keep, then=then)
    result, eig = exact_where_finished(problem, how, "variational")
    best = result.eig.where(result.finished, -torch.inf).amax(1)
    assert torch.allclose(best, eig.amax(1), atol=1e-5)
    if then is None:  # what is known already is not evaluated
        assert torch.equal(result.finished, problem.fresh)


@pytest.mark.parametrize("then", [None, Racing()])
def test_a_bad_screen_verifies_exactly(then: Racing | None) -> None:
    problem = situation()
    how = Screening(screen=PerfectScreen(problem.classifier, -1), keep=3, then=then)
    result, eig = exact_where_finished(problem, how, "entropy")
    assert result.finished.sum(1).max() < 49
    assert (result.eig.nan_to_num(-1).amax(1) <= eig.amax(1) + 1e-5).all()


def test_the_first_are_the_best_guesses_that_are_apart() -> None:
    designs = torch.cartesian_prod(torch.arange(7), torch.arange(7)).float()
    guessed = -(designs - torch.tensor([2.0, 3.0])).norm(dim=1)[None]
    distance = torch.cdist(designs, designs)
    how = Screening(screen=PerfectScreen(None), keep=5)
    plain = how._first(guessed, distance < 0)[0].nonzero()[:, 0]
    assert plain.tolist() == [10, 16, 17, 18, 24]  # the middle and the 4 around it
    apart = how._first(guessed, distance < 2)[0].nonzero()[:, 0]
    gaps = torch.cdist(designs[apart], designs[apart]) + 9 * torch.eye(5)
    assert gaps.min() >= 2
    assert 17 in apart
    crowded = how._first(guessed, distance < 100)[0].nonzero()[:, 0]
    assert crowded.tolist() == plain.tolist()  # where none is apart, the best of the others


@pytest.mark.parametrize("then", [None, Racing()])
def test_refinement_reaches_the_best_from_its_neighbour(then: Racing | None) -> None:
    """A screen that guesses the patch one step too far to the right."""

    class Shifted(PerfectScreen):
        def log_beliefs(self, observation, completion, belief, answer, corners):  # type: ignore[no-untyped-def]
            moved = (corners - torch.tensor([0.0, 2.0])).clamp(min=0)
            return super().log_beliefs(
                observation, completion, belief, answer=answer, corners=moved
            )

    problem = situation()
    screen = Shifted(problem.classifier)
    plain, _ = exact_where_finished(
        problem, Screening(screen=screen, keep=1, around=0, then=then), "entropy"
    )
    result, eig = exact_where_finished(
        problem, Screening(screen=screen, keep=1, around=1, then=then), "entropy"
    )
    best = result.eig.where(result.finished, -torch.inf).amax(1)
    assert torch.allclose(best, eig.amax(1), atol=1e-5)
    assert (plain.eig.nan_to_num(-1).amax(1) < eig.amax(1) - 1e-3).any()
    assert result.evaluations < 0.7 * 8 * 6 * 49


def test_findings() -> None:
    problem = situation(FindingsClassifier())
    assert problem.prior.shape == (6, 2, 2)
    how = Screening(screen=PerfectScreen(problem.classifier), keep=2, around=1)
    result, eig = exact_where_finished(problem, how, "variational")
    assert torch.allclose(result.eig.nan_to_num(-1).amax(1), eig.amax(1), atol=1e-5)


def test_known_labels_are_the_answers_but_not_shown_to_the_screen() -> None:
    """The screen knows the classifier's answer on a whole completion, not a label."""
    clues, shown = Clues(TILES), []

    class Watching(PerfectScreen):
        def log_beliefs(self, observation, completion, belief, answer, corners):  # type: ignore[no-untyped-def]
            everything = Observation.everything(completion)
            shown.append(torch.equal(answer, self.classifier.log_probs(everything)))
            return super().log_beliefs(
                observation, completion, belief, answer=answer, corners=corners
            )

    library = clues.dataset(40, 1)
    drawn = Retrieval(library).complete(Observation.nothing(2, 1, 16), 8)
    assert drawn.labels is not None
    wrong = Completions(drawn.scenes, drawn.weights, (drawn.labels + 1) % 3)
    problem = design_problem(
        Observation.nothing(2, 1, 16), wrong, SENSOR, classifier=ClueClassifier()
    )
    result, eig = exact_where_finished(
        problem, Screening(screen=Watching(problem.classifier), keep=49), "entropy"
    )
    assert torch.allclose(result.eig, eig, atol=1e-5)
    assert shown == [True]


def test_each_completion_is_shown_once_whatever_the_memory() -> None:
    problem, screens = situation(), [PerfectScreen(ClueClassifier()) for _ in range(2)]
    parts = []
    for memory, screen in zip((1, 512), screens, strict=True):
        some = DesignProblem(
            observation=problem.observation,
            completions=problem.completions,
            sensor=SENSOR,
            classifier=screen.classifier,
            designs=problem.designs,
            memory=memory,
        )
        parts.append(Screening(screen=screen).screened(some, ESTIMATORS["variational"]))  # type: ignore[arg-type]
        assert screen.rows == 8 * 6
    assert torch.allclose(*parts, atol=1e-5)


def test_a_policy_looks_where_the_exhaustive_one_does() -> None:
    clues = Clues(TILES)
    classifier = ClueClassifier()
    scene = clues.dataset(4, 5).scenes()
    seen = SENSOR.observe(
        Observation.nothing_of(scene),
        scene,
        torch.tensor([[4, 4]]).expand(4, -1),
    )
    chosen = [
        BOED(ClueCompleter(clues), classifier, n=8, search=how).choose(seen, SENSOR, 0)
        for how in (Exhaustive(), Screening(screen=PerfectScreen(classifier), keep=49))
    ]
    assert torch.equal(chosen[0].designs, chosen[1].designs)


@pytest.mark.parametrize("name", ["mixture", "variance", "predictive_entropy"])
def test_estimators_that_need_all_completions_are_refused(name: str) -> None:
    problem = situation()
    with pytest.raises(ValueError, match="cannot evaluate completions from guessed beliefs"):
        Screening(screen=PerfectScreen(problem.classifier))(problem, ESTIMATORS[name])


def test_what_is_refused() -> None:
    problem = situation()
    screen = PerfectScreen(problem.classifier)
    for name, value, least in (
        ("keep", 0, 1),
        ("apart", -1, 0),
        ("around", -1, 0),
        ("rounds", 0, 1),
    ):
        with pytest.raises(ValueError, match=f"{name} is {value}, expected at least {least}"):
            Screening(screen=screen, **{name: value})
    with pytest.raises(ValueError, match="distilled from another classifier"):
        Screening(screen=PerfectScreen(ClueClassifier()))(problem, ESTIMATORS["entropy"])
    lines = Lines(16)
    other = design_problem(
        Observation.nothing(6, 1, 16), problem.completions, lines, classifier=screen.classifier
    )
    with pytest.raises(ValueError, match="sensor is Lines; a screen guesses for patch sensors"):
        Screening(screen=screen)(other, ESTIMATORS["entropy"])
    with pytest.raises(
        ValueError, match="classifier is ClueClassifier, expected one that `boed train"
    ):
        Screening(screen=ScreenNet(OWN, "a"))(problem, ESTIMATORS["entropy"])


@pytest.mark.parametrize("name", ["digits-32", "kermany-64"])
def test_the_shipped_screens_are_those_of_the_shipped_classifiers(name: str) -> None:
    path = shipped(f"screen-{name}")
    screen, classifier = ScreenNet.load(path), DenseNetClassifier.load(shipped(f"densenet-{name}"))
    screen.check(classifier, 0.25)
    assert path.stat().st_size < 1.5e6
    for key in ("data", "fit", "steps", "scores", "command", "distilled_from"):
        assert screen.provenance[key], key
    assert screen.provenance["data"]["sha256"] == classifier.provenance["data"]["sha256"]
    figures = screen.provenance["scores"]["val"]
    assert figures["kl"] < 0.25 * figures["kl_unchanged"]


def test_a_setup_by_screen_says_so() -> None:
    made = setup(search="screen", policies=("boed", "boed_mixture"), sensor="patch,grid=5")
    boed, mixture = made.policies["boed"], made.policies["boed_mixture"]
    assert isinstance(boed, BOED)
    assert isinstance(mixture, BOED)
    assert isinstance(boed.search, Screening)
    assert isinstance(mixture.search, Exhaustive)
    kept = f"the best {boed.search.keep} and"
    assert made.about["search"].startswith("screen (shipped), an approximation")
    assert kept in made.about["search"]
    assert made.about["checkpoints"]["screen"]["kind"] == "screen"
    assert setup(search="racing", sensor="patch,grid=5").about["search"].startswith("racing, exact")


def test_a_setup_refuses_a_screen_that_does_not_fit(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="trained for looks of 8 x 8 pixels, not of 16 x 16"):
        setup(search="screen", sensor="patch,patch=0.5,grid=3")
    own = DenseNetClassifier(OWN.encoder, load("digits", 32, "val").label_names)
    own.save(tmp_path / "own.safetensors", {})
    with pytest.raises(ValueError, match=r"distilled from the classifier .*boed train screen"):
        setup(search="screen", classifier=str(tmp_path / "own.safetensors"), sensor="patch,grid=3")
    ours = ScreenNet(OWN, checksum(own.eval()))
    ours.save(tmp_path / "screen.safetensors", {})
    made = setup(
        search=str(tmp_path / "screen.safetensors"),
        classifier=str(tmp_path / "own.safetensors"),
        sensor="patch,grid=3",
    )
    assert made.about["search"].startswith("screen (screen.safetensors)")
    with pytest.raises(ValueError, match="search is 'lucky'"):
        setup(search="lucky")


@pytest.mark.skipif(not os.environ.get("BOED_DATA"), reason="needs $BOED_DATA")
def test_no_screen_is_shipped_for_other_data() -> None:
    judge = DenseNetClassifier.load(shipped("densenet-kermany-64"))
    context = Context(load("kermany_pneumonia_128", 32, "val"), PatchSensor(32))
    with pytest.raises(
        ValueError,
        match=r"no screen is shipped for kermany_.* at 32 px; train one with `boed train screen",
    ):
        screen_for(context, judge, "screen")
