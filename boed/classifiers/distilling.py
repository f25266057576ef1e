"""Distilling a classifier into a screen: what it will believe after every candidate look."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from boed.classifiers.augmentation import AUGMENTATIONS, usual_augmentation
from boed.classifiers.evaluation.scoring import device_of
from boed.classifiers.networks.densenet import SmallDenseNet
from boed.classifiers.screen import LOWEST, ScreenConfig, ScreenNet
from boed.classifiers.trained import TrainedClassifier, checksum
from boed.classifiers.training import preset
from boed.data.dataset import Dataset
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.checks import check_fits
from boed.foundation.randomness import derive
from boed.training.checkpoints import claim_trained, conclude, running_state
from boed.training.config import TrainingConfig
from boed.training.loop import fit, provenance
from boed.training.recipes import Recipe
from boed.training.state import Progress

TRAINING = TrainingConfig(
    steps=3000, batch=32, lr=1e-3, betas=(0.9, 0.99), ema=0.998, clip=1.0, every=250
)
"""That of the shipped screens, trained on one CPU core."""

LOOKS = 6
"""Situations have fewer random looks than this."""

CANDIDATES = 16
"""Candidate looks of which the classifier is asked in each situation."""

POOL = 256
"""Random scenes among which the one that fits an observation best is searched."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Situations:
    """What a screen is shown, and what it should say.

    Attributes:
        observation: what was seen, P scenes.
        completion: whole scenes that agree with it.
        belief, answer: the classifier's log-beliefs about either.
        corners: top-left (row, column) of each candidate look, `[P, M, 2]`.
        after: the classifier's log-beliefs after each, `[P, M, *L, K]`.
    """

    observation: Observation
    completion: Float[Tensor, "P C H W"]
    belief: Float[Tensor, "P *L K"]
    answer: Float[Tensor, "P *L K"]
    corners: Float[Tensor, "P M 2"]
    after: Float[Tensor, "P M *L K"]

    def guessed_by(self, screen: ScreenNet) -> Float[Tensor, "P M *L K"]:
        """What a screen says of them."""
        return screen.log_beliefs(
            self.observation, self.completion, self.belief, answer=self.answer, corners=self.corners
        )


def completed(
    observation: Observation, scenes: Float[Tensor, "B C H W"], pool: Float[Tensor, "R C H W"]
) -> Float[Tensor, "B C H W"]:
    """A plausible whole scene for each observation, as completers draw them.

    One of three, at random: the scene itself, the one of the pool that fits best what was seen
    (as retrieval does), or any of the pool; the seen pixels are composited in.

    Args:
        observation: what was seen of the scenes.
        scenes: the scenes themselves.
        pool: other scenes.
    """
    seen = observation.mask.expand_as(observation.values).flatten(1)
    flat = pool.flatten(1)
    distance = seen @ (flat**2).T - 2 * observation.values.flatten(1) @ flat.T  # + constants
    kind = torch.randint(3, (len(scenes), 1, 1, 1)).to(scenes.device)
    other = torch.where(
        kind == 1, pool[distance.argmin(1)], pool[torch.randint(len(pool), (len(scenes),))]
    )
    return observation.composite(torch.where(kind == 0, scenes, other))


@torch.no_grad()
def situations(
    classifier: TrainedClassifier,
    scenes: Float[Tensor, "B C H W"],
    pool: Float[Tensor, "R C H W"],
    *,
    patch: float,
    candidates: int = CANDIDATES,
) -> Situations:
    """Random situations with what the classifier believes after random candidate looks.

    Args:
        classifier: who is asked.
        scenes: of which 0 to 5 random looks are seen.
        pool: other scenes, for completions.
        patch: side of a look over the width of the scene.
        candidates: looks that are asked for in each situation, M.
    """
    batch, size = len(scenes), scenes.shape[-1]
    counts = torch.randint(LOOKS, (batch,))
    mask = squares(batch, size, patch, counts=counts, overhang=False).to(scenes.device)
    observation = Observation.of(scenes, mask)
    completion = completed(observation, scenes, pool)
    side = round(patch * size)
    corners = torch.randint(0, size - side + 1, (batch, candidates, 2)).to(scenes.device)
    pixel = torch.arange(size, device=scenes.device)
    inside = (pixel >= corners[..., None]) & (pixel < corners[..., None] + side)
    rows, columns = inside.float().unbind(2)  # [B, M, size] each
    shown = (rows[..., None] * columns[..., None, :])[:, :, None]  # [B, M, 1, H, W]
    after = torch.stack(
        [
            classifier.log_probs(observation.with_seen(completion, shown[:, each]))
            for each in range(candidates)
        ],
        dim=1,
    )
    return Situations(
        observation=observation,
        completion=completion,
        belief=classifier.log_probs(observation).float(),
        answer=classifier.log_probs(Observation.everything(completion)).float(),
        corners=corners.float(),
        after=after.float(),
    )


def divergence(asked: Situations, guessed: Float[Tensor, "P M *L K"]) -> Float[Tensor, "P M"]:
    """KL from the classifier's belief after each look to the guessed one, in nats.

    Summed over findings.
    """
    surprise = asked.after.clamp(min=2 * LOWEST) - guessed.clamp(min=2 * LOWEST)
    return (asked.after.exp() * surprise).flatten(2).sum(-1)


def gain_error(asked: Situations, guessed: Float[Tensor, "P M *L K"]) -> Float[Tensor, "P M"]:
    """Error of a completion's Barber-Agakov gain, sum_v g(v | I) log g(v | f_c(I)), in nats."""
    difference = guessed.clamp(min=LOWEST) - asked.after.clamp(min=LOWEST)
    return (asked.answer[:, None].exp() * difference).flatten(2).sum(-1)


def train_screen(
    classifier: TrainedClassifier,
    train: Dataset,
    val: Dataset,
    *,
    out: Path | str,
    training: TrainingConfig = TRAINING,
    patch: float = 0.25,
    on_step: Callable[[int, float], None] | None = None,
    command: str | None = None,
    recipe: Recipe | None = None,
) -> ScreenNet:
    """Distil a classifier into a screen for patch sensors, and save it to `out`.

    The loss is KL(classifier || screen) after random looks in random situations, plus the error
    of the completion's gain, which is what candidates are ranked by.

    Args:
        classifier: what is distilled; it is asked 18 times for every situation.
        train, val: scenes to learn from, and to watch.
        out: checkpoint to write, with its recipe and its curve beside it, the best weights by val
            if they are not the last, and until the end the running state.
        training: how long and how.
        patch: side of a look over the width of the scene.
        on_step: called with step and loss.
        command: that the checkpoint's header says it was made by.
        recipe: what was asked for, for the record; made of the arguments if not given.

    Raises:
        ValueError: the classifier is for other scenes, the network cannot be for their size, or
            `out` holds another training.
        Interrupted: Ctrl-C or SIGTERM came; what was trained is stored.
    """
    out = Path(out)
    training.check_batch(train)
    ranks = training.ranks()
    device = ranks.device
    torch.manual_seed(derive(training.seed, "weights"))
    screen = _begun(classifier.eval(), train, patch).to(device)
    about = {"data": train.name, "sha256": train.sha256, "look_fraction": patch}
    about["classifier"] = screen.classifier
    recipe = recipe or Recipe(kind="screen", data=train.name)
    recipe = recipe.trained(training, size=train.size, patch=patch)
    if claim_trained(out, recipe, about, steps=training.steps):
        return ScreenNet.load(out)
    classifier.to(device)
    augmentation = AUGMENTATIONS[usual_augmentation(len(train))]
    watched = val_situations(classifier, val, patch=patch, seed=training.seed)

    def loss(step: int) -> Tensor:
        rows = torch.randint(len(train), (training.share,))
        scenes = augmentation(train.scenes(rows)).to(device)
        pool = train.scenes(torch.randint(len(train), (POOL,)))
        asked = situations(classifier, scenes, pool.to(device), patch=patch)
        guessed = asked.guessed_by(screen)
        error = gain_error(asked, guessed)
        error = error - error.mean(1, keepdim=True)  # all candidates alike: no matter
        return divergence(asked, guessed).mean() + F.smooth_l1_loss(error, 0 * error)

    def validate(_: nn.Module) -> dict[str, float]:
        return val_scores(screen, watched)

    _, progress = fit(
        screen,
        loss,
        training,
        state=running_state(out),
        validate=validate,
        merit=screen.merit,
        on_step=on_step,
        about=about,
    )
    source = {k: v for k, v in classifier.provenance.items() if k in ("data", "steps", "command")}

    def finish(screen: ScreenNet, progress: Progress) -> dict[str, Any]:
        return {
            **provenance(train, training, progress),
            "distilled_from": source,
            "look_fraction": patch,
            "command": command,
            "scores": {"val": score(screen, watched)},
        }

    conclude(screen, out, finish, training=training, recipe=recipe, about=about, progress=progress)
    return ScreenNet.load(out)


def val_situations(
    classifier: TrainedClassifier, val: Dataset, *, patch: float, seed: int
) -> Situations:
    """The 128 situations of val scenes that screens are watched on, where the classifier is."""
    device = device_of(classifier)
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "val"))
        rows = torch.randint(len(val), (2, 128))
        scenes, pool = (val.scenes(each).to(device) for each in rows)
        return situations(classifier, scenes, pool, patch=patch)


def val_scores(screen: ScreenNet, asked: Situations) -> dict[str, float]:
    """`score` as the training's history has it."""
    return {f"val_{name}": value for name, value in score(screen, asked).items()}


@torch.no_grad()
def score(screen: ScreenNet, asked: Situations) -> dict[str, float]:
    """KL (nats) of the guesses, and of guessing that no look changes anything, in the mean.

    And the root mean square error of a completion's gain over candidates, in nats.
    """
    guessed = asked.guessed_by(screen)
    unchanged = asked.belief[:, None].expand_as(asked.after)
    return {
        "kl": float(divergence(asked, guessed).mean()),
        "kl_unchanged": float(divergence(asked, unchanged).mean()),
        "gain_error": float(gain_error(asked, guessed).var(1).mean().sqrt()),
        "gain_spread": float(gain_error(asked, unchanged).var(1).mean().sqrt()),
    }


def _begun(classifier: TrainedClassifier, train: Dataset, patch: float) -> ScreenNet:
    """An untrained screen whose encoder is the classifier's own, if that is a small network."""
    theirs = classifier.config
    check_fits("classifier", theirs, train, name=train.name)
    findings = len(classifier.label_names) if classifier.multi_label else 0
    own = isinstance(classifier.lead.network, SmallDenseNet)
    encoder = theirs
    if not own:
        encoder = replace(preset(train)[0], mean=theirs.mean, std=theirs.std)
    config = ScreenConfig(
        encoder=encoder, answers=theirs.outputs // max(findings, 1), findings=findings, patch=patch
    )
    screen = ScreenNet(config, checksum(classifier))
    if own:
        folded = copy.deepcopy(classifier.lead.network)
        folded.fold()  # type: ignore[operator]
        screen.encoder.load_state_dict(folded.features.state_dict())  # type: ignore[union-attr]
    return screen.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
