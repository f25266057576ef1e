"""The training loop: resuming, averaging, skipping, recovering, stopping in time."""

from __future__ import annotations

import math
import signal
import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn

from boed.foundation import precision
from boed.foundation.files import load_weights, save_weights
from boed.foundation.randomness import derive
from boed.training import loop
from boed.training.config import TrainingConfig
from boed.training.loop import fit

SETTINGS = TrainingConfig(steps=12, batch=4, lr=0.05, warmup=3, ema=0.9, every=4)


@pytest.fixture(autouse=True)
def _nothing_chosen_before(monkeypatch):
    monkeypatch.setattr(loop, "_CHOSEN", {})


def network(seed=0, channels_last=False):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.GELU(), nn.Conv2d(6, 3, 3), nn.Flatten()
    )
    return model.to(memory_format=torch.channels_last) if channels_last else model


def batch_loss(model, bad=(), value=math.nan):
    """Squared outputs on random batches; at the steps `bad` the loss is spoilt."""

    def loss(step):
        x = torch.randn(4, 2, 7, 7)
        if step in bad and math.isnan(value):
            x = x * value
        out = (model(x) - 1).square().mean()
        return out * value if step in bad and not math.isnan(value) else out

    return loss


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def size_of(model):
    return {"norm": float(sum(p.abs().sum() for p in model.parameters()))}


class Interrupt(Exception):
    pass


def interrupt_at(step):
    def on_step(now, loss):
        if now == step:
            raise Interrupt

    return on_step


def scripted(model):
    """A figure that is lowest at step 8, with what tells the weights of each validation apart."""
    figures = iter([0.5, 0.2, 0.3])
    return lambda _: {"val": next(figures), **size_of(model)}


def best_in(state):
    tensors, header = load_weights(state)
    best = {k[5:]: v for k, v in tensors.items() if k.startswith("best.")}
    return best, header["progress"]["best"]


@pytest.mark.parametrize("kill", [9, 10, 12])
def test_the_best_weights_are_those_of_the_lowest_figure_also_after_a_kill(tmp_path, kill):
    """They are the averaged ones, buffers included; what does not learn is not kept twice."""
    kept = []

    def validate(current):
        kept.append({k: v.clone() for k, v in current.state_dict().items()})
        return {"val": [0.5, 0.2, 0.3][len(kept) - 1]}

    def begun(seed):
        model = network(seed)
        model[3].bias.requires_grad_(False)
        return model

    model, whole = begun(0), tmp_path / "whole.safetensors"
    fit(model, batch_loss(model), SETTINGS, state=whole, validate=validate, merit="val")
    best, row = best_in(whole)
    assert row == {**row, "step": 8.0, "val": 0.2}
    assert best.keys() == kept[1].keys() - {"3.bias"}
    assert all(torch.equal(best[k], kept[1][k]) for k in best)
    assert not torch.equal(kept[2]["0.weight"], kept[1]["0.weight"])

    model, state = begun(0), tmp_path / "state.safetensors"
    how = {"state": state, "merit": "val"}
    with pytest.raises(Interrupt):
        fit(model, batch_loss(model), SETTINGS, validate=scripted(model),
            on_step=interrupt_at(kill), **how)  # fmt: skip
    assert same(best_in(state)[0], best)
    model = begun(5)
    fit(model, batch_loss(model), SETTINGS, validate=lambda _: {"val": 0.3}, **how)
    assert same(best_in(state)[0], best)


def test_no_figure_that_is_not_finite_is_the_best(tmp_path):
    model, state = network(), tmp_path / "state.safetensors"
    figures = iter([math.nan, 0.4, -math.inf])
    _, progress = fit(model, batch_loss(model), SETTINGS, state=state, merit="val",
                      validate=lambda _: {"val": next(figures)})  # fmt: skip
    assert progress.best["val"] == 0.4
    assert progress.at_best().step == 8
    assert [row["step"] for row in progress.at_best().history] == [4, 8]


def test_a_merit_that_no_figure_has_is_named():
    model = network()
    with pytest.raises(ValueError, match=r"merit is 'val_los', expected a figure .*norm"):
        fit(model, batch_loss(model), SETTINGS, validate=size_of, merit="val_los")


def test_a_state_from_before_best_weights_is_gone_on_with(tmp_path):
    """The best is then of the validations from there on."""
    model, state = network(), tmp_path / "state.safetensors"
    expected, _ = fit(model, batch_loss(model), SETTINGS)
    begun = network()
    with pytest.raises(Interrupt):
        fit(begun, batch_loss(begun), SETTINGS, state=state, validate=scripted(begun),
            on_step=interrupt_at(10))  # fmt: skip
    tensors, header = load_weights(state)
    del header["progress"]["best"]
    save_weights(state, tensors, header)
    (tmp_path / "state.curve.csv").unlink()
    again = network(seed=3)
    weights, progress = fit(again, batch_loss(again), SETTINGS, state=state, merit="val",
                            validate=lambda _: {"val": 0.3})  # fmt: skip
    assert same(weights, expected)
    assert progress.best["step"] == 12
    assert progress.at_best() is None


def test_each_validation_is_logged(caplog):
    model = network()
    with caplog.at_level("INFO", logger="boed.training"):
        fit(model, batch_loss(model), SETTINGS, validate=scripted(model), merit="val")
    said = [record.getMessage().split(", norm")[0] for record in caplog.records]
    assert said == ["step 4: val 0.5000 (best)", "step 8: val 0.2000 (best)", "step 12: val 0.3000"]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("bad", [(), (1, 5)])
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, channels_last, bad):
    whole = network(channels_last=channels_last)
    expected, whole_progress = fit(
        whole, batch_loss(whole, bad), SETTINGS, state=None, validate=size_of
    )
    parts = network(channels_last=channels_last)
    state = tmp_path / "state.safetensors"
    for step in (6, 11):
        with pytest.raises(Interrupt):
            fit(
                parts,
                batch_loss(parts, bad),
                SETTINGS,
                state=state,
                validate=size_of,
                on_step=interrupt_at(step),
            )
        parts = network(seed=step, channels_last=channels_last)  # another process, other weights
    resumed, progress = fit(parts, batch_loss(parts, bad), SETTINGS, state=state, validate=size_of)
    assert same(resumed, expected)
    assert progress.history == whole_progress.history
    assert [row["step"] for row in progress.history] == [4, 8, 12]
    assert (
        (progress.step, progress.skipped)
        == (whole_progress.step, whole_progress.skipped)
        == (12, len(bad))
    )


def test_a_finished_training_is_not_gone_on_with(tmp_path):
    model, state = network(), tmp_path / "state.safetensors"
    expected, _ = fit(model, batch_loss(model), SETTINGS, state=state)
    again = network(seed=5)

    def never(step):
        raise AssertionError

    weights, progress = fit(again, never, SETTINGS, state=state)
    assert same(weights, expected)
    assert progress.step == 12


def test_average_and_returned_weights():
    """average <- average + (1 - d)(weights - average), d = min(ema, (1 + step) / (10 + step))."""
    model = network()
    average = {k: p.detach().clone() for k, p in model.named_parameters()}

    def on_step(now, loss):
        decay = min(0.3, now / (9 + now))
        for name, p in model.named_parameters():
            average[name] += (1 - decay) * (p.detach() - average[name])

    seen = {}

    def validate(current):
        assert not current.training
        seen.update({k: p.detach().clone() for k, p in current.named_parameters()})
        return {}

    settings = replace(SETTINGS, ema=0.3)
    weights, _ = fit(
        model, batch_loss(model), settings, state=None, validate=validate, on_step=on_step
    )
    assert model.training
    for name, p in model.named_parameters():
        assert torch.allclose(p, average[name], atol=1e-6)
        assert torch.equal(p, weights[name])
        assert torch.equal(p, seen[name])
    assert set(weights) == set(model.state_dict())


def test_only_what_requires_gradients_is_trained():
    model = network()
    model[0].requires_grad_(False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    weights, _ = fit(model, batch_loss(model), SETTINGS)
    assert torch.equal(weights["0.weight"], before["0.weight"])
    assert not torch.equal(weights["3.weight"], before["3.weight"])


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e6])
def test_bad_steps_are_skipped_and_poison_nothing(value):
    """NaN and infinite losses and too large gradients change no weight and no statistic."""
    model, states = network(), []

    def on_step(now, loss):
        states.append({k: v.clone() for k, v in model.state_dict().items()})

    settings = replace(SETTINGS, skip=1000.0)
    bad = (0, 3, 4, 9)
    weights, progress = fit(model, batch_loss(model, bad, value), settings, on_step=on_step)
    assert progress.skipped == len(bad)
    assert progress.restored == 0
    for step in range(1, 12):
        assert same(states[step], states[step - 1]) == (step in bad)
    for tensor in weights.values():
        assert torch.isfinite(tensor).all()


def test_patience_goes_back_to_the_last_good_state():
    """Weights that only give NaN are left behind for those of the last checkpoint."""
    model, kept, after = network(), {}, []

    def loss(step):
        value = batch_loss(model)(step)
        return value * math.nan if 6 <= step < 12 and not after else value

    def on_step(now, loss):
        current = {k: v.clone() for k, v in model.state_dict().items()}
        if now == 4:  # `every`: the snapshot
            kept.update(current)
        if now == 9:
            after.append(current)

    settings = replace(SETTINGS, patience=3)
    weights, progress = fit(model, loss, settings, on_step=on_step)
    assert progress.restored == 1
    assert progress.skipped == 3
    assert same(after[0], kept)
    assert not torch.equal(weights["0.weight"], kept["0.weight"])


def test_going_back_twice_finds_the_same_optimiser_state(monkeypatch):
    """The snapshot must not change while training goes on from it."""
    from boed.training import updates

    model, moments = network(), []
    real = updates._revert

    def spy(model, optimiser, good):
        real(model, optimiser, good)
        entries = optimiser.state_dict()["state"].values()
        moments.append([x.clone() for entry in entries for x in entry.values()])

    monkeypatch.setattr(updates, "_revert", spy)
    settings = replace(SETTINGS, steps=20, every=8, patience=2)
    _, progress = fit(model, batch_loss(model, bad=(9, 10, 12, 13)), settings)
    assert progress.restored == 2
    assert all(torch.equal(a, b) for a, b in zip(*moments, strict=True))


def test_a_training_that_never_makes_an_update_says_so():
    model = network()
    nothing = batch_loss(model, bad=range(100))
    settings = replace(SETTINGS, steps=100, patience=5)
    with pytest.raises(ValueError, match=r"none of the first 5 updates .*loss was nan"):
        fit(model, nothing, settings)
    with pytest.raises(ValueError, match=r"none of the first 3 updates.*at most skip = 1e-09"):
        fit(model, batch_loss(model), replace(SETTINGS, steps=3, skip=1e-9))


@pytest.mark.parametrize("name", ["steps", "batch", "lr", "ema", "seed", "skip", "betas"])
def test_a_state_made_with_other_settings_is_refused(tmp_path, name):
    model, state = network(), tmp_path / "state.safetensors"
    fit(model, batch_loss(model), SETTINGS, state=state)
    values = {"steps": 13, "batch": 5, "lr": 0.1, "ema": 0.5, "seed": 1, "skip": 9.0}
    other = replace(SETTINGS, **{name: values.get(name, (0.9, 0.95))})
    with pytest.raises(ValueError, match=r"settings: .* give the same settings and data, or"):
        fit(model, batch_loss(model), other, state=state)


def test_a_state_of_another_model_is_refused(tmp_path):
    model, state = network(), tmp_path / "state.safetensors"
    fit(model, batch_loss(model), SETTINGS, state=state)
    other = nn.Linear(3, 3)
    with pytest.raises(ValueError, match="belongs to another model"):
        fit(other, lambda step: other(torch.ones(3)).sum(), SETTINGS, state=state)


def test_a_state_of_other_data_is_refused(tmp_path):
    model, state = network(), tmp_path / "state.safetensors"
    ours = {"data": "digits", "sha256": "123", "init": None}
    fit(model, batch_loss(model), SETTINGS, state=state, about=ours)
    fit(model, batch_loss(model), SETTINGS, state=state, about={**ours, "look_fraction": 0.25})
    for name, value in (("sha256", "456"), ("init", {"steps": 7})):
        with pytest.raises(ValueError, match=f"of another training: {name}.* is .* there, now"):
            fit(model, batch_loss(model), SETTINGS, state=state, about={**ours, name: value})


def test_a_state_from_before_devices_and_checksums_is_gone_on_with(tmp_path):
    """Its header knows neither, and its settings are those of one device."""
    model, state = network(), tmp_path / "state.safetensors"
    expected, _ = fit(model, batch_loss(model), SETTINGS)
    begun = network()
    with pytest.raises(Interrupt):
        fit(begun, batch_loss(begun), SETTINGS, state=state, validate=None, on_step=interrupt_at(6))
    header = load_weights(state)[1]
    assert header["settings"].keys() == {
        "steps", "batch", "lr", "warmup", "weight_decay", "betas", "ema", "clip", "skip",
        "patience", "seed", "precision",
    }  # fmt: skip
    assert header.keys() == {"kind", "settings", "progress"}
    again = network(seed=3)
    weights, _ = fit(again, batch_loss(again), SETTINGS, state=state, about={"sha256": "123"})
    assert same(weights, expected)
    assert load_weights(state)[1]["about"] == {"sha256": "123"}


def test_a_time_limit_stops_early_and_resumably(tmp_path):
    model = network()
    expected, _ = fit(model, batch_loss(model), SETTINGS)
    parts, state = network(), tmp_path / "state.safetensors"
    short = replace(SETTINGS, minutes=1e-9)
    steps = []
    for _ in range(20):  # minutes may change between the parts of a training
        weights, progress = fit(parts, batch_loss(parts), short, state=state)
        steps.append(progress.step)
        assert load_weights(state)[1]["progress"]["step"] == progress.step
        if progress.step == 12:
            break
        parts = network(seed=3)
    assert steps == list(range(1, 13))
    assert same(weights, expected)


def test_learning_rate_warms_up_and_ends_at_zero(monkeypatch):
    rates = []
    real = torch.optim.AdamW.step

    def spy(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    model = network()
    fit(model, batch_loss(model), SETTINGS)
    cosine = [0.5 * (1 + math.cos(math.pi * step / 12)) for step in range(12)]
    expected = [0.05 * min(1, (step + 1) / 3) * cosine[step] for step in range(12)]
    assert rates == pytest.approx(expected)


def test_what_auto_chose_once_stays_when_the_training_goes_on(monkeypatch, tmp_path):
    ratios = iter([0.5, 2.0])
    monkeypatch.setattr(precision, "bf16_speedup", lambda device, training: next(ratios))
    state, short = tmp_path / "state.safetensors", replace(SETTINGS, minutes=1e-9)
    for expected in ("fp32", "fp32"):
        model = network()
        progress = fit(model, batch_loss(model), short, state=state)[1]
        assert progress.precision == expected
    assert next(ratios) == 2.0  # measured once


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_trying_precisions_leaves_no_trace(monkeypatch, ratio):
    """A network with statistics of its own, and a loss that draws numbers."""
    tried = []

    def speedup(step, device, least, most):
        for rounded in (False, True):
            step(rounded)
            tried.append(rounded)
        return ratio

    def trained(asked):
        model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 3))
        model.load_state_dict({k: torch.ones_like(v) for k, v in model.state_dict().items()})

        def loss(step):
            return (model(torch.randn(4, 2, 7, 7)) - 1).square().mean()

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # bf16 may be slower here
            return fit(model, loss, replace(SETTINGS, precision=asked))

    monkeypatch.setattr(precision, "bf16_speedup", lambda device, training: 2.0)
    monkeypatch.setattr(precision, "_speedup", speedup)
    found, progress = trained("auto")
    assert tried == [False, True]
    expected, same = trained("fp32" if ratio < 1 else "bf16")
    assert progress.precision == same.precision
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_bf16_keeps_weights_in_float32():
    model, seen = network(), []

    def loss(step):
        out = model(torch.randn(4, 2, 7, 7))
        seen.append(out.dtype)
        return (out - 1).square().mean()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may be slower here
        weights, progress = fit(model, loss, replace(SETTINGS, precision="bf16"))
    assert progress.precision == "bf16"
    assert set(seen[-SETTINGS.steps :]) == {torch.bfloat16}  # before, both may have been tried
    assert weights["0.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"patience": 0}, "patience is 0, expected at least 1"),
        ({"lr": 0.0}, r"lr is 0\.0, expected more than 0"),
        ({"lr": math.nan}, "lr is nan, expected more than 0"),
        ({"skip": -1.0}, r"skip is -1\.0, expected more than 0"),
        ({"ema": 1.0}, r"ema is 1\.0, expected 0 <= ema < 1"),
    ],
)
def test_settings_that_make_no_sense(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **change)


class Pair(nn.Module):
    """A generator and its critic, which is shown batches; each has batch norm of its own."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.generator = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
        self.critic = nn.Sequential(nn.Linear(2, 6), nn.GELU(), nn.Linear(6, 1))

    def loss(self, step, bad=()):
        """Three critic steps, then one of the generator, as Wasserstein GANs are trained."""
        made, spoilt = self.generator(torch.randn(4, 3)), math.nan if step in bad else 1.0
        if step % 4 < 3:
            real = torch.randn(4, 2) + 1
            return (self.critic(made.detach()) - self.critic(real)).mean() * spoilt
        constant = {name: p.detach() for name, p in self.critic.named_parameters()}
        return -torch.func.functional_call(self.critic, constant, (made,)).mean() * spoilt

    def clamp(self):
        with torch.no_grad():
            for parameter in self.critic.parameters():
                parameter.clamp_(-0.2, 0.2)


def turns(model, settings=SETTINGS, bad=(), **how):
    return fit(model, lambda step: model.loss(step, bad), settings, after_update=model.clamp, **how)


def test_networks_take_turns_and_rest_with_their_moments():
    """Weight decay and moments would move a network whose gradients are zeros and not missing."""
    model = Pair()
    model.clamp()
    states = [{k: p.detach().clone() for k, p in model.named_parameters()}]

    def on_step(now, loss):
        states.append({k: p.detach().clone() for k, p in model.named_parameters()})

    turns(model, replace(SETTINGS, weight_decay=0.5), on_step=on_step)
    for step in range(12):
        changed = {k.split(".")[0] for k, v in states[step].items()
                   if not torch.equal(v, states[step + 1][k])}  # fmt: skip
        assert changed == ({"critic"} if step % 4 < 3 else {"generator"}), step


def test_bounds_hold_for_the_average_of_the_weights_too():
    model, seen = Pair(), []
    model.clamp()

    def validate(current):
        seen.append(max(float(p.abs().max()) for p in current.critic.parameters()))
        return {}

    settings = replace(SETTINGS, lr=1.0, ema=0.3)
    weights, _ = turns(model, settings, validate=validate)
    assert len(seen) == 3
    assert max(seen) <= 0.2 + 1e-6
    assert max(float(v.abs().max()) for k, v in weights.items() if k.startswith("critic")) > 0.15
    free = Pair()
    fit(free, free.loss, settings)
    assert max(float(p.detach().abs().max()) for p in free.critic.parameters()) > 0.3


def test_nothing_is_called_after_an_update_that_was_not_made():
    model, calls = Pair(), []
    fit(
        model, lambda step: model.loss(step, (1, 7)), SETTINGS, after_update=lambda: calls.append(1)
    )
    assert len(calls) == 10


@pytest.mark.parametrize("kill", range(1, 12))
@pytest.mark.parametrize("bad", [(), (2, 3, 7)])
def test_resumed_in_the_middle_of_a_cycle_bit_for_bit(tmp_path, kill, bad):
    """Also before the generator has ever moved, so that it has no moments."""
    how = {"settings": replace(SETTINGS, rates={"critic": 0.5}, every=5), "bad": bad}
    expected, whole = turns(Pair(), **how)
    state = tmp_path / "state.safetensors"

    def stop(now, loss):
        if now == kill:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        turns(Pair(), state=state, on_step=stop, **how)
    resumed, progress = turns(Pair(seed=5), state=state, **how)
    assert same(resumed, expected)
    assert (progress.step, progress.skipped) == (whole.step, whole.skipped) == (12, len(bad))


def test_parts_of_a_model_have_rates_of_their_own():
    """The first step of AdamW is as long as the learning rate; the longest prefix decides."""
    model = Pair()
    before = {k: p.detach().clone() for k, p in model.named_parameters()}
    steps = {}

    def on_step(now, loss):
        for name, p in model.named_parameters():
            steps[name] = float((p.detach() - before[name]).abs().max())

    rates = {"critic": 0.5, "generator": 2.0, "generator.2": 3.0, "generator.2.bias": 0.1}
    settings = replace(SETTINGS, steps=1, warmup=0, weight_decay=0.0, rates=rates)
    fit(model, lambda step: sum(p.sum() for p in model.parameters()), settings, on_step=on_step)
    factors = {"critic": 0.5, "generator.0": 2, "generator.1": 2, "generator.2.weight": 3,
               "generator.2.bias": 0.1}  # fmt: skip
    for name, length in steps.items():
        factor = next(each for part, each in factors.items() if name.startswith(part))
        assert length == pytest.approx(0.05 * factor, rel=1e-3), name


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ({"critc": 0.5}, "rates has 'critc', with which no parameter .* generator, critic"),
        ({"gener": 0.5}, "rates has 'gener'"),
        ({"generator.9": 0.5}, r"rates has 'generator\.9'"),
        ({"critic": 0.0}, "rates: critic is 0.0, expected more than 0"),
        ({"critic": -1}, "rates: critic is -1.0, expected more than 0"),
        ({"critic": math.nan}, "rates: critic is nan"),
        ({"critic": math.inf}, "rates: critic is inf, expected a finite number"),
        ({"critic": "fast"}, "rates: critic is 'fast', expected a number"),
        (2.0, "rates is 2.0, expected factors by how names"),
    ],
)
def test_rates_that_make_no_sense_are_refused_before_any_step(rates, said):
    model = Pair()

    def never(step):
        raise AssertionError

    with pytest.raises(ValueError, match=said):
        fit(model, never, replace(SETTINGS, rates=rates))


def test_a_state_of_other_rates_is_refused(tmp_path):
    state = tmp_path / "state.safetensors"
    turns(Pair(), replace(SETTINGS, rates={"critic": 0.5}), state=state)
    with pytest.raises(ValueError, match=r"settings: .* give the same settings and data, or"):
        turns(Pair(), state=state)


@pytest.mark.parametrize("rates", [{}, {"0": 1.0, "3.bias": 1.0}])
def test_without_turns_it_is_plain_adamw_to_the_bit(rates):
    """Written out again: nothing that takes turns changes what trains all at once."""
    model, other = network(), network()
    fit(model, batch_loss(model), replace(SETTINGS, steps=6, ema=0.0, rates=rates))
    loss = batch_loss(other)
    optimiser = torch.optim.AdamW(other.parameters(), lr=0.05, betas=(0.9, 0.9), weight_decay=0.01)
    for step in range(6):
        torch.manual_seed(derive(0, "step", step))
        warm = min(1.0, (step + 1) / 3)
        optimiser.param_groups[0]["lr"] = 0.05 * (warm * 0.5 * (1 + math.cos(math.pi * step / 6)))
        optimiser.zero_grad()
        loss(step).backward()
        nn.utils.clip_grad_norm_(other.parameters(), 200.0)
        optimiser.step()
    assert same(model.state_dict(), other.state_dict())
