"""How the training kit gives out time, on made-up curves."""

from __future__ import annotations

from boed.zoo.kit.timing import (
    Speed,
    fitted,
    next_slice,
    speed_of,
    steps_within,
    validations_within,
)


def test_time_goes_first_to_all_and_then_to_who_gains_most() -> None:
    assert next_slice({}) is None
    assert next_slice({"a": [], "b": []}) == "a"
    assert next_slice({"a": [(1, 0.9)], "b": []}) == "b"
    assert next_slice({"a": [(1, 0.9)], "b": [(1, 9.0)]}) == "a"
    assert next_slice({"a": [(1, 9.0), (2, 8.0)], "b": [(0, 0.5)]}) == "b"
    assert next_slice({"a": [(1, 9.0), (2, 8.0)], "b": [(1, 0.9), (2, 0.7)]}) == "b"  # relative
    assert next_slice({"a": [(1, 9.0), (2, 8.0)], "b": [(1, 0.9), (4, 0.7)]}) == "a"  # a minute
    nothing = [(1.0, 1.0), (2.0, 1.2)]
    assert next_slice({"a": nothing, "b": [(1, 5.0), (2, 4.99)]}) == "b"
    assert next_slice({"a": nothing, "b": nothing}) == "a"
    assert next_slice({"a": [(1, float("nan")), (2, 1.0)], "b": [(1, 1.0), (2, 0.9)]}) == "b"
    assert next_slice({"a": [(1, -5.0), (2, -6.0)], "b": nothing}) == "a"  # -sPCE falls


def test_made_up_curves_share_the_time_by_what_they_gain() -> None:
    def figure(name: str, minutes: float) -> float:
        return {"fast": 2.0 ** -min(minutes, 6.0), "slow": 1 - minutes / 100, "flat": 1.0}[name]

    curves: dict[str, list[tuple[float, float]]] = {"flat": [], "slow": [], "fast": []}
    for _ in range(16):
        name = next_slice(curves)
        assert name is not None
        minutes = len(curves[name]) + 1.0
        curves[name].append((minutes, figure(name, minutes)))
    assert {name: len(curve) for name, curve in curves.items()} == {
        "flat": 2, "slow": 7, "fast": 7
    }  # fmt: skip


def test_steps_are_what_a_share_of_the_time_holds() -> None:
    speed = Speed(start=10, step=0.1, validation=2)
    assert steps_within(100, speed) == round((90 - 10 - 20) / 0.1)
    assert steps_within(100, speed, slices=3) == round((90 - 30 - 24) / 0.1)
    assert steps_within(1, speed) == 10
    assert validations_within(1, speed) == 1
    assert fitted({}, 10, 1)["every"] == 10
    slow = Speed(start=1, step=0.1, validation=8)
    assert validations_within(100, slow) == 2
    assert steps_within(100, slow) == round((90 - 1 - 16) / 0.1)
    times = [4.0, 5.0, 6.0, 9.0, 10.0, 11.0, 14.0]  # a validation of 2 s after each third step
    assert speed_of(1.0, times) == Speed(start=3.0, step=1.0, validation=2.0)
    assert fitted({"warmup": 100}, 50, 10) == {"steps": 50, "every": 5, "warmup": 5}
    assert fitted({}, 20_001, 10) == {"steps": 20_001, "every": 2001, "warmup": 100}
