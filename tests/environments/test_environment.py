"""The Gymnasium environments: the checkers' rules, known best looks, agreement of all forms."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from boed.data.observation import Observation
from boed.policies import Decision
from boed.sensors import KSpaceLines, PatchSensor
from tests.doubles import (
    CLUE,
    PATCH,
    ClueClassifier,
    Clues,
    Constant,
    FindingsClassifier,
    RowSensor,
)

gymnasium = pytest.importorskip("gymnasium", minversion="1.1")

from gymnasium.error import ResetNeeded  # noqa: E402
from gymnasium.utils.env_checker import check_env  # noqa: E402
from gymnasium.vector import AutoresetMode, SyncVectorEnv  # noqa: E402

from boed.environments import (  # noqa: E402
    ClassifierPredicts,
    CrossEntropy,
    SensingEnv,
    VectorClassifierPredicts,
    VectorSensingEnv,
    play,
)

DATA = Clues().dataset(12)
FINDINGS = Clues().dataset(12, findings=True)
RIGHT, WRONG = CLUE[0], 0
"""A row that shows the clue, and one that does not."""

NOISY_PATCHES = PatchSensor(16, 0.25, 5, noise=0.1)


UNBOUNDED = (
    r"(?s).*(Box (action|observation) space (minimum|maximum) value is -?infinity"
    r"|For Box action spaces, we recommend using a symmetric and normalized space)"
)
"""What the checker says of logits and readings, which have no bounds."""


class Sums:
    """A user's sensor that sees no pixels: the sum of a column, shown spread over the column."""

    def designs(self, observation: Observation) -> Tensor:
        return torch.arange(observation.size)[:, None]

    def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
        taken = torch.nn.functional.one_hot(design[:, 0], scene.shape[-1]).float()
        if observation.taken is not None:
            taken = torch.maximum(taken, observation.taken)
        readings = scene.sum((1, 2)) * taken
        values = (readings / scene.shape[2])[:, None, None].expand_as(scene).contiguous()
        shown = taken[:, None, None].expand(-1, 1, scene.shape[2], -1).contiguous()
        return Observation(values, shown, readings=readings, taken=taken)

    def cost(self, design: Tensor) -> Tensor:
        return torch.full((len(design),), 2.0)


def envs() -> dict[str, Callable[..., SensingEnv]]:
    """Every kind of sensor, question and action."""
    return {
        "rows": lambda **k: SensingEnv(DATA, RowSensor(), 3, **k),
        "rows, belief": lambda **k: SensingEnv(
            DATA, RowSensor(), 3, classifier=ClueClassifier(), **k
        ),
        "findings": lambda **k: SensingEnv(
            FINDINGS,
            PatchSensor(16, 0.25, 5),
            3,
            classifier=FindingsClassifier(),
            cost_weight=0.5,
            **k,
        ),
        "anywhere": lambda **k: SensingEnv(
            DATA, PatchSensor(16), 3, classifier=ClueClassifier(), continuous=True, **k
        ),
        "noise": lambda **k: SensingEnv(
            DATA, NOISY_PATCHES, 3, classifier=Constant([-math.log(3)] * 3), **k
        ),
        "k-space": lambda **k: SensingEnv(DATA, KSpaceLines(16, noise=0.1), 3, **k),
        "indirect": lambda **k: SensingEnv(DATA, Sums(), 3, cost_weight=0.25, **k),
    }


ALL = list(envs())
BELIEVING = ["rows, belief", "findings", "anywhere"]


def answered(env: Any, look: Any) -> dict[str, Any]:
    """A look with the prediction that knows nothing."""
    return {"action": look, "prediction": np.zeros(env.prediction_space.shape, np.float32)}


def checked(env: Any, allowed: str = "never") -> None:
    """Gymnasium's checker, in which every warning but those that match `allowed` is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=allowed)
        check_env(env, skip_render_check=env.spec is None)


@pytest.mark.parametrize("name", ALL)
def test_passes_the_checker(name: str) -> None:
    checked(envs()[name](), UNBOUNDED)


@pytest.mark.parametrize("name", BELIEVING)
def test_passes_the_checker_when_the_classifier_predicts(name: str) -> None:
    checked(ClassifierPredicts(envs()[name]()), r"(?s).*is different from the unwrapped version")


@pytest.mark.parametrize("name", ALL)
def test_spaces_contain_what_comes_back(name: str) -> None:
    env = envs()[name]()
    env.action_space.seed(0)
    for episode in range(3):
        seen, info = env.reset(seed=episode)
        assert seen in env.observation_space
        assert info["prediction"]["target"] in env.prediction_target_space
        assert not seen["mask"].any()
        for look in range(1, 4):
            seen, reward, terminated, truncated, info = env.step(env.action_space.sample())
            assert seen in env.observation_space
            assert all(part.dtype == np.float32 for part in seen.values())
            assert info["prediction"]["target"] in env.prediction_target_space
            assert reward == pytest.approx(info["base_reward"] - info["prediction"]["loss"])
            assert seen["looks"] == pytest.approx(look / 3)
            assert (terminated, truncated) == (False, look == 3)


def test_follows_ap_gym() -> None:
    env = envs()["rows"]()
    assert env.action_space["action"] == env.inner_action_space == gymnasium.spaces.Discrete(16)
    assert env.action_space["prediction"] == env.prediction_space
    assert env.prediction_target_space == gymnasium.spaces.Discrete(3)
    assert env.prediction_space.shape == (3,)
    findings = envs()["findings"]()
    assert findings.prediction_target_space == gymnasium.spaces.MultiBinary(2)
    assert findings.prediction_space.shape == (4,)
    logits, target = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]]), np.array([2, 1])
    by_hand = np.log(np.exp(logits).sum(1)) - logits[[0, 1], target]
    np.testing.assert_allclose(env.loss_fn(logits, target, (2,)), by_hand, rtol=1e-12)


def test_loss_of_findings_is_differentiable() -> None:
    logits = torch.tensor([0.0, 0.0, math.log(3), 0.0], requires_grad=True)
    loss = CrossEntropy(findings=True).torch(logits, torch.tensor([1, 0]))
    expected = (math.log(2) + math.log(4 / 3)) / 2
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == pytest.approx([0.25, -0.25, -0.125, 0.125], abs=1e-6)


def test_reward_is_base_minus_loss_of_the_prediction_before_the_look() -> None:
    env = SensingEnv(DATA, Sums(), 2, cost_weight=0.25)
    _, info = env.reset(options={"scene": 3})
    target = info["prediction"]["target"]
    assert info["scene"] == 3
    assert target == int(DATA.labels[3])
    sure = np.full(3, -5, np.float32)
    sure[target] = 5
    _, reward, _, _, info = env.step({"action": 0, "prediction": sure})
    loss = math.log(1 + 2 * math.exp(-10))
    assert info["base_reward"] == pytest.approx(-0.25 * 2)
    assert info["prediction"]["loss"] == pytest.approx(loss, rel=1e-3)
    assert reward == pytest.approx(-0.5 - loss, rel=1e-6)
    _, reward, _, _, _ = env.step(answered(env, 0))
    assert reward == pytest.approx(-0.5 - math.log(3), rel=1e-6)


def test_own_loss() -> None:
    env = SensingEnv(DATA, RowSensor(), 1, loss=lambda p, t, batch_shape: p.argmax(-1) != t)
    env.reset(seed=0, options={"scene": 0})
    truth = int(DATA.labels[0])
    for answer, expected in ((truth, 0.0), ((truth + 1) % 3, -1.0)):
        env.reset(options={"scene": 0})
        prediction = np.eye(3, dtype=np.float32)[answer]
        assert env.step({"action": 0, "prediction": prediction})[1] == expected


@pytest.mark.parametrize(("look", "losses"), [(RIGHT, [0, 0]), (WRONG, [math.log(3)] * 2)])
def test_the_right_look_is_worth_more(look: int, losses: list[float]) -> None:
    env = ClassifierPredicts(
        SensingEnv(DATA, RowSensor(), 2, classifier=ClueClassifier(), cost_weight=0.1)
    )
    for seed in range(5):
        env.reset(seed=seed)
        rewards = [env.step(look)[1] for _ in range(2)]
        assert rewards == pytest.approx([-0.1 - loss for loss in losses], abs=1e-6)


def test_continuous_looks_reach_both_ends() -> None:
    env = envs()["anywhere"]()
    for action, corner in (([-1, -1], (0, 0)), ([1, 1], (12, 12)), ([1, -1], (12, 0))):
        env.reset(seed=0)
        seen = env.step(answered(env, np.array(action, np.float32)))[0]
        assert tuple(np.argwhere(seen["mask"][0])[0]) == corner
        assert seen["mask"].sum() == PATCH**2
    designs = torch.tensor([[3.0, 9.0], [12.0, 0.0]])
    back = env.task.designs(env.task.actions(Decision(designs, candidates=designs)), 2)
    torch.testing.assert_close(back, designs, rtol=0, atol=1e-5)


def test_shows_what_was_seen_and_nothing_else() -> None:
    env = envs()["rows"]()
    env.reset(options={"scene": 4})
    seen = env.step(answered(env, 9))[0]
    scene = DATA.scenes([4])[0].numpy()
    np.testing.assert_array_equal(seen["image"][:, 9], scene[:, 9])
    assert seen["image"].sum() == pytest.approx(scene[:, 9].sum())
    seen["image"][:] = 7  # the agent's own copy
    again = env.step(answered(env, 9))[0]
    np.testing.assert_array_equal(again["image"][:, 9], scene[:, 9])


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_episode(name: str) -> None:
    def run(seed: int) -> list[Any]:
        env = envs()[name]()
        env.action_space.seed(1)
        result: list[Any] = [env.reset(seed=seed)[0]]
        result += [env.step(env.action_space.sample())[:2] for _ in range(3)]
        env.reset()
        return [*result, env.step(env.action_space.sample())[:2]]

    state = torch.random.get_rng_state()
    first, second = run(5), run(5)
    np.testing.assert_equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state())


def test_seeds_draw_scenes_and_noise() -> None:
    env = envs()["noise"]()
    assert len({env.reset(seed=seed)[1]["scene"] for seed in range(40)}) == len(DATA)
    readings = []
    for seed in (0, 1):
        env.reset(seed=seed, options={"scene": 0})
        readings.append(env.step(answered(env, 0))[0]["image"])
    assert np.abs(readings[0] - readings[1]).max() > 0.01


@pytest.mark.parametrize("name", ALL)
def test_vectorised_equals_single_environments(name: str) -> None:
    single, number = envs()[name](), 4
    task = single.task
    vector = VectorSensingEnv(
        number, task.dataset, task.sensor, looks=3, classifier=task.classifier,
        cost_weight=task.cost_weight, continuous=task.bounds is not None,
    )  # fmt: skip
    sync = SyncVectorEnv([envs()[name]] * number)
    assert vector.metadata["autoreset_mode"] == sync.metadata["autoreset_mode"]
    assert vector.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert vector.single_observation_space == single.observation_space
    assert vector.observation_space == sync.observation_space
    assert vector.action_space == sync.action_space
    vector.action_space.seed(2)
    ours, theirs = vector.reset(seed=11), sync.reset(seed=11)
    assert vector.np_random_seed == sync.np_random_seed == (11, 12, 13, 14)
    for _ in range(9):  # two episodes, and the steps that start new ones
        np.testing.assert_equal(ours[1]["scene"], theirs[1]["scene"])
        for part, expected in theirs[0].items():
            np.testing.assert_allclose(ours[0][part], expected, rtol=0, atol=1e-6)
        assert ours[0] in vector.observation_space
        assert ours[1]["prediction"]["target"] in vector.prediction_target_space
        for mine, other in zip(ours[2:-1], theirs[2:-1], strict=True):
            np.testing.assert_allclose(mine, other, rtol=0, atol=1e-6)
        action = vector.action_space.sample()
        ours, theirs = ours[:0] + _ordered(vector.step(action)), _ordered(sync.step(action))


def _ordered(step: Any) -> Any:
    """Observation and info first, as `reset` returns them, then reward and ends."""
    seen, *rest, info = step
    return (seen, info, *rest, None)


def test_vectorised_looks_known() -> None:
    env = VectorSensingEnv(
        2, DATA, RowSensor(), looks=1, classifier=ClueClassifier(), render_mode="rgb_array"
    )
    wrapped = VectorClassifierPredicts(env)
    assert wrapped.action_space == gymnasium.spaces.MultiDiscrete([16, 16])
    _, info = wrapped.reset(options={"scene": np.array([4, 2])})
    assert info["scene"].tolist() == [4, 2]
    _, reward, _, truncated, info = wrapped.step(np.array([RIGHT, WRONG]))
    assert reward == pytest.approx([0, -math.log(3)], abs=1e-6)
    assert info["prediction"]["loss"] == pytest.approx([0, math.log(3)], abs=1e-6)
    assert truncated.all()
    assert [frame.shape for frame in env.render() or ()] == [(256, 256, 3)] * 2
    seen, reward, _, truncated, info = wrapped.step(np.array([0, 0]))
    assert reward.tolist() == [0, 0]
    assert not truncated.any()
    assert not seen["mask"].any()


def test_impossible_answers_cost_a_finite_loss() -> None:
    wrong = (int(DATA.labels[0]) + 1) % 3
    belief = torch.eye(3)[wrong].log().tolist()
    env = ClassifierPredicts(SensingEnv(DATA, RowSensor(), 1, classifier=Constant(belief)))
    env.reset(options={"scene": 0})
    assert env.step(0)[1] == pytest.approx(-87.3, abs=0.1)


def test_render() -> None:
    env = envs()["rows"](render_mode="rgb_array")
    env.reset(options={"scene": 0})
    before = env.render()
    assert before is not None
    assert before.shape == (256, 256, 3)
    assert before.dtype == np.uint8
    assert (before == before[0, 0]).all()
    env.step(answered(env, 9))
    after = env.render()
    assert after is not None
    rows = (after != before).any((1, 2))
    assert rows.nonzero()[0].tolist() == list(range(9 * 16, 10 * 16))
    pixels = DATA.images[0, 0, 9].numpy()
    np.testing.assert_array_equal(after[9 * 16, ::16], np.repeat(pixels[:, None], 3, 1))
    indirect = envs()["indirect"](render_mode="rgb_array")
    indirect.reset(seed=0)
    indirect.step(answered(indirect, 0))
    picture = indirect.render()
    assert picture is not None
    assert picture.shape == (256, 512, 3)


class Nan(RowSensor):
    """Returns NaN for every look but the first candidate's."""

    def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
        scene = torch.where(design.view(-1, 1, 1, 1) > 0, torch.nan, scene)
        return super().observe(observation, scene, design)


class Loud(RowSensor):
    """Shows pixels three times as bright."""

    def observe(self, observation: Observation, scene: Tensor, design: Tensor) -> Observation:
        return super().observe(observation, 3 * scene, design)


class Nowhere(RowSensor):
    """Has nowhere to look."""

    def designs(self, observation: Observation) -> Tensor:
        return torch.zeros(0, 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"looks": 0}, "looks is 0"),
        ({"dataset": DATA.subset(torch.arange(0))}, "no scenes"),
        ({"cost_weight": -1.0}, "cost_weight is -1"),
        ({"cost_weight": math.nan}, "cost_weight is nan"),
        ({"loss": "mse"}, "loss is 'mse'"),
        ({"continuous": True}, "continuous needs sensor.bounds.*RowSensor has none"),
        ({"render_mode": "human"}, "render_mode is 'human'"),
        ({"sensor": Nowhere()}, "Nowhere.designs returned no candidate"),
        ({"num_envs": 0}, "num_envs is 0"),
    ],
)
def test_refuses_to_be_made(given: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"dataset": DATA, "sensor": RowSensor(), "looks": 2}
    make = VectorSensingEnv if "num_envs" in given else SensingEnv
    with pytest.raises(ValueError, match=message):
        make(**{**good, **given})


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (16, r"action is 16, expected a candidate look, 0\.\.15"),
        (-1, "action is -1"),
        (1.5, "action must be the index of a candidate look.*float64"),
        ([1, 2], r"action must be the index.*\(1, 2\)"),
    ],
)
def test_refuses_looks_out_of_range(action: Any, message: str) -> None:
    env = envs()["rows"]()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(answered(env, action))
    assert env.episode.looks == 0


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([0.0, 1.5], "action has 1.5"),
        ([0.0, math.nan], "action has nan"),
        ([0.0], "action must be 2 numbers"),
    ],
)
def test_refuses_points_out_of_range(action: list[float], message: str) -> None:
    env = envs()["anywhere"]()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(answered(env, np.array(action, np.float32)))


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ({"action": 0, "prediction": [0.0, 0.0]}, "prediction must be 3 logits"),
        ({"action": 0, "prediction": [0.0, 0.0, math.nan]}, "prediction has NaN"),
        ({"action": 0}, "action must be .*got \\['action'\\]"),
        (3, "action must be .*got int"),
    ],
)
def test_refuses_predictions(action: Any, message: str) -> None:
    env = envs()["rows"]()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)


def test_refuses_what_cannot_be_played() -> None:
    env = envs()["rows"]()
    with pytest.raises(ResetNeeded):
        env.step(answered(env, 0))
    with pytest.raises(ValueError, match=r"options\['scene'\] is 12, expected 0\.\.11"):
        env.reset(options={"scene": 12})
    env.reset(seed=0)
    for _ in range(3):
        env.step(answered(env, 0))
    with pytest.raises(ResetNeeded, match="ended after 3 looks"):
        env.step(answered(env, 0))
    with pytest.raises(ValueError, match="env has no classifier"):
        ClassifierPredicts(env)
    with pytest.raises(ValueError, match="expected a SensingEnv"):
        ClassifierPredicts(gymnasium.make("CartPole-v1"))
    vector = VectorSensingEnv(2, DATA, RowSensor(), looks=3)
    with pytest.raises(ValueError, match="env has no classifier"):
        VectorClassifierPredicts(vector)
    with pytest.raises(ResetNeeded):
        vector.step(vector.action_space.sample())
    with pytest.raises(ValueError, match="seed has 3 entries for 2"):
        vector.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match=r"options\['scene'\] has 1 entries for 2"):
        vector.reset(options={"scene": [0]})
    with pytest.raises(ValueError, match="reset_mask"):
        vector.reset(options={"reset_mask": np.array([True, False])})


@pytest.mark.parametrize(
    ("sensor", "classifier", "message"),
    [
        (Nan(), None, "Nan.observe returned values that are NaN"),
        (Loud(), None, r"Loud.observe returned values from 0 to 1\..*attribute `noise`"),
        (RowSensor(), Constant([0.0, 0.0, 0.0]), "Constant.log_probs .* sum to 3, not 1"),
        (RowSensor(), Constant([math.nan] * 3), "Constant.log_probs returned NaN"),
        (RowSensor(), Constant([math.log(0.5)] * 2), r"returned \(1, 2\), expected \(1, 3\)"),
    ],
)
def test_names_the_part_that_misbehaves(sensor: Any, classifier: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):  # noqa: PT012
        env = SensingEnv(DATA, sensor, 2, classifier=classifier)
        env.reset(seed=0)
        env.step(answered(env, 9))


class Look:
    """A policy that always makes the same look."""

    def __init__(self, design: list[float]) -> None:
        self.design = torch.tensor(design)

    def choose(
        self, observation: Observation, sensor: Any, seed: Any = 0, truth: Any = None
    ) -> Any:
        candidates = sensor.designs(observation)
        return Decision(self.design.expand(len(observation), -1), candidates=candidates)


def test_policies_play() -> None:
    single = SensingEnv(DATA, RowSensor(), 2, classifier=ClueClassifier())
    ignorant, certain = -math.log(3), 0.0
    right = Look([RIGHT])
    assert play(ClassifierPredicts(single), right, seed=0) == pytest.approx([certain] * 2, abs=1e-6)
    assert play(single, right, seed=0) == pytest.approx([ignorant, certain], abs=1e-6)
    vector = VectorSensingEnv(3, DATA, RowSensor(), looks=2, classifier=ClueClassifier())
    rewards = play(VectorClassifierPredicts(vector), Look([WRONG]), seed=0)
    np.testing.assert_allclose(rewards, np.full((2, 3), ignorant), atol=1e-6)
    with pytest.raises(ValueError, match=r"Look.choose returned designs \[\[99\]\]"):
        play(single, Look([99]))
    with pytest.raises(ValueError, match="env has no classifier"):
        play(envs()["rows"](), right)
    anywhere = SensingEnv(DATA, PatchSensor(16), 1, classifier=ClueClassifier(), continuous=True)
    rewards = play(ClassifierPredicts(anywhere), Look([8.0, 4.0]), seed=0)
    assert rewards == pytest.approx([certain], abs=1e-6)


def test_registered() -> None:
    env = gymnasium.make("boed/Digits-v0", split="val", belief=True, render_mode="rgb_array")
    checked(env.unwrapped, UNBOUNDED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make("boed/Digits-v0", split="val", looks=2, render_mode="rgb_array")
        seen, info = env.reset(seed=0)
        assert seen["image"].shape == (1, 32, 32)
        for name in ("loss_fn", "prediction_target_space"):
            assert hasattr(env.unwrapped, name)
        env.step(env.action_space.sample())
        assert env.step(env.action_space.sample())[3]
        vector = gymnasium.make_vec("boed/Digits-v0", 3, "vector_entry_point", split="val")
    assert isinstance(vector, VectorSensingEnv)
    assert vector.reset(seed=0)[1]["scene"][0] == info["scene"]


def test_reinforcement_learning_finds_the_clue() -> None:
    """A bandit of 16 rows, four of which show the clue: random looks get -0.82 nats."""
    algorithms = pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    env = ClassifierPredicts(SensingEnv(DATA, RowSensor(), 1, classifier=ClueClassifier()))
    sb3_check_env(env, warn=False)
    with torch.random.fork_rng():
        model = algorithms.PPO(
            "MultiInputPolicy", env, n_steps=64, batch_size=64, n_epochs=5, learning_rate=1e-2,
            policy_kwargs={"net_arch": [8]}, seed=0, device="cpu",
        )  # fmt: skip
        model.learn(768)
    rewards = []
    for seed in range(4):
        seen, _ = env.reset(seed=seed)
        action, _ = model.predict(seen, deterministic=True)
        rewards.append(env.step(action)[1])
    assert rewards == pytest.approx([0] * 4, abs=1e-6)


def test_import_boed_leaves_gymnasium_alone() -> None:
    code = "import sys, boed; sys.exit('gymnasium' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_says_what_to_install() -> None:
    code = "import sys; sys.modules['gymnasium'] = None; import boed.environments"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "boed[env]"' in done.stderr
