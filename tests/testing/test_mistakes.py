"""Each mistake that a part can have fails the check that is for it, with words that say what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.eig.completions.estimators import BarberAgakov
from boed.foundation.randomness import per_scene
from boed.policies import Decision, Random
from boed.sensors import PatchSensor
from boed.testing import (
    check_classifier,
    check_completer,
    check_estimator,
    check_policy,
    check_sensor,
    sensor_checks,
)
from tests.doubles import RowSensor

SHAPE = (1, 6, 6)
OTHER = torch.Generator().manual_seed(0)


class Look(RowSensor):
    """A sensor that changes what it returns in some way."""

    def __init__(self, change: Any) -> None:
        self.change = change

    def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
        return self.change(super().observe(observation, scene, design), scene, observation)


def with_values(change: Any) -> Look:
    return Look(lambda after, *_: Observation(change(after.values), after.mask))


def counted(after: Observation, scene: Tensor, before: Observation) -> Observation:
    return Observation(after.values + 0.01 * before.mask * before.values, after.mask)


def overwritten(after: Observation, scene: Tensor, before: Observation) -> Observation:
    before.values.fill_(0.5)
    return after


def forgetful(after: Observation, scene: Tensor, before: Observation) -> Observation:
    new = after.mask - before.mask
    return Observation(scene * new, new) if new.any() else after


class Doubled(RowSensor):
    def designs(self, observation: Observation) -> Tensor:
        return torch.tensor([[0], [1], [1]])


class Moving(RowSensor):
    def designs(self, observation: Observation) -> Tensor:
        return super().designs(observation)[int(observation.mask.any()) :]


class Free(RowSensor):
    def cost(self, design: Tensor) -> Tensor:
        return torch.zeros(len(design))


class Total(RowSensor):
    def cost(self, design: Tensor) -> Tensor:
        return torch.full((len(design),), float(len(design)))


class Unseeded(RowSensor):
    noise = 0.1

    def observe(  # type: ignore[override]
        self, observation: Observation, scene: Tensor, design: Tensor, seed: list[int]
    ) -> Observation:
        noise = 0.1 * torch.randn(scene.shape, generator=OTHER)
        return super().observe(observation, scene + noise, design)


class Mute(RowSensor):
    noise = 0.1  # but observe takes no seed


SENSORS = {
    "no scene": (lambda: Look(lambda after, *_: after.values), "observe returned a Tensor.*expec"),
    "none": (lambda: Look(lambda *_: None), "Look.observe returned None, expected an Observation"),
    "0 to 255": (lambda: with_values(lambda v: 255 * v), r"values from .* expected pixels"),
    "bytes": (
        lambda: with_values(lambda v: (255 * v).to(torch.uint8)),
        r"Look.observe: values returned .*uint8.* from 0 to \d+, expected floating-point",
    ),
    "whole numbers": (lambda: with_values(lambda v: v.long()), "int64.*expected floating-point"),
    "complex": (lambda: with_values(lambda v: v + 0j), "complex64.*expected floating-point"),
    "contrast": (lambda: with_values(lambda v: v**2), "values differ from the scene"),
    "unmasked": (
        lambda: Look(lambda after, scene, _: Observation(scene, after.mask)),
        "values are not 0 where the mask is 0",
    ),
    "marks nothing": (
        lambda: Look(lambda a, *_: Observation(a.values, 0 * a.mask)),
        "show nothing",
    ),
    "leaks": (
        lambda: Look(lambda a, s, _: Observation((a.values + 0.01 * s.mean()) * a.mask, a.mask)),
        "what was not looked at changes",
    ),
    "adds up": (lambda: Look(counted), "second look at the same place changes"),
    "forgets": (lambda: Look(forgetful), "two looks in the other order differ by 1"),
    "whole batch": (
        lambda: Look(lambda a, s, _: Observation(a.values * (1 - 0.001 * len(s)), a.mask)),
        "differs by",
    ),
    "twice": (lambda: Doubled(), r"Doubled.designs returned \[1\] 2 times, expected every candid"),
    "moving": (lambda: Moving(), "designs are others after a look"),
    "free": (lambda: Free(), "cost goes down to 0"),
    "cost of the batch": (lambda: Total(), "cost depends on the batch"),
    "unseeded": (lambda: Unseeded(), "same seed gives readings that differ"),
    "no seed": (lambda: Mute(), "seed"),
    "a class": (lambda: RowSensor, "sensor is the class RowSensor itself"),
    "no sensor": (lambda: object(), r"sensor is an object, without designs; expected an object wi"),
}


class Draw:
    """A completer that changes what it returns in some way."""

    def __init__(self, change: Any = None, **attributes: Any) -> None:
        self.change = change or (lambda drawn, observation: drawn)
        vars(self).update(attributes)

    def sample(self, observation: Observation, n: int, seed: Any = 0) -> Any:
        each = [torch.Generator().manual_seed(one) for one in per_scene(seed, len(observation))]
        shape = (n, *observation.values.shape[1:])
        drawn = torch.stack([torch.rand(shape, generator=g) for g in each], dim=1)
        return self.change(observation.composite(drawn), observation)


class Global(Draw):
    def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
        return observation.composite(torch.rand(n, *observation.values.shape))


class OneSeed(Draw):
    def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
        return super().sample(observation, n, [seed[0] + k for k in range(len(observation))])


class Unseeing(Draw):
    def sample(self, observation: Observation, n: int) -> Any:  # type: ignore[override]
        return super().sample(observation, n)


class Weighs(Draw):
    def __init__(self, how: Any) -> None:
        super().__init__()
        self.how = how

    def complete(self, observation: Observation, n: int, seed: Any = 0) -> Any:
        return self.how(self.sample, observation)


class Likely(Draw):
    """It has a `log_prob`, too."""

    def __init__(self, log_prob: Any, **attributes: Any) -> None:
        super().__init__(None, **attributes, likely=log_prob)

    def log_prob(self, scene: Tensor, observation: Observation) -> Any:
        return self.likely(scene, observation)  # type: ignore[attr-defined]


SAYS = {"log_prob_is": "exact", "levels": 256, "counts": "all"}


def same_for_all(drawn: Tensor, observation: Observation) -> Tensor:
    return observation.composite(drawn[:1].expand_as(drawn) * 0 + 0.5)


COMPLETERS = {
    "none": (Draw(lambda *_: None), r"Draw.sample returned None, expected a tensor of scenes"),
    "numpy": (Draw(lambda d, _: d.numpy()), r"returned a ndarray, float32 .*expected a tensor"),
    "list": (Draw(lambda d, _: d.tolist()), "returned a list, expected a tensor"),
    "bytes": (
        Draw(lambda d, _: (255 * d).to(torch.uint8)),
        r"uint8 \(1, 3, 1, 6, 6\), from \d+ to 25\d, expected floating-point scenes",
    ),
    "0 to 255": (Draw(lambda d, o: o.composite(255 * d)), r"pixels from .* to 25\d, expected val"),
    "-1 to 1": (
        Draw(lambda d, o: o.composite(2 * d - 1)),
        r"pixels from -0.9.* to 0.9",
    ),
    "too many": (Draw(lambda d, _: torch.cat([d, d])), r"returned \(2, 3, .*, expected \(1, 3, "),
    "nan": (Draw(lambda d, _: d * torch.nan), "returned NaN or infinite pixels"),
    "contradicts": (Draw(lambda d, _: 1 - d), "differ by up to .* from the pixels that were seen"),
    "contradicts unbounded": (
        Draw(lambda d, _: d + 9, unbounded=True),
        "differ by up to 9 from the pixels that were seen",
    ),
    "one answer": (Draw(same_for_all), "all completions of a scene are the same"),
    "global": (Global(), "drew from torch's global random numbers"),
    "one seed": (OneSeed(), "scene alone differ from those in a batch"),
    "no seed": (Unseeing(), r"completer: Unseeing.sample cannot be called as sample\(observation"),
    "no completions": (Weighs(lambda draw, o: draw(o, 4, [1, 2, 3])), "Weighs.complete returned a"),
    "negative weights": (
        Weighs(
            lambda draw, o: Completions(
                draw(o, 2, list(range(len(o)))), torch.tensor([[2.0], [-1.0]]).expand(-1, len(o))
            )
        ),
        "weights go down to -1, expected 0 or more",
    ),
    "overwrites": (
        Draw(lambda d, o: (d, o.values.fill_(0.5))[0]),
        "changed observation.values in place|differ by",
    ),
    "a log_prob of what": (
        Likely(lambda s, o: s.mean((1, 2, 3))),
        "Likely has log_prob, but does not say what it is: expected an attribute log_prob_is, 'exa",
    ),
    "a likely log_prob": (
        Likely(lambda s, o: s.mean((1, 2, 3)), **{**SAYS, "log_prob_is": "likely"}),
        "Likely.log_prob_is is 'likely', expected one of exact, lower bound",
    ),
    "seen pixels": (
        Likely(lambda s, o: s.mean((1, 2, 3)), **{**SAYS, "counts": "seen"}),
        "Likely.counts is 'seen', expected one of hidden, all",
    ),
    "one level": (
        Likely(lambda s, o: s.mean((1, 2, 3)), **{**SAYS, "levels": 1}),
        "Likely.levels is an int, 1, expected 2 or more, or None of a density",
    ),
    "a log_prob a pixel": (
        Likely(lambda s, o: s, **SAYS),
        r"Likely.log_prob returned \(3, 1, 6, 6\), expected \(3,\)",
    ),
    "a log_prob of NaN": (
        Likely(lambda s, o: s.mean((1, 2, 3)) * torch.nan, **SAYS),
        "Likely.log_prob returned NaN",
    ),
    "the first row's pixels": (  # as in the reference code of Pixel Constrained CNN
        Likely(lambda s, o: s[:1].mean().expand(len(s)), **SAYS),
        "log_prob of a scene alone differs from that in a batch",
    ),
    "no completer": ("retrieval", "completer is a str, 'retrieval', without sample"),
}


class Believe:
    """A classifier that changes what it returns in some way."""

    def __init__(self, change: Any) -> None:
        self.change, self.asked = change, 0

    def log_probs(self, observation: Observation) -> Any:
        self.asked += 1
        seen = 10 * observation.values.mean((1, 2, 3)) + observation.fraction_seen
        logits = seen[:, None] * torch.arange(3.0)
        return self.change(logits.log_softmax(1), self, observation)


def shared(belief: Tensor, *_: Any) -> Tensor:
    return (belief - belief.mean(0)).log_softmax(1)


class Around(Believe):
    def around(self, observation: Observation) -> Any:
        return lambda after, base: self.log_probs(observation[base])


CLASSIFIERS = {
    "none": (Believe(lambda *_: None), "Believe.log_probs returned None, expected a tensor of log"),
    "numpy": (Believe(lambda b, *_: b.numpy()), "returned a ndarray, float32"),
    "list": (Believe(lambda b, *_: b.tolist()), "returned a list, expected a tensor"),
    "whole numbers": (
        Believe(lambda b, *_: torch.tensor([[0, -9999]]).expand(len(b), -1)),
        "int64 .*expected floating-point log-probabilities",
    ),
    "probabilities": (Believe(lambda b, *_: b.exp()), "exponentials sum to .*log_softmax"),
    "one for all": (Believe(lambda b, *_: b[:1]), r"returned \(1, 3\) for 3 observations"),
    "squeezed": (Believe(lambda b, *_: b[:, 0]), r"returned \(3,\) for 3 observations"),
    "nan": (Believe(lambda b, *_: b * torch.nan), "returned NaN"),
    "drops out": (
        Believe(lambda b, self, _: (b * (1 + self.asked % 2)).log_softmax(1)),
        "asked again it believes something else",
    ),
    "batch norm": (Believe(shared), "belief about a scene alone differs"),
    "another question": (
        Believe(lambda b, _, o: b if o.fraction_seen.min() < 1 else b[:, :2].log_softmax(1)),
        r"answers are \(3,\) of scenes seen in part, and \(2,\)",
    ),
    "around": (Around(lambda b, *_: b), "around gives beliefs that differ"),
    "a network": (torch.nn.Linear(1, 1), r"boed.classifiers.from_module\(network\) makes one"),
}


class Choose:
    """A policy that changes what it returns in some way."""

    def __init__(self, change: Any) -> None:
        self.change = change

    def choose(
        self, observation: Observation, sensor: Any, seed: Any = 0, *, truth: Any = None
    ) -> Any:
        return self.change(Random().choose(observation, sensor, seed), observation, truth)


class NoTruth:
    def choose(self, observation: Observation, sensor: Any, seed: Any = 0) -> Decision:
        return Random().choose(observation, sensor, seed)


def at(decision: Decision, index: Tensor) -> Decision:
    return Decision(decision.candidates[index], candidates=decision.candidates, index=index)


def drawn_anew(decision: Decision, *_: Any) -> Decision:
    return at(decision, torch.randint(16, (len(decision.designs),), generator=OTHER))


POLICIES = {
    "none": (Choose(lambda *_: None), "Choose.choose returned None, expected a Decision"),
    "tensor": (
        Choose(lambda d, *_: d.designs),
        r"returned a Tensor, int64 \(3, 2\), expected a Dec",
    ),
    "index": (Choose(lambda d, *_: replace(d, index=d.chosen + 99)), "returned index"),
    "float index": (
        Choose(lambda d, *_: replace(d, index=d.chosen.float())),
        "index .*expected int",
    ),
    "list of designs": (
        Choose(lambda d, *_: replace(d, designs=d.designs.tolist())),
        "designs is a list, expected a Tensor",
    ),
    "one for all": (
        Choose(lambda d, *_: Decision(d.designs[:1], candidates=d.candidates)),
        "expected one row for each of 3 scenes",
    ),
    "scores": (
        Choose(lambda d, *_: replace(d, scores=torch.zeros(1, 2))),
        r"returned scores a Tensor, float32 \(1, 2\), expected float32 \(3, 16\)",
    ),
    "nan": (
        Choose(lambda d, *_: Decision(d.designs * torch.nan, candidates=d.candidates)),
        "designs that are NaN",
    ),
    "stop": (Choose(lambda d, *_: replace(d, stop=d.chosen > 0)), None),
    "stop, numbers": (Choose(lambda d, *_: replace(d, stop=d.chosen)), "stop .*expected bool"),
    "unseeded": (Choose(drawn_anew), "the same seeds give other looks"),
    "batch": (
        Choose(lambda d, o, _: at(d, torch.full_like(d.chosen, len(o)))),
        "a scene alone has another look",
    ),
    "truth": (
        Choose(lambda d, o, t: at(d, t.flatten(1)[:, :16].argmax(1))),
        "if only the unseen truth is another",
    ),
    "stuck": (Choose(lambda d, *_: at(d, 0 * d.chosen)), "looks again at what is known, in scenes"),
    "no truth": (NoTruth(), "policy: NoTruth.choose cannot be called as choose"),
    "a name": ("boed", "policy is a str, 'boed', without choose"),
    "a class": (Random, "policy is the class Random itself"),
}


class Estimate:
    """An estimator that changes what it returns in some way."""

    bound = "consistent"

    def __init__(self, change: Any, bound: Any = "consistent") -> None:
        self.change, self.bound, self.asked = change, bound, 0

    def __call__(self, problem: Any) -> Any:
        self.asked += 1
        return self.change(*BarberAgakov()(problem), self)


ESTIMATORS = {
    "none": (Estimate(lambda *_: None), "estimator: Estimate returned None, expected"),
    "eig alone": (Estimate(lambda e, g, _: e), r"returned a Tensor.*expected \(eig, gains\)"),
    "lists": (Estimate(lambda e, g, _: (e.tolist(), g)), "returned a list"),
    "swapped": (Estimate(lambda e, g, _: (g, e)), r"returned \(5, 2, 6\) and \(2, 6\), expected"),
    "nan": (Estimate(lambda e, g, _: (e * torch.nan, g)), "returned NaN"),
    "infinite": (Estimate(lambda e, g, _: (e - torch.inf, g)), "utilities are infinite"),
    "no mean": (Estimate(lambda e, g, _: (g.sum(0), g)), "eig is not the weighted mean of gains"),
    "noisy": (
        Estimate(lambda e, g, self: (e + self.asked % 2, g + self.asked % 2)),
        "another utility the second time",
    ),
    "shifted": (Estimate(lambda e, g, _: (e + 1, g + 1)), "rows seen before have utility"),
    "by place": (
        Estimate(lambda e, g, _: (e + torch.arange(6), g + torch.arange(6))),
        "candidates in another order have other utilities",
    ),
    "by batch": (
        Estimate(lambda e, g, _: (e * len(e), g * len(e))),
        "a scene alone has other utilities",
    ),
    "bound": (Estimate(lambda e, g, _: (e, g), bound="sharp"), "with bound 'sharp'; expected"),
    "no estimator": (object(), "estimator is an object"),
}


@pytest.mark.parametrize("name", SENSORS)
def test_sensors(name: str) -> None:
    make, words = SENSORS[name]
    with pytest.raises(AssertionError, match=words):
        check_sensor(make(), SHAPE)  # type: ignore[arg-type, operator]


@pytest.mark.parametrize("name", COMPLETERS)
def test_completers(name: str) -> None:
    completer, words = COMPLETERS[name]
    with pytest.raises(AssertionError, match=words):
        check_completer(completer, SHAPE)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers(name: str) -> None:
    classifier, words = CLASSIFIERS[name]
    with pytest.raises(AssertionError, match=words):
        check_classifier(classifier, SHAPE)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name, (_, words) in POLICIES.items() if words])
def test_policies(name: str) -> None:
    policy, words = POLICIES[name]
    with pytest.raises(AssertionError, match=words or ""):
        check_policy(policy, (1, 16, 16), sensor=PatchSensor(16, 0.25, 4))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators(name: str) -> None:
    estimator, words = ESTIMATORS[name]
    with pytest.raises(AssertionError, match=words):
        check_estimator(estimator)  # type: ignore[arg-type]


def test_float64_and_boolean_masks_of_a_sensor_are_converted() -> None:
    check_sensor(Look(lambda a, *_: Observation(a.values.double(), a.mask > 0)), SHAPE)
    check_sensor(Look(lambda a, *_: Observation(a.values, a.mask.int())), SHAPE)


def test_float64_completions_are_converted() -> None:
    check_completer(Draw(lambda d, _: d.double()), SHAPE)
    check_completer(Draw(lambda d, o: o.composite(d * 3 - 1), unbounded=True), SHAPE)


def test_all_failures_are_told_at_once() -> None:
    with pytest.raises(AssertionError) as told:
        check_completer(Draw(lambda d, _: 1 - d), SHAPE)
    lines = str(told.value).splitlines()
    assert lines[0] == "Draw: 4 of 7 checks failed"
    assert all(line.startswith("- ") for line in lines[1:])


CHECKS: dict[str, Any] = {
    "sensor": check_sensor,
    "completer": check_completer,
    "classifier": check_classifier,
    "policy": check_policy,
    "estimator": check_estimator,
}


@pytest.mark.parametrize("kind", CHECKS)
@pytest.mark.parametrize("thing", [None, 5, torch.zeros(2), np.zeros((2, 2))])
def test_what_is_no_part_is_told_in_one_line(kind: str, thing: Any) -> None:
    with pytest.raises(AssertionError, match=rf"^{kind}(:| is) [^\n]*$"):
        CHECKS[kind](thing)


@pytest.mark.parametrize("kind", [kind for kind in CHECKS if kind != "estimator"])
@pytest.mark.parametrize("shape", [None, 5, (1, 2), "abc", (1, 2.5, 3), (0, 4, 4), (1, True, 4)])
def test_what_is_no_shape_is_refused(kind: str, shape: Any) -> None:
    with pytest.raises(ValueError, match=r"^(one of )?shape is .*, expected"):
        CHECKS[kind](Random(), shape)


@pytest.mark.parametrize("kind", ["completer", "classifier", "policy"])
def test_what_is_no_sensor_to_look_with_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="sensor is an int, 5, without designs"):
        CHECKS[kind](Random(), SHAPE, sensor=5)


def test_names_of_checks_are_words() -> None:
    names = [str(check) for check in sensor_checks(RowSensor(), SHAPE)]
    assert "pixels seen are those of the scene" in names
    assert not [name for name in names if "s" in name.split()]


def test_an_answer_that_is_ruled_out_is_warned_of() -> None:
    certain = Believe(lambda b, *_: torch.tensor([0.5, 0.5, 0]).log().expand(len(b), -1))
    with pytest.warns(UserWarning, match="Believe.log_probs gives answers probability 0"):
        check_classifier(certain, SHAPE)
    for value in (torch.inf, torch.nan):
        with pytest.raises(AssertionError, match=r"sum to inf, not 1|returned NaN"):
            check_classifier(Believe(lambda b, *_, v=value: b + v), SHAPE)
