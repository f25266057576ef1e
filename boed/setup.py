"""From names, paths and objects to everything that a run needs: `setup(...)`."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from boed.classifiers.classifier import Classifier, check_is_classifier
from boed.classifiers.primary import Primary
from boed.classifiers.trained import TrainedClassifier
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completer, check_is_completer
from boed.completion.importance import Weighted
from boed.completion.log_probability import LikelihoodCompleter, meaning
from boed.data.dataset import Dataset
from boed.data.labels import SPLITS
from boed.data.load import load
from boed.data.observation import Observation
from boed.foundation.arguments import check_kind, checked
from boed.foundation.checks import attribute, check_protocol, describe
from boed.foundation.options import COUNT, Device, Names, OneOf, Shares, refusal, split_names
from boed.foundation.precision import PRECISIONS, choose
from boed.foundation.registry import check_known, looks_like_path
from boed.policies import Policy, Random
from boed.policies.learned import Value
from boed.policies.names import INFORMED, POLICIES, named_policy
from boed.policies.policy import check_is_policy
from boed.search import Screening, Search
from boed.sensors import PatchSensor, Sensor
from boed.sensors.registry import check_sensor_name, default_sensor, sensor_named
from boed.sensors.sensor import candidates, check_is_sensor
from boed.zoo import (
    DEFAULT_SIZE,
    Context,
    Missing,
    classifier_for,
    completer_for,
    primary_for,
)
from boed.zoo.effects import check_of_the_data, warn_without_effect
from boed.zoo.models import check_names, shipped_of, weights
from boed.zoo.policies import first_completions, policies_for, search_for

Part = TypeVar("Part")


@checked
@dataclass(frozen=True, eq=False, kw_only=True)
class Setup:
    """Everything that a run needs, each a name's object or the user's own.

    Attributes:
        data: the scenes that are looked at, with their labels.
        library: scenes to retrieve from and to fit to; None where there are none.
        sensor: what a look returns.
        classifier: the belief that is scored, and that information is about.
        completer: the one of the policies that name none; None where no policy draws completions.
        policies: by name, in order; the first is what the run is about.
        baseline: name of the policy that the others are compared with; None if there is none.
        steps: looks at most.
        primary: the metric and number of looks that the run is judged by, as `accuracy@2`.
        device: where the scenes are put; the models are there.
        memory: bound on the images held at once, MiB.
        options: what was asked for, as a file of settings holds it.
        about: what the report says of it.
    """

    data: Dataset
    library: Dataset | None
    sensor: Sensor
    classifier: Classifier
    completer: Completer | None
    policies: dict[str, Policy]
    baseline: str | None
    steps: int
    primary: str
    device: str = "cpu"
    memory: int = 512
    options: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)


def setup(
    data: str | Path | Dataset = "digits",
    *,
    sensor: str | Mapping[str, Any] | Sensor | None = None,
    classifier: str | Path | Classifier | None = None,
    completer: str | Path | Completer | None = None,
    reweight: str | Path | LikelihoodCompleter | None = None,
    policies: str | Sequence[str] | Mapping[str, Policy] = ("boed", "random"),
    baseline: str | None = None,
    primary: str | None = None,
    library: str | Path | Dataset | None = None,
    val: Dataset | None = None,
    size: int | None = None,
    split: str | None = None,
    steps: int = 3,
    completions: int = 10,
    search: str | Search = "racing",
    precision: str = "fp32",
    prevalence: str | float | Mapping[str, float] | None = None,
    memory: int = 512,
    device: str = "cpu",
) -> Setup:
    """Put a run together. Every part is a name, a path, or an object of your own.

    Args:
        data: the scenes: a name of `boed data list`, the path of a file or folder, or a `Dataset`.
        sensor: a name of `boed.sensors.registry.SENSORS`, with options as in `patch,grid=9` or in
            a mapping; `package.module:Class`; or an object. Features for a table, else patches.
        classifier: a shipped model's name, a checkpoint's path, `trees` or `gaussian`, which are
            fitted to the library; `package.module:Class`; or an object. What is shipped for data
            and sensor by default.
        completer: `aipo`, `flow`, ... as shipped for the data, a shipped model's name, a
            checkpoint's path, `retrieval` or `gaussian`; `package.module:Class`; or an object.
        reweight: a completer with a likelihood, such as `pc-cnn`, by which the completions are
            weighted (see `boed.completion.importance.Weighted`); by its name, path, or an object.
        policies: names of `POLICIES`, `package.module:Class`, or trained networks by name or path
            (`NAME=PATH`; `boed_value=PATH` for its proposals), as a list or with commas between; or
            objects by name. The first is what the run is about.
        baseline: which policy the others are compared with; a random one if there is one.
        primary: the metric and number of looks that the run is judged by, such as `nll@2`, stated
            beforehand; that of the data set if not given (see `boed.zoo.primary_for`).
        library: where the library is, of which the train split is taken; that of `data` if not
            given. Or a `Dataset`.
        val: scenes on which numbers are chosen; the val split of the library if not given.
        size: width in pixels; the one for which models are shipped if not given.
        split: `train`, `val` or `test`; `test` if not given.
        steps: looks at most.
        completions: N, for each decision.
        search: a name of `SEARCHES`, `screen` for the one shipped for the data, the name or path of
            a screen, or an object. It is for the estimators that can be searched so; the others
            are exhaustive. The EIG maps of a search that drops candidates are not whole.
        precision: of the classifier: `fp32`, the same on all machines; `bf16`, which rounds beliefs
            and is faster where the machine has such arithmetic; or `auto`, the faster one here.
        prevalence: probabilities of the answers in the population that the scenes come from, by
            name, or `name=0.3,other=0.7`; or of the second of two answers alone. What training
            assumed if not given.
        memory: bound on the images held at once, MiB.
        device: where the models run.

    Raises:
        ValueError: something is unknown, missing or does not fit; what is missing is said at once.

    Warns:
        UserWarning: of each argument that was given and has no effect.
    """
    given = {
        "completer": completer is not None, "reweight": reweight is not None,
        "library": library is not None, "val": val is not None,
        "completions": completions != 10, "search": search != "racing",
        "precision": precision == "auto",
    }  # fmt: skip
    for name, number in (("steps", steps), ("completions", completions), ("memory", memory)):
        COUNT.check(name, number)
    if size is not None:
        COUNT.check("size", size)
    _check_parts(
        sensor=sensor, classifier=classifier, completer=completer, reweight=reweight, search=search
    )
    check_kind("data", data, str | Path | Dataset)
    check_kind("library", library, str | Path | Dataset | None)
    check_kind("val", val, Dataset | None)
    check_kind("baseline", baseline, str | None)
    check_kind("primary", primary, str | None)
    if split is not None:
        OneOf(SPLITS).check("split", split)
    if isinstance(data, Dataset):
        check_of_the_data(data, size=size, split=split)
    split = split or (data.split if isinstance(data, Dataset) else "test")
    OneOf(PRECISIONS).check("precision", precision)
    if prevalence is not None:
        Shares().check("prevalence", prevalence)
    Device().check("device", device)
    if isinstance(sensor, str | Mapping):
        check_sensor_name(sensor)
    if isinstance(policies, str):
        policies = split_names(policies)
    if primary is not None:
        Primary.read(primary, steps=steps)
    names = _policy_names(policies)
    _check_baseline(baseline, names)
    check_names(classifier=classifier, completers=[completer, reweight], search=search)
    options = {
        "data": _asked(data), "sensor": _asked(sensor), "classifier": _asked(classifier),
        "completer": _asked(completer), "reweight": _asked(reweight), "policies": list(policies),
        "baseline": baseline, "primary": primary, "library": _asked(library), "size": size,
        "split": split, "steps": steps,
        "completions": completions, "search": _asked(search), "precision": precision,
        "prevalence": _asked(prevalence), "memory": memory, "device": device,
    }  # fmt: skip
    context = context_for(
        data, sensor=sensor, library=library, val=val, size=size, split=split, steps=steps
    )
    scenes, looker, shelf = context.data, context.sensor, context.library
    scenes.check_question()
    judge, sampler = _models(context, classifier, completer, names, policies)
    target: Any = reweight
    if isinstance(reweight, str | Path):
        target = completer_for(context, str(reweight))
    if sampler is not None and target is not None:
        sampler = Weighted(sampler, target)
    drawer = sampler.proposal if isinstance(sampler, Weighted) else sampler
    for model in (judge, drawer, target):
        if isinstance(model, torch.nn.Module):
            model.to(device)
    if isinstance(judge, TrainedClassifier) and precision != "fp32":
        judge.precision = options["precision"] = choose(precision, device, training=False)
    elif precision == "bf16":
        raise ValueError(
            "precision is 'bf16', which is for DenseNet classifiers, not for "
            f"{type(judge).__name__}"
        )
    if prevalence is not None:
        if not isinstance(judge, TrainedClassifier):
            raise ValueError(
                "prevalence is given, which is for DenseNet classifiers and ensembles of them, not "
                f"for {type(judge).__name__}"
            )
        judge.set_prevalence(Shares().of("prevalence", prevalence))
    asked = [name for name, is_given in given.items() if is_given]
    by_name = classifier is None or isinstance(classifier, str | Path)
    drawing = policies if isinstance(policies, Mapping) else names
    warn_without_effect(asked, drawing, judge, by_name=by_name)
    computed = attribute(judge, "precision", "fp32")
    chosen, said = search_for(context, judge, search=search, device=device)
    retrieved = isinstance(drawer, Retrieval) or any(
        INFORMED.get(each, ("", ""))[0] == "retrieval" for each in names
    )
    if retrieved and shelf is not None and completions > len(shelf):
        raise ValueError(
            f"completions is {completions}, but {shelf.name} ({shelf.split}) has {len(shelf)} "
            f"scenes to retrieve; expected at most {len(shelf)}, or a larger library"
        )
    if isinstance(policies, Mapping):
        made = dict(policies)
    else:
        made = policies_for(
            context,
            list(policies),
            judge,
            completer=sampler,
            completions=completions,
            search=chosen,
            memory=memory,
            device=device,
        )
    about = {
        **_about_sensor(looker),
        "completions": completions,
        "first_completions": first_completions(context),
        "search": said,
        "precision": "fp32" if computed == "fp32" else f"{computed}, an approximation",
        "question": ", ".join(scenes.label_names),
        "policies": {n: POLICIES.get(n, type(made[n]).__name__) for n in made},
        "checkpoints": {
            role: _described(model, options[role])
            for role, model in (("completer", drawer), ("reweight", target), ("classifier", judge))
            if model is not None
        },
        "versions": versions(),
    }
    for name, policy in made.items():
        if isinstance(policy, Value):
            about["checkpoints"][name] = _described(policy.network, name)
    if isinstance(chosen, Screening):
        about["checkpoints"]["screen"] = _described(chosen.screen, options["search"])
    return Setup(
        data=scenes,
        library=shelf,
        sensor=looker,
        classifier=judge,
        completer=sampler,
        policies=made,
        baseline=baseline or next((n for n, p in made.items() if isinstance(p, Random)), None),
        steps=steps,
        primary=primary or str(primary_for(scenes, steps)),
        device=device,
        memory=memory,
        options={key: value for key, value in options.items() if value is not None},
        about=about,
    )


def context_for(
    data: str | Path | Dataset,
    *,
    sensor: str | Mapping[str, Any] | Sensor | None = None,
    library: str | Path | Dataset | None = None,
    val: Dataset | None = None,
    size: int | None = None,
    split: str = "test",
    steps: int = 3,
) -> Context:
    """What models are chosen for: scenes, the library and the val scenes that go with them.

    Args:
        data, sensor, library, val, size, split, steps: see `setup`.

    Raises:
        ValueError: something cannot be read or does not fit.
    """
    scenes = data if isinstance(data, Dataset) else _load(data, size, split)
    where = data if library is None else library
    shelf = _library(where, scenes, asked=library is not None)
    val = val if val is not None or isinstance(where, Dataset) else _split(where, scenes, "val")
    looks = sensor if sensor is not None else default_sensor(scenes)
    looker = sensor_named(looks, scenes) if isinstance(looks, str | Mapping) else looks
    candidates(looker, Observation.nothing(1, scenes.channels, scenes.shape))
    source = next((str(each) for each in (where, data) if isinstance(each, str | Path)), None)
    return Context(scenes, looker, library=shelf, val=val, steps=steps, source=source)


def versions() -> dict[str, str]:
    """Versions of what results depend on."""
    installed = {"python": platform.python_version()}
    for package in ("boed", "torch", "numpy", "scipy"):
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            installed[package] = "not installed"
    return installed


def _check_parts(*, search: object, **parts: object) -> None:
    """Refuse what is neither a name, a path nor an object of its kind, before any work.

    Raises:
        ValueError: naming the argument.
    """
    if not isinstance(search, str) and (isinstance(search, type) or not callable(search)):
        raise ValueError(
            f"search is {describe(search)}, expected a name or an object of boed.search"
        )
    checks = {
        "sensor": (check_is_sensor, str | Mapping),
        "classifier": (check_is_classifier, str | Path),
        "completer": (check_is_completer, str | Path),
        "reweight": (_check_reweights, str | Path),
    }
    for name, part in parts.items():
        check, named = checks[name]
        if part is not None and not isinstance(part, named):
            check(part)


def _check_reweights(reweight: object) -> None:
    check_protocol("reweight", reweight, LikelihoodCompleter)
    meaning(reweight)


def _policy_names(policies: Sequence[str] | Mapping[str, Policy]) -> list[str]:
    if isinstance(policies, Mapping):
        for name, policy in policies.items():
            check_is_policy(policy, f"policies: {name!r}")
    elif not isinstance(policies, Sequence) or any(not isinstance(each, str) for each in policies):
        raise refusal("policies", policies, "names of policies, or objects by name")
    Names().check("policies", list(policies))
    if isinstance(policies, Mapping):
        return list(policies)
    for asked in policies:
        name, where = named_policy(asked)
        if where is not None and (name != where or looks_like_path(where)):
            weights("policies", where, "policies", known=list(POLICIES))
        elif where is not None and where not in shipped_of("policies"):
            extra = "or package.module:Class for your own"
            check_known("policies", name, POLICIES, extra=extra)
    names = [named_policy(asked)[0] for asked in policies]
    Names().check("policies", names)
    return names


def _asked(part: object) -> Any:
    """How a file of settings says what was asked for."""
    if part is None or isinstance(part, str | int | float):
        return part
    if isinstance(part, Path):
        return str(part)
    if isinstance(part, Mapping):
        return dict(part)
    if isinstance(part, Dataset):
        return part.name
    return f"a {type(part).__qualname__} object"


def _load(data: str | Path, size: int | None, split: str) -> Dataset:
    return load(data, size or DEFAULT_SIZE.get(str(data)), split)


def _library(where: str | Path | Dataset, scenes: Dataset, *, asked: bool) -> Dataset | None:
    """The train split of the same width; None where the scenes' own source has none.

    Raises:
        ValueError: it is of another size, or one that was asked for cannot be read, or is the
            very scenes that are looked at.
    """
    if isinstance(where, Dataset):
        if asked and _same_scenes(where, scenes):
            raise ValueError(
                f"library is the {where.split} split of {where.name}, the same scenes as data, "
                "expected train or val scenes, from which those can be completed"
            )
        return None if where is scenes else _same_size(where, scenes)
    if asked and str(where) != scenes.name:
        try:
            read = load(where, scenes.size, "train")
        except ValueError as error:
            raise ValueError(f"library: {error}") from error
        return _same_size(read, scenes)
    return _split(where, scenes, "train")


def _split(where: str | Path, scenes: Dataset, split: str) -> Dataset | None:
    """Another split of the same width; None where there is none."""
    try:
        found = load(where, scenes.size, split)
    except ValueError:
        return None
    return _same_size(found, scenes)


def _same_scenes(library: Dataset, scenes: Dataset) -> bool:
    alike = library.images.dtype == scenes.images.dtype
    return library is scenes or (alike and torch.equal(library.images, scenes.images))


def _same_size(library: Dataset, scenes: Dataset) -> Dataset:
    if library.images.shape[1:] != scenes.images.shape[1:]:
        raise ValueError(
            f"library: {library.name} ({library.split}) has scenes "
            f"{tuple(library.images.shape[1:])}, expected {tuple(scenes.images.shape[1:])}, as "
            f"{scenes.name} ({scenes.split}) has: give `library` a set of the same size, or `size`"
        )
    return library


def _models(
    context: Context,
    classifier: str | Path | Classifier | None,
    completer: str | Path | Completer | None,
    names: Iterable[str],
    policies: Sequence[str] | Mapping[str, Policy],
) -> tuple[Classifier, Completer | None]:
    """Classifier and completer; everything that is missing is said in one error."""
    drawn = any(INFORMED.get(name, ("", ""))[0] is None for name in names)
    drawn = completer is not None or (drawn and not isinstance(policies, Mapping))
    missing: list[str] = []

    def got(make: Callable[[], Part]) -> Part | None:
        try:
            return make()
        except Missing as error:
            missing.append(str(error))
            return None

    judge = got(lambda: _object(classifier, context, classifier_for))
    sampler = got(lambda: _object(completer, context, completer_for)) if drawn else None
    if missing:
        raise Missing(";\n".join(missing))
    assert judge is not None
    return judge, sampler


def _object(
    given: str | Path | Part | None, context: Context, make: Callable[[Context, str | None], Part]
) -> Part:
    if given is None or isinstance(given, str | Path):
        return make(context, None if given is None else str(given))
    return given


def _check_baseline(baseline: str | None, policies: Iterable[str]) -> None:
    if baseline is not None:
        check_known("baseline", baseline, policies)


def _about_sensor(sensor: Sensor) -> dict[str, Any]:
    if not isinstance(sensor, PatchSensor):
        return {}
    return {"patch": sensor.patch, "grid": len(sensor.positions)}


def _described(model: object, name: str | None) -> dict[str, Any]:
    """What a report says of a model."""
    provenance = attribute(model, "provenance", {})
    described = {k: provenance[k] for k in ("kind", "steps", "scores") if k in provenance}
    if "data" in provenance:
        described["data"] = provenance["data"]
    shown = "shipped" if name is None and described else Path(name or "fitted").name
    return {"name": shown, **(described or {"kind": type(model).__name__})}
