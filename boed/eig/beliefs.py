"""The hot path: the classifier's belief after every candidate look at every completion."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.sensors.sensor import Sensor, look
from classifiers.classifier import Classifier
from data.observation import Observation
from data.randomness import Seeds, derive, per_scene


def images_within(memory: int, observation: Observation) -> int:
    """How many candidate images fit in `memory` MiB, the classifier's activations included.

    A dense network holds at most about 64 times its input while it runs; 256 images at once were
    measured to be fastest on a CPU.

    Raises:
        ValueError: not even one image fits.
    """
    bytes_each = 4 * 64 * (observation.channels + 1) * observation.shape[0] * observation.shape[1]
    fit = memory * 2**20 // bytes_each
    if fit < 1:
        raise ValueError(f"memory is {memory} MiB; one image alone needs {bytes_each / 2**20:.1f}")
    return min(fit, 256 if observation.device.type == "cpu" else 8192)


def candidate_log_beliefs(
    observation: Observation,
    completions: Float[Tensor, "N B C H W"],
    designs: Float[Tensor, "D K"],
    sensor: Sensor,
    classifier: Classifier,
    memory: int = 512,
    seed: Seeds = 0,
) -> Float[Tensor, "N B D *L K"]:
    """log g(v | f_c(I^(n))) for all completions n, scenes b and candidate looks c.

    The candidate images are never all there at once: they are made and judged in pieces that
    stay within `memory` MiB. The result does not depend on the size of the pieces.

    Args:
        seed: of the sensor's noise, where it has some; candidates share it, completions do not.

    Raises:
        ValueError: `memory` is less than one image needs, or the classifier does not return
            log-probabilities.
    """
    n, batch = completions.shape[:2]
    number = len(designs)
    every = torch.arange(n * batch * number, device=observation.device)
    which = (every // (batch * number), every // number % batch, every % number)
    found = log_beliefs_after(
        observation, completions, designs, which, sensor, classifier, memory, seed
    )
    return found.unflatten(0, (n, batch, number))


def log_beliefs_after(
    observation: Observation,
    completions: Float[Tensor, "N B C H W"],
    designs: Float[Tensor, "D K"],
    which: tuple[Int64[Tensor, " P"], Int64[Tensor, " P"], Int64[Tensor, " P"]],
    sensor: Sensor,
    classifier: Classifier,
    memory: int = 512,
    seed: Seeds = 0,
) -> Float[Tensor, "P *L K"]:
    """log g(v | f_c(I^(n))) for some (completion n, scene b, look c), one row for each.

    Raises:
        ValueError: as `candidate_log_beliefs` does.
    """
    seeds = per_scene(seed, len(observation))
    noisy = getattr(sensor, "noise", 0) > 0
    piece = images_within(memory, observation)
    results: list[Tensor] = []
    for n, b, c in zip(*(index.split(piece) for index in which), strict=True):
        drawn = _noise_seeds(seeds, n, b) if noisy else seeds
        after = look(sensor, observation[b], completions[n, b], designs[c], drawn)
        results.append(_judged(after, classifier))
    return torch.cat(results)


def _noise_seeds(seeds: list[int], completion: Tensor, scene: Tensor) -> list[int]:
    """A seed for each completion of each scene, the same for all its looks."""
    pairs = zip(completion.tolist(), scene.tolist(), strict=True)
    return [derive(seeds[b], "imagined", n) for n, b in pairs]


def log_beliefs(
    observation: Observation, classifier: Classifier, memory: int = 512
) -> Float[Tensor, "B *L K"]:
    """The classifier's belief about each observation, in pieces that stay within `memory`.

    Raises:
        ValueError: as `candidate_log_beliefs` does.
    """
    piece = images_within(memory, observation)
    parts = [
        _judged(observation[slice(start, start + piece)], classifier)
        for start in range(0, len(observation), piece)
    ]
    return torch.cat(parts)


def _judged(observation: Observation, classifier: Classifier) -> Float[Tensor, "B *L K"]:
    """The classifier's belief, after making sure that it is one."""
    belief = classifier.log_probs(observation)
    name = f"{type(classifier).__name__}.log_probs"
    if belief.ndim not in (2, 3) or len(belief) != len(observation):
        raise ValueError(
            f"{name} returned {tuple(belief.shape)} for {len(observation)} observations, "
            f"expected ({len(observation)}, K) or ({len(observation)}, L, 2)"
        )
    if torch.isnan(belief).any():
        raise ValueError(f"{name} returned NaN")
    total = belief.exp().sum(-1)
    if not ((total - 1).abs() < 0.01).all():
        worst = float(total.flatten()[(total - 1).abs().argmax()])
        raise ValueError(
            f"{name} returned numbers whose exponentials sum to {worst:.3g}, not 1; "
            "expected log-probabilities (log_softmax of logits)"
        )
    return belief
