"""Where to look at one image, step by step, as a figure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boed.acquire import acquire
from boed.classifiers import DenseNetClassifier
from boed.completion import AIPO
from boed.data.polarity import warn_if_inverted
from boed.data.readers.image import read_image
from boed.foundation.files import atomic
from boed.foundation.shipped import shipped
from boed.policies import BOED
from boed.report.figures import panel_figure
from boed.report.worked_scenes import describe
from boed.sensors import PatchSensor


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was believed after a look, and where it was; the first is before any.

    Attributes:
        where: row and column of the patch's top-left pixel; nothing before the first look.
        eig: of the look, in nats.
        answer: the likeliest, and its `probability`.
    """

    where: tuple[int, ...]
    eig: float | None
    answer: str
    probability: float


def scan_image(
    image: Path,
    out: Path,
    *,
    model: str = "kermany-64",
    steps: int = 3,
    completions: int = 10,
    grid: int = 17,
    patch: float = 0.25,
    completer: Path | None = None,
    classifier: Path | None = None,
    invert: bool = False,
    seed: int = 0,
) -> list[Look]:
    """Look at one image under BOED and draw what it saw, imagined and chose.

    Args:
        image: PNG, JPEG or DICOM.
        out: figure to write.
        model: which shipped models.
        steps: number of looks.
        completions: N, for each decision.
        grid, patch: of the sensor.
        completer, classifier: your own checkpoints.
        invert: exchange black and white first.
        seed: of everything random.

    Raises:
        ValueError: the image or a checkpoint cannot be read.
    """
    sampler = AIPO.load(completer or shipped(f"aipo-{model}"))
    believer = DenseNetClassifier.load(classifier or shipped(f"densenet-{model}"))
    size, channels = sampler.config.size, sampler.config.channels
    sensor = PatchSensor(size, patch, grid)
    scene = read_image(image, size, channels)[None].float() / 255
    scene = 1 - scene if invert else scene
    policy = BOED(sampler, believer, n=completions)
    trajectory = acquire(scene, sensor, policy, steps=steps, classifier=believer, seed=seed)
    imagined = trajectory.decisions[0].completions  # of nothing seen
    if imagined is not None:
        warn_if_inverted(scene, imagined.scenes[:, 0].mean(0), name=str(image))
    names = ["absent", "present"] if believer.multi_label else list(believer.label_names)
    panels = describe(trajectory, scene, None, sensor=sensor).assign_coords(answer=names)
    panels.attrs = {"policy": "boed"}
    with atomic(out) as temporary:
        panel_figure(panels, 0).savefig(temporary, dpi=150, bbox_inches="tight")
    looks = []
    for step in range(steps + 1):
        belief = trajectory.log_beliefs[0, step].exp()
        belief = belief.reshape(-1, belief.shape[-1])[-1]  # of several findings the last: any
        row_and_column = trajectory.designs[0, step - 1].tolist() if step else []
        looks.append(
            Look(
                where=tuple(int(each) for each in row_and_column),
                eig=float(trajectory.scores[0, step - 1]) if step else None,
                answer=names[int(belief.argmax())],
                probability=float(belief.max()),
            )
        )
    return looks
