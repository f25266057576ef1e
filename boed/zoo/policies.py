"""Policies and searches by name, made of the models that were chosen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from boed.classifiers.classifier import Classifier
from boed.classifiers.trained import TrainedClassifier
from boed.completion.classical.gaussian import GaussianMixture
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completer
from boed.completion.importance import Weighted
from boed.data.observation import Observation
from boed.eig.completions.estimators import AdditiveEstimator, members_of
from boed.eig.completions.estimators import named as estimator_named
from boed.eig.completions.kept import Kept
from boed.foundation.cache import cache_folder
from boed.foundation.registry import make_own
from boed.policies import BOED, CentreOut, FixedDesign, Oracle, Policy, Random
from boed.policies import optimise_fixed_design as best_fixed_design
from boed.policies.first_look import FirstLook
from boed.policies.learned import Value
from boed.policies.names import INFORMED, LEARNED, POLICIES, named_policy
from boed.policies.policy import check_is_policy
from boed.search import Exhaustive, Proposing, Racing, Screening, Search
from boed.search.names import SEARCHES
from boed.sensors import PatchSensor
from boed.sensors.sensor import candidates
from boed.zoo.fitted import Context, Missing
from boed.zoo.learned import one_pass_for
from boed.zoo.models import completer_for, screen_for

FIRST_COMPLETIONS = 500
"""Completions for the first look, which is the same for all scenes; fewer if the library has."""


def policies_for(
    context: Context,
    names: Iterable[str],
    classifier: Classifier,
    *,
    completer: Completer | None,
    completions: int,
    search: Search,
    memory: int,
    device: str,
) -> dict[str, Policy]:
    """Policies by their names.

    Args:
        context: what they are for.
        names: of `boed.policies.names.POLICIES`, `package.module:Class`, or trained networks as
            `boed.policies.names.named_policy` takes them.
        classifier: whose belief they are about.
        completer: of the informed policies that name none.
        completions: N, for each decision.
        search: of the informed policies whose estimator can be searched so.
        memory: bound on the images held at once, MiB.
        device: where the models run.

    Raises:
        Missing: a policy needs a library or a model that is not there.
        ValueError: a class of the user's own that cannot be made, or is no policy, or a network
            that was trained for another sensor, grid, size or classifier.
    """

    run_as: dict[str, Any] = {"memory": memory, "device": device}

    def informed(name: str, where: str | None) -> Policy:
        own, estimator = INFORMED[name]
        how = search
        if name in LEARNED:
            proposer = one_pass_for(context, classifier, name=name, where=where, **run_as)
            assert isinstance(proposer, Value)
            how = Proposing(proposer=proposer, then=search if isinstance(search, Racing) else None)
        if estimator == "disagreement":
            _check_members(name, classifier)  # who has none is told before any work
        drawer = completer if own is None else completer_for(context, own)
        assert drawer is not None
        additive = isinstance(estimator_named(estimator), AdditiveEstimator)
        return BOED(
            drawer,
            classifier,
            estimator=estimator,
            n=completions,
            first_look=FirstLook(_first_completer(context, drawer), first_completions(context)),
            search=how if additive else Exhaustive(),
            memory=memory,
            cache=cache_folder(),
        )

    def made(name: str, where: str | None) -> Policy:
        if name in INFORMED:
            return informed(name, where)
        if name in LEARNED or where is not None:
            return one_pass_for(context, classifier, name=name, where=where, **run_as)
        return _uninformed(name, context, classifier, **run_as)

    asked = [named_policy(each) for each in names]
    for name, where in asked:
        if where is not None and name in POLICIES and name not in LEARNED:
            raise ValueError(
                f"policies: {name}={where}: {name} is a policy of its own, that takes no network; "
                f"expected a name that is none, or one of {', '.join(LEARNED)}"
            )
    return {name: made(name, where) for name, where in asked}


def _check_members(name: str, classifier: Classifier) -> None:
    """Refuse a policy of disagreement where nothing can disagree."""
    try:
        members_of(classifier)
    except ValueError as error:
        raise ValueError(f"policies: {name}: {error}") from error


def first_completions(context: Context) -> int:
    """How many completions decide the first look."""
    library = context.library
    return FIRST_COMPLETIONS if library is None else min(FIRST_COMPLETIONS, len(library))


def _first_completer(context: Context, completer: Completer) -> Completer | None:
    """For the first look, random images of the library as in the paper; else the completer."""
    unreadable = context.indirect and context.transform is None
    if isinstance(completer, Weighted | Kept):  # with nothing seen there is nothing to weigh by
        own = completer.proposal
        return _first_completer(context, own) or own
    if context.library is None or unreadable or isinstance(completer, GaussianMixture | Retrieval):
        return None
    return context.fitted("retrieval")


def _uninformed(
    name: str, context: Context, classifier: Classifier, *, memory: int, device: str
) -> Policy:
    """The policies that draw no completions."""
    if name == "centre_out":
        return CentreOut()
    if name == "random":
        return Random()
    if name == "oracle":
        return Oracle(classifier, memory)
    if name == "in_order":
        blank = Observation.nothing(1, context.shape[0], context.shape[1:])
        return FixedDesign(candidates(context.sensor, blank))
    if name == "fixed":
        if context.library is None:
            raise Missing("policy fixed is optimised on a library: give `library`")
        return best_fixed_design(  # it takes a while to find
            context.library,
            context.sensor,
            classifier,
            looks=context.steps,
            scenes=200,
            memory=memory,
            device=device,
        )
    made: Policy = make_own(name, argument="policies")
    check_is_policy(made, f"policies: {name}")
    return made


def search_for(
    context: Context, classifier: Classifier, *, search: str | Search, device: str
) -> tuple[Search, str]:
    """The search, and what results say of it."""
    if not isinstance(search, str):
        return search, repr(search)
    if search in SEARCHES:
        return SEARCHES[search][0], f"{search}, {SEARCHES[search][1]}"
    if not isinstance(classifier, TrainedClassifier) or not isinstance(context.sensor, PatchSensor):
        raise ValueError(
            f"search is {search!r}, but screens are for DenseNet classifiers and patch sensors; "
            f"expected one of {', '.join(SEARCHES)}"
        )
    screen = screen_for(context, classifier, search)
    screen.check(classifier, context.sensor.patch / context.sensor.size)
    screening = Screening(screen=screen.to(device), then=Racing())
    name = "shipped" if search == "screen" else Path(search).name
    return screening, (
        f"screen ({name}), an approximation: a network guesses; the best {screening.keep} "
        f"and {screening.rounds} x the neighbours of the best {screening.around} are judged "
        "exactly, by racing"
    )
