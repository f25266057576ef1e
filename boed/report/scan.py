"""Where to look at one image: the benchmark's policy on a picture from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, filterwarnings

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from boed.acquire import Trajectory, acquire
from boed.classifiers.ensemble import load_classifier
from boed.classifiers.evaluation.out_of_distribution import feature_distance
from boed.data.dataset import Dataset
from boed.data.load import load
from boed.data.polarity import inverted
from boed.data.readers.image import read_image
from boed.data.readers.tables import refuse_table
from boed.foundation.checks import attribute
from boed.foundation.files import atomic
from boed.foundation.randomness import derive
from boed.foundation.shipped import shipped, shipped_names
from boed.policies import BOED, Policy
from boed.policies.first_look import FirstLook
from boed.policies.stopping import with_inner
from boed.report.beliefs import belief_in_words
from boed.report.figures import panel_figure, scene_figure
from boed.report.worked_scenes import describe, named_answers, with_whole_maps
from boed.setup import Setup, setup
from boed.zoo import DEFAULT_SIZE, FAMILY

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was believed after a look, and where it was; the first is before any.

    Attributes:
        where: the design, such as row and column of a patch's top-left pixel; empty before the
            first look.
        eig: the policy's score of it, in nats where it is EIG; None where there is none.
        belief: the likeliest answer with its probability.
    """

    where: tuple[float, ...]
    eig: float | None
    belief: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Scan:
    """What came of looking at one image.

    Attributes:
        looks: before the first and after each.
        trajectory: with the decisions.
        panels: the same as labelled arrays, for the figure; None where there was no look.
        warnings: what should be known before any of it is believed.
    """

    looks: list[Look]
    trajectory: Trajectory
    panels: xr.Dataset | None
    warnings: list[str]

    def draw(self, out: Path | str, record: dict[str, str] | None = None) -> None:
        """Write the figure; `record` is what it says of itself, as `claim_picture` returns it.

        Raises:
            OSError: it cannot be written.
        """
        if self.panels is None:
            scene = self.trajectory.observations[0].values[0]
            figure = scene_figure(scene.cpu().numpy(), f"no look; {self.looks[0].belief}")
        else:
            figure = panel_figure(self.panels, 0)
        with atomic(out) as temporary:
            figure.savefig(temporary, dpi=150, bbox_inches="tight", metadata=record)


def scan_setup(
    image: Path | str,
    data: str = "kermany_pneumonia_128",
    *,
    policy: str = "boed",
    size: int | None = None,
    invert: bool = False,
    library: str | None = None,
    **options: Any,
) -> Setup:
    """What the benchmark would run on a data set, for one picture in place of its scenes.

    Args:
        image: PNG, JPEG or DICOM; cut to its centre square.
        data: the data set that the picture is taken for one of: it says what is asked, and which
            models, library and size are the default.
        policy: a name as `setup` takes it.
        size: width in pixels; the one for which models are shipped if not given.
        invert: exchange black and white first.
        library: as for `setup`; that of `data` if not given.
        options: further arguments of `setup`, such as `completer` or `steps`.

    Raises:
        ValueError: whatever `setup` refuses, a picture that cannot be read, or a data set of no
            pictures.
    """
    refuse_table(data, "scan")
    like = scene_like(data, size, classifier=options.get("classifier"))
    if like.shape[0] != like.shape[1]:
        raise ValueError(
            f"data is {data!r}, whose pictures are {like.shape[0]} x {like.shape[1]} px; expected "
            "square ones"
        )
    picture = _scene(Path(image), like, invert=invert)
    labels = torch.zeros((1, len(like.label_names)) if like.multi_label else 1, dtype=torch.int64)
    scene = replace(like, split="scan", images=picture[None], labels=labels, patients=None)
    return scene_setup(scene, data, policy=policy, library=library, **options)


def scene_setup(
    scene: Dataset, data: str, *, policy: str = "boed", library: str | None = None, **options: Any
) -> Setup:
    """A set-up for scenes that are taken for ones of a data set, which need not be here.

    Args:
        scene: in place of the data set's own scenes.
        data: the name of that set.
        policy: a name as `setup` takes it.
        library: as for `setup`; that of `data` if not given.
        options: further arguments of `setup`.

    Raises:
        ValueError: whatever `setup` refuses.
    """
    with catch_warnings():
        if library is None:  # which nobody asked for
            filterwarnings("ignore", "library has no effect")
        made = setup(scene, library=library or data, policies=[policy], **options)
    ((policy, chosen),) = made.policies.items()
    if made.library is None:  # the completer's own draws
        made = replace(made, policies={policy: with_inner(chosen, _first_by_own_draws)})
    return made


def _first_by_own_draws(policy: Policy) -> Policy:
    if not isinstance(policy, BOED):
        return policy
    return replace(policy, first_look=FirstLook(n=policy.n))


def scan(
    setup: Setup,
    *,
    seed: int = 0,
    scene: int = 0,
    on_look: Callable[[], None] | None = None,
) -> Scan:
    """Look at the first scene of a set-up under its first policy, as `benchmark` does.

    Args:
        setup: see `scan_setup`.
        seed: of everything random.
        scene: the scene's row in its data set, to which the benchmark's random numbers belong.
        on_look: called after each decision.

    Raises:
        ValueError: what `acquire` refuses.
    """
    name, policy = next(iter(setup.policies.items()))
    pixels = setup.data.scenes([0]).to(setup.device)
    warnings = [*_unlike(setup, pixels), *_first_look(setup, policy)]
    trajectory = acquire(
        pixels,
        setup.sensor,
        with_whole_maps(policy),
        steps=setup.steps,
        classifier=setup.classifier,
        seed=[derive(seed, "scene", scene)],
        memory=setup.memory,
        on_step=on_look,
    )
    trajectory = _taken(trajectory)
    warnings += _inverted(trajectory, pixels)
    data = setup.data
    findings = data.label_names if data.multi_label else ()
    answers = ["absent", "present"] if data.multi_label else list(data.label_names)
    panels = None
    if trajectory.decisions:
        panels = describe(trajectory, pixels, None, sensor=setup.sensor)
        panels = named_answers(panels, data).assign_attrs(policy=name)
    beliefs = trajectory.log_beliefs[0].cpu().numpy()
    looks = [Look(where=(), eig=None, belief=_line(beliefs[0], answers, findings))]
    for step in range(len(beliefs) - 1):
        score = float(trajectory.scores[0, step])
        looks.append(
            Look(
                where=tuple(trajectory.designs[0, step].tolist()),
                eig=None if score != score else score,
                belief=_line(beliefs[step + 1], answers, findings),
            )
        )
    return Scan(looks=looks, trajectory=trajectory, panels=panels, warnings=warnings)


def scene_like(data: str, size: int | None = None, *, classifier: object = None) -> Dataset:
    """One scene of the kind: of the train split, or black of the size that a checkpoint says.

    Args:
        data: name or path of a data set.
        size: width in pixels; the one for which models are shipped if not given.
        classifier: path of a checkpoint, for a data set that is not here.

    Raises:
        ValueError: there is neither the data set nor a classifier for it.
    """
    size = size or DEFAULT_SIZE.get(data)
    try:
        return load(data, size, "train").subset([0])
    except ValueError:
        named = f"densenet-{FAMILY.get(data)}-{size}"
        path = Path(str(classifier)) if classifier is not None else None
        if data not in FAMILY or (named not in shipped_names("classifiers") and path is None):
            raise
        model = load_classifier(path if path and path.exists() else shipped(named))
    config = model.config
    images = torch.zeros(1, config.channels, config.size, config.size, dtype=torch.uint8)
    labels = torch.zeros((1, len(model.label_names)) if model.multi_label else 1).long()
    return Dataset(
        name=data, split="train", images=images, labels=labels, label_names=model.label_names
    )


def _scene(image: Path, like: Dataset, *, invert: bool) -> UInt8[Tensor, "C H W"]:
    """The picture as a scene of the data set: digits get the border that theirs have."""
    size, channels = like.size, like.channels
    bordered = FAMILY.get(like.name) == "digits" and size == 32
    picture = read_image(image, channels=channels)
    inner = 28 if bordered and picture.shape[-1] != 32 else size
    picture = read_image(image, inner, channels)
    picture = 255 - picture if invert else picture
    border = (size - inner) // 2
    return torch.nn.functional.pad(picture, (border,) * 4)


def _unlike(setup: Setup, scene: Float[Tensor, "1 C H W"]) -> list[str]:
    found = feature_distance(setup.classifier, scene)
    if found is None:
        return [
            f"{type(setup.classifier).__name__} has no record of its training data: whether the "
            "image is like it is not known"
        ]
    if not bool(found.unlike):
        return []
    return [
        "the image is unlike those that the classifier was trained on, so what is said of it means "
        f"little: by the classifier's features it is {float(found.distance):.1f} off, 99 % of "
        f"images of {setup.data.name} are within {found.limit:.1f}"
    ]


def _inverted(trajectory: Trajectory, scene: Float[Tensor, "1 C H W"]) -> list[str]:
    """Beside what was imagined before anything was seen."""
    imagined = trajectory.decisions[0].completions if trajectory.decisions else None
    if imagined is None or not inverted(scene, imagined.scenes[:, 0].mean(0)).any():
        return []
    return [
        "the image looks inverted: dark where the training images are bright; exchange black and "
        "white first (`invert`)"
    ]


def _first_look(setup: Setup, policy: Policy) -> list[str]:
    first = attribute(policy, "first_look", None)
    if setup.library is not None or first is None:
        return []
    return [
        f"the train split of {setup.data.name} is not here, so the first look is decided with "
        f"{first.n} draws of the completer, not with retrieved images as in a benchmark"
    ]


def _taken(trajectory: Trajectory) -> Trajectory:
    """Without the steps after the policy stopped."""
    looks = int(trajectory.looks[0])
    if looks == trajectory.designs.shape[1]:
        return trajectory
    return replace(
        trajectory,
        observations=trajectory.observations[: looks + 1],
        log_beliefs=trajectory.log_beliefs[:, : looks + 1],
        designs=trajectory.designs[:, :looks],
        scores=trajectory.scores[:, :looks],
        winners_curses=trajectory.winners_curses[:, :looks],
        effective_sample_sizes=trajectory.effective_sample_sizes[:, :looks],
        costs=trajectory.costs[:, :looks],
        decisions=trajectory.decisions[:looks],
    )


def _line(log_belief: Any, answers: list[str], findings: tuple[str, ...]) -> str:
    return belief_in_words(log_belief, answers, findings=findings).replace("\n", "; ")
