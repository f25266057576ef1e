"""From names to a live session: the set-up of a scan, without a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from boed.acquisition import Budget
from boed.completion.completer import complete
from boed.data.dataset import Dataset
from boed.data.load import load
from boed.data.observation import Observation
from boed.foundation.checks import at_most
from boed.foundation.options import FRACTION
from boed.live.live_session import LiveSession
from boed.live.simulated import Simulated, claim_scene
from boed.policies import BOED, Policy
from boed.policies.stopping import with_inner
from boed.report.scan import scene_like, scene_setup
from boed.report.worked_scenes import with_whole_maps
from boed.session import Session
from boed.session.log import check_is_log
from boed.setup import Setup
from boed.zoo import DEFAULT_SIZE

DEMO_FIRST = 100
"""Completions for the first look of a simulated session, at most, so that it begins soon."""


def make_live(
    data: str = "digits", *, path: Path | str | None = None, **options: Any
) -> LiveSession:
    """A session about a scene that is taken for one of a data set.

    Args:
        data: what is asked, and which models, library and size are the default.
        path: folder of the log; kept in memory alone if not given.
        options: further arguments of `live_maker`.

    Raises:
        ValueError: whatever `live_maker` and `boed.Session` refuse.
        OSError: the folder cannot be written.
    """
    folder = None if path is None else Path(path)
    if folder is not None:
        check_is_log(folder)
    return live_maker(data, **options)(folder)


def live_maker(
    data: str = "digits",
    *,
    policy: str = "boed",
    size: int | None = None,
    scene: int | None = None,
    budget: float | None = None,
    until: float | None = None,
    seed: int = 0,
    prefetch: bool = False,
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> Callable[[Path | None], LiveSession]:
    """What makes sessions that share their models, each with the folder of its log, or None.

    Args:
        data: what is asked, and which models, library and size are the default.
        policy: a name as `boed.setup` takes it. Its EIG maps are whole: racing is exhaustive here.
        size: width in pixels; the one for which models are shipped if not given.
        scene: row of the test split, which a simulated instrument looks at; None where there is a
            real one. Where the data set is not here, it is a number of a scene that the completer
            generates, whose answer is what the classifier says of all of it.
        budget: of cost, in the sensor's unit.
        until: probability of an answer, or of each finding's, at which no more is suggested.
        seed: of everything random.
        prefetch: decide before anyone asks; see `boed.Session`.
        say: is called with news for whoever started the sessions.
        options: further arguments of `boed.setup`, such as `sensor` or `completer`.

    Raises:
        ValueError: whatever `boed.setup` refuses, a row that is not there, or a probability that is
            none. What it returns refuses what `boed.Session` does, and the log of a session about
            another scene.
    """
    if until is not None:
        FRACTION.check("until", until)
    limits = Budget(cost=budget)
    shown, absent = _scene(data, size, scene, options.get("classifier"))
    made = scene_setup(shown, data, policy=policy, until=until, **options)
    about = f"{data}, {policy}"
    if scene is not None and absent is not None:
        shown = _generated(made, shown, scene, absent)
        about += "; the scene is generated, as the data set is not here"
        if say is not None:
            say(f"{absent}; until then the scene is one that the completer generates")
    looks = with_whole_maps(made.policies[policy])
    if scene is not None:
        looks = with_inner(looks, _soon)

    def make(path: Path | None) -> LiveSession:
        session = Session(
            made.sensor,
            looks,
            made.classifier,
            path=path,
            shape=tuple(shown.images.shape[1:]),  # type: ignore[arg-type]
            budget=limits,
            seed=seed,
            memory=made.memory,
            prefetch=prefetch,
        )
        instrument = None
        if scene is not None:
            truth = shown.labels[0].tolist()
            instrument = Simulated(made.sensor, shown.scenes([0]), truth=truth, seed=seed)
        try:
            if path is not None:
                ours = None if instrument is None else instrument.record(scene)
                claim_scene(path, ours, begun=bool(session.history))
        except BaseException:
            session.close()
            raise
        return LiveSession(
            session,
            answers=shown.label_names,
            several=shown.multi_label,
            about=about,
            instrument=instrument,
            log=path,
            say=say,
        )

    return make


def _soon(policy: Policy) -> Policy:
    """The policy, whose first look does not keep anyone waiting."""
    if not isinstance(policy, BOED):
        return policy
    first = replace(policy.first_look, n=min(policy.first_look.n, DEMO_FIRST))
    return replace(policy, first_look=first)


def _scene(
    data: str, size: int | None, row: int | None, classifier: object
) -> tuple[Dataset, str | None]:
    """The scene that is simulated; else a black one of its kind, and why it is not here."""
    absent = None
    if row is not None:
        try:
            scenes = load(data, size or DEFAULT_SIZE.get(data), "test")
        except ValueError as error:
            absent = str(error)
        else:
            at_most(len(scenes) - 1, scene=row)
            return scenes.subset([row]), None
    like = scene_like(data, size, classifier=classifier)
    return replace(like, split="live", images=torch.zeros_like(like.images)), absent


def _generated(made: Setup, like: Dataset, number: int, absent: str) -> Dataset:
    """A scene that the completer draws, with the answer that the classifier gives to all of it.

    Raises:
        ValueError: there is no completer.
    """
    if made.completer is None:
        raise ValueError(f"{absent}, or take a policy whose completer can generate a scene")
    nothing = Observation.nothing(1, like.channels, like.shape)
    (scene,) = complete(made.completer, nothing, 1, seed=number).scenes
    images = (scene.clamp(0, 1) * 255).round().byte()
    whole = Observation.everything(images.float() / 255)
    labels = made.classifier.log_probs(whole).argmax(-1).cpu()
    return replace(like, images=images.cpu(), labels=labels)
