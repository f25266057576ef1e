"""From names, paths and objects to everything that a run needs: `setup(...)`."""

from __future__ import annotations

import importlib.metadata
import platform
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from boed.classifiers.classifier import Classifier
from boed.classifiers.trained import TrainedClassifier
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completer
from boed.completion.importance import Weighted
from boed.completion.log_probability import (
    LikelihoodCompleter,
    check_has_likelihood,
    meaning,
)
from boed.data.dataset import Dataset
from boed.eig.completions.kept import Kept
from boed.foundation.arguments import checked
from boed.foundation.checks import attribute
from boed.foundation.fingerprint import fingerprint
from boed.foundation.identity import DIGITS
from boed.foundation.options import Shares, split_names
from boed.foundation.precision import choose
from boed.policies import BOED, Confident, Policy, Random, Until
from boed.policies.learned import LookNet, OnePass
from boed.policies.names import INFORMED, POLICIES, USUAL, USUAL_LEARNED, named_policy
from boed.search import Proposing, Screening, Search
from boed.sensors import PatchSensor, Sensor
from boed.zoo import Context, Missing, classifier_for, completer_for, primary_for
from boed.zoo.asked import Asked
from boed.zoo.context import context_for
from boed.zoo.effects import warn_without_effect
from boed.zoo.learned import is_shipped
from boed.zoo.models import kept_for
from boed.zoo.names import KEPT
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
    policies: str | Sequence[str] | Mapping[str, Policy] | None = ("boed", "random"),
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
    until: float | None = None,
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
        reweight: `clarity`, which keeps completions that the classifier is as sure about as it is
            about real scenes (`boed.eig.completions.clarity.Clear`); `agreement`, which keeps them
            so that the answers they imply are those believed
            (`boed.eig.completions.agreement.Agreeing`); or a completer with a
            likelihood, such as `pc-cnn`, by which they are weighted
            (`boed.completion.importance.Weighted`); by its name, path, or an object.
        policies: names of `POLICIES`, `package.module:Class`, or trained networks by name or path
            (`NAME=PATH`; `boed_value=PATH` for its proposals), as a list or with commas between; or
            objects by name. The first is what the run is about. None for `USUAL`, and `value` where
            one is shipped for these looks.
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
        until: probability at which a scene is finished: of the likeliest answer, or of that about
            each finding. All looks are taken if not given.
        memory: bound on the images held at once, MiB.
        device: where the models run.

    Raises:
        ValueError: something is unknown, missing or does not fit; what is missing is said at once.

    Warns:
        UserWarning: of each argument that was given and has no effect.
    """
    asked = Asked(
        data=data,
        sensor=sensor,
        classifier=classifier,
        completer=completer,
        reweight=reweight,
        policies=_asked_policies(policies),
        baseline=baseline,
        primary=primary,
        library=library,
        val=val,
        size=size,
        split=split,
        steps=steps,
        completions=completions,
        search=search,
        precision=precision,
        prevalence=prevalence,
        until=until,
        memory=memory,
        device=device,
    )
    context = context_for(
        data,
        sensor=sensor,
        library=library,
        val=val,
        size=size,
        split=asked.scenes_split,
        steps=steps,
    )
    context.data.check_question()
    models = _models(context, asked)
    if policies is None and is_shipped(context, models.classifier, USUAL_LEARNED):
        asked = replace(asked, policies=[*USUAL, USUAL_LEARNED])
    computed = models.prepare(asked)
    by_name = classifier is None or isinstance(classifier, str | Path)
    drawing = asked.policies if isinstance(asked.policies, Mapping) else asked.names
    warn_without_effect(asked.given, drawing, models.classifier, by_name=by_name)
    chosen, said = search_for(context, models.classifier, search=search, device=device)
    drawn = models.completer(context, asked)
    made = _policies(context, asked, models, drawn, chosen)
    _warn_of_horizons(made, steps)
    stopping = made
    if until is not None:
        sure = Confident(models.classifier, until, memory)
        stopping = {name: Until(each, sure) for name, each in made.items()}
    options = {**asked.options, "precision": computed}
    return Setup(
        data=context.data,
        library=context.library,
        sensor=context.sensor,
        classifier=models.classifier,
        completer=drawn,
        policies=stopping,
        baseline=baseline or next((n for n, p in made.items() if isinstance(p, Random)), None),
        steps=steps,
        primary=primary or str(primary_for(context.data, steps)),
        device=device,
        memory=memory,
        options={key: value for key, value in options.items() if value is not None},
        about={
            **_about_sensor(context.sensor),
            "completions": completions,
            **({"kept": drawn.said} if isinstance(drawn, Kept) else {}),
            "first_completions": first_completions(context),
            "search": said,
            **({} if until is None else {"until": until}),
            "precision": _said_precision(models.classifier),
            "question": ", ".join(context.data.label_names),
            "policies": {n: POLICIES.get(n, type(made[n]).__name__) for n in made},
            "checkpoints": _checkpoints(models, made, chosen, asked, options),
            "versions": versions(),
        },
    )


def _asked_policies(
    policies: str | Sequence[str] | Mapping[str, Policy] | None,
) -> Sequence[str] | Mapping[str, Policy]:
    if policies is None:
        return USUAL
    return split_names(policies) if isinstance(policies, str) else policies


def versions() -> dict[str, str]:
    """Versions of what results depend on."""
    installed = {"python": platform.python_version()}
    for package in ("boed", "torch", "numpy", "scipy"):
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            installed[package] = "not installed"
    return installed


@dataclass(frozen=True, eq=False, kw_only=True)
class _Models:
    """The models of a run.

    Attributes:
        classifier: gives the beliefs.
        drawer: draws the completions; None where no policy of a name draws any.
        target: the completer that completions are reweighted by; None for equal weights.
    """

    classifier: Classifier
    drawer: Completer | None
    target: Any

    def completer(self, context: Context, asked: Asked) -> Completer | None:
        """What policies draw from, once the models are prepared."""
        way = asked.reweight if isinstance(asked.reweight, str) else ""
        if self.drawer is not None and way in KEPT:
            return kept_for(context, self.classifier, self.drawer, way=way, memory=asked.memory)
        if self.drawer is None or self.target is None:
            return self.drawer
        return Weighted(self.drawer, self.target)

    def prepare(self, asked: Asked) -> str:
        """Put the models where they run, as precisely and for the population asked for.

        Returns:
            The precision.

        Raises:
            ValueError: a precision or prevalence that this kind of classifier does not have.
        """
        for model in (self.classifier, self.drawer, self.target):
            if isinstance(model, torch.nn.Module):
                model.to(asked.device)
        judge, precision = self.classifier, asked.precision
        if isinstance(judge, TrainedClassifier) and precision != "fp32":
            precision = choose(precision, asked.device, training=False)
            judge.precision = precision
        elif precision == "bf16":
            raise ValueError(
                "precision is 'bf16', which is for DenseNet classifiers, not for "
                f"{type(judge).__name__}"
            )
        if asked.prevalence is not None:
            if not isinstance(judge, TrainedClassifier):
                raise ValueError(
                    "prevalence is given, which is for DenseNet classifiers and ensembles of them, "
                    f"not for {type(judge).__name__}"
                )
            judge.set_prevalence(Shares().of("prevalence", asked.prevalence))
        return precision


def _warn_of_horizons(policies: Mapping[str, Policy], steps: int) -> None:
    """Warn of a policy that maximises what another number of looks gains together."""
    for name, policy in policies.items():
        network = attribute(policy, "network", None)
        if getattr(network, "name", None) == "nonmyopic":
            looks = network.provenance.get("fit", {}).get("looks")
            if looks is not None and looks != steps:
                warnings.warn(
                    f"policies: {name} was trained for what {looks} looks gain together, and steps "
                    f"is {steps}; expected the same",
                    stacklevel=3,
                )


@contextmanager
def _called(argument: str) -> Iterator[None]:
    """Say of what is wrong with a completer which argument it was given as."""
    try:
        yield
    except ValueError as error:
        said = str(error)
        if not said.startswith("completer"):
            raise
        raise type(error)(argument + said.removeprefix("completer")) from error


def _models(context: Context, asked: Asked) -> _Models:
    """The models; everything that is missing is said in one error."""
    drawn = any(INFORMED.get(name, ("", ""))[0] is None for name in asked.names)
    drawn = asked.completer is not None or (drawn and not isinstance(asked.policies, Mapping))
    missing: list[str] = []

    def got(make: Callable[[], Part]) -> Part | None:
        try:
            return make()
        except Missing as error:
            missing.append(str(error))
            return None

    judge = got(lambda: _object(asked.classifier, context, classifier_for))
    sampler = got(lambda: _object(asked.completer, context, completer_for)) if drawn else None
    if missing:
        raise Missing(";\n".join(missing))
    assert judge is not None
    target: Any = asked.reweight
    if isinstance(target, str) and target in KEPT:
        target = None
    elif isinstance(target, str | Path):
        with _called("reweight"):
            check_has_likelihood(str(target))
            target = completer_for(context, str(target))
            meaning(target)
    return _Models(classifier=judge, drawer=sampler, target=target)


def _policies(
    context: Context, asked: Asked, models: _Models, completer: Completer | None, search: Search
) -> dict[str, Policy]:
    """The policies by name."""
    retrieved = isinstance(models.drawer, Retrieval) or any(
        INFORMED.get(each, ("", ""))[0] == "retrieval" for each in asked.names
    )
    shelf, completions = context.library, asked.completions
    if retrieved and shelf is not None and completions > len(shelf):
        raise ValueError(
            f"completions is {completions}, but {shelf.name} ({shelf.split}) has {len(shelf)} "
            f"scenes to retrieve; expected at most {len(shelf)}, or a larger library"
        )
    if isinstance(asked.policies, Mapping):
        return dict(asked.policies)
    return policies_for(
        context,
        list(asked.policies),
        models.classifier,
        completer=completer,
        completions=completions,
        search=search,
        memory=asked.memory,
        device=asked.device,
    )


def _checkpoints(
    models: _Models,
    policies: Mapping[str, Policy],
    search: Search,
    asked: Asked,
    options: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """What a report says of each trained model."""
    named = {
        "completer": models.drawer,
        "reweight": models.target,
        "classifier": models.classifier,
    }
    described = {
        role: _described(model, options[role]) for role, model in named.items() if model is not None
    }
    named_ones = [] if isinstance(asked.policies, Mapping) else asked.policies
    files = dict(map(named_policy, named_ones))
    for name, policy in policies.items():
        network = _network_of(policy)
        if network is not None:
            told = _described(network, files.get(name))
            described[name] = {**told, "sha256": fingerprint(network)[:DIGITS]}
    if isinstance(search, Screening):
        described["screen"] = _described(search.screen, options["search"])
    return described


def _network_of(policy: Policy) -> LookNet | None:
    """The trained network by which a policy looks, or that proposes looks to it."""
    if isinstance(policy, OnePass):
        return policy.network
    if isinstance(policy, BOED) and isinstance(policy.search, Proposing):
        proposer = policy.search.proposer
        return proposer.network if isinstance(proposer, OnePass) else None
    return None


def _said_precision(classifier: Classifier) -> str:
    computed = attribute(classifier, "precision", "fp32")
    return "fp32" if computed == "fp32" else f"{computed}, an approximation"


def _object(
    given: str | Path | Part | None, context: Context, make: Callable[[Context, str | None], Part]
) -> Part:
    if given is None or isinstance(given, str | Path):
        return make(context, None if given is None else str(given))
    return given


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
