"""Completion under a mixture of Gaussians, whose posterior given linear readings is exact."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from boed.completion.classical.retrieval import Transform, measured, readings_of
from boed.completion.completer import Completions
from boed.completion.log_probability import Counted, Kind
from boed.data.dataset import Dataset
from boed.data.observation import Observation, check_scenes
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least
from boed.foundation.randomness import SceneNoise, Seeds, derive, per_scene

AT_ONCE = 2**22
"""Entries of the matrices that are factored at once: 32 MiB in double precision."""


@dataclass(frozen=True, eq=False)
class _Group:
    """P sets of r readings, each taken of m scenes, and what each component says of those.

    Attributes:
        rows: which scenes of the batch, `[P, m]`.
        taken: which readings, `[P, r]`.
        readings: what they read, `[P, m, r]`.
        factor: Cholesky factor of a component's covariance of the readings, `[P, K, r, r]`.
        log_evidence: log pi_k N(y; m_k, G_k), `[P, m, K]`.
    """

    rows: Int64[Tensor, "P m"]
    taken: Int64[Tensor, "P r"]
    readings: Float[Tensor, "P m r"]
    factor: Float[Tensor, "P K r r"]
    log_evidence: Float[Tensor, "P m K"]


@checked
class GaussianMixture:
    """Exact posterior samples of p(scene | y), y = A x + s e, under a mixture of Gaussians.

    Component k of the prior is a factor analysis with loadings V that all share, the leading
    principal components: x = m_k + V c + sigma e with c ~ N(0, C_k), so that

        p(x) = sum_k pi_k N(x; m_k, S_k),   S_k = V C_k V^T + sigma^2 I.

    A set of readings y has the evidence N(y; A m_k, G_k), G_k = A S_k A^T + s^2 I, and a component
    is sampled by conditioning its own draws (x', y'): x' + S_k A^T G_k^-1 (y - y') (Doucet 2010,
    "A note on efficient conditional simulation of Gaussian distributions"). Samples are not
    clipped to [0, 1].

    With one component for each class the components' posterior is that of the class, and the
    completions carry their class as label.

    Args:
        library: scenes to fit.
        components: `classes`, one for each class; or how many, found by expectation
            maximisation. One is a plain Gaussian.
        factors: principal components at most; sigma^2 is the mean variance outside of them.
        noise: standard deviation s of a reading, above 0 so that the posterior is proper.
        transform: for an indirect sensor, scenes to all its readings, such as its `forward`; it
            must be affine.

    Attributes:
        weights: pi, `[K]`.
        means: m, `[K, N]`, N = C * H * W.
        loadings: V times a square root of C_k, `[K, N, q]`.
        variance: sigma^2.

    Raises:
        ValueError: fewer scenes than components or factors below 1, a class without two scenes, a
            data set with findings where classes are asked for, noise that is not above 0, or a
            transform that is not affine.
    """

    unbounded = True
    log_prob_is: ClassVar[Kind] = "exact"
    levels: ClassVar[int | None] = None
    counts: ClassVar[Counted] = "all"

    def __init__(
        self,
        library: Dataset,
        components: int | Literal["classes"] = "classes",
        factors: int = 64,
        *,
        noise: float = 0.02,
        transform: Transform | None = None,
    ) -> None:
        if not 0 < noise < math.inf:
            raise ValueError(f"noise is {noise}, expected a standard deviation above 0")
        at_least(1, factors=factors)
        self.noise = noise
        self.transform = transform
        self.by_class = components == "classes"
        self.shape = tuple(library.images.shape[1:])
        self._fit(library, components, factors)
        self._read()

    def sample(
        self, observation: Observation, n: int, seed: Seeds = 0
    ) -> Float[Tensor, "n B C H W"]:
        """n completions of each observation, the seen pixels composited in.

        Raises:
            ValueError: n is less than 1, or the observation is of another size or sensor, or NaN.
        """
        return self._drawn(observation, n, seed)[0]

    def complete(self, observation: Observation, n: int, seed: Seeds = 0) -> Completions:
        """The samples with equal weights, and their classes where components are classes.

        Raises:
            ValueError: as `sample` does.
        """
        scenes, component = self._drawn(observation, n, seed)
        weights = torch.full((n, len(observation)), 1 / n, device=scenes.device)
        return Completions(scenes, weights, component if self.by_class else None)

    def log_probs(self, observation: Observation) -> Float[Tensor, "B K"]:
        """Posterior of the components: of the classes, where there is one for each.

        Raises:
            ValueError: the observation is of another size or sensor, or NaN.
        """
        log_evidence = self.log_evidence(observation)
        return log_evidence.log_softmax(1).float().to(observation.device)

    def log_prob(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> Float[Tensor, " B"]:
        """log p(scene | observation) in nats; the reading's noise is part of the model.

        log sum_k pi_k N(x; m_k, S_k) + log N(y; A x, s^2 I) - log p(y).

        Raises:
            ValueError: scene and observation do not fit each other or the model, or are NaN.
        """
        check_scenes(scene, "scene")
        if scene.shape != observation.values.shape:
            raise ValueError(
                f"scene is {tuple(scene.shape)}, expected {tuple(observation.values.shape)}"
            )
        values, taken = self._measured(observation)
        flat = scene.flatten(1).double().cpu()
        prior = torch.stack(
            [
                torch.distributions.LowRankMultivariateNormal(
                    mean, loading, torch.full_like(mean, self.variance)
                ).log_prob(flat)
                for mean, loading in zip(self.means, self.loadings, strict=True)
            ],
            dim=1,
        )
        error = (values - self._affine(flat)) / self.noise
        likelihood = -0.5 * (error**2 + math.log(2 * math.pi * self.noise**2)) * taken
        joint = torch.logsumexp(self.weights.log() + prior, dim=1) + likelihood.sum(1)
        evidence = torch.logsumexp(self.log_evidence(observation), dim=1)
        return (joint - evidence).float().to(scene.device)

    def log_evidence(self, observation: Observation) -> Float[Tensor, "B K"]:
        """log pi_k p(y | component k) of what was read, in double precision.

        Raises:
            ValueError: the observation is of another size or sensor, or NaN.
        """
        log_evidence = torch.empty(len(observation), len(self.weights), dtype=torch.double)
        for group in self._groups(observation):
            log_evidence[group.rows] = group.log_evidence
        return log_evidence

    def _drawn(
        self, observation: Observation, n: int, seed: Seeds
    ) -> tuple[Float[Tensor, "n B C H W"], Int64[Tensor, "n B"]]:
        """Samples, and the component that each came from."""
        at_least(1, n=n)
        groups = self._groups(observation)
        batch, size = len(observation), self.means.shape[1]
        readings, rank = self._read_loadings.shape[1:]
        seeds = [derive(each, "gaussian mixture") for each in per_scene(seed, batch)]
        noise = SceneNoise(seeds)
        ticket = noise.uniform(n).double()  # [n, B]
        hidden = noise.normal(n, rank).double()
        residual = noise.normal(n, size).double()
        error = noise.normal(n, readings).double()
        scenes = torch.empty(n, batch, size, dtype=torch.double)
        component = torch.empty(n, batch, dtype=torch.int64)
        for group, p in ((each, p) for each in groups for p in range(len(each.rows))):
            rows, taken = group.rows[p], group.taken[p]
            below = group.log_evidence[p].softmax(1).cumsum(1)  # [m, K]
            chosen = (ticket[:, rows, None] > below[None]).sum(2).clamp(max=len(self.weights) - 1)
            component[:, rows] = chosen
            for k in chosen.unique().tolist():
                draw, m = (chosen == k).nonzero(as_tuple=True)
                where = draw, rows[m]
                x = self.means[k] + hidden[where] @ self.loadings[k].T
                x = x + math.sqrt(self.variance) * residual[where]
                y = self._affine(x, taken) + self.noise * error[where][:, taken]
                surprise = (group.readings[p, m] - y).T
                solved = torch.cholesky_solve(surprise, group.factor[p, k]).T  # G_k^-1 (y - y')
                back = solved @ self._read_loadings[k, taken] @ self.loadings[k].T
                scenes[where] = x + back + self.variance * (solved @ self.operator[taken])
        pictures = scenes.float().unflatten(2, self.shape).to(observation.device)
        return observation.composite(pictures), component.to(observation.device)

    def _groups(self, observation: Observation) -> Iterator[_Group]:
        """The scenes of a batch by what was taken; those that took the same share matrices.

        Sets of as many readings, each of as many scenes, go through the algebra together.
        """
        values, taken = self._measured(observation)
        patterns, which, scenes = taken.unique(dim=0, return_inverse=True, return_counts=True)
        order = which.argsort(stable=True).split(scenes.tolist())  # the scenes of each pattern
        sizes = torch.stack([patterns.sum(1).long(), scenes], dim=1)
        for size in sizes.unique(dim=0):
            alike = (sizes == size).all(1).nonzero()[:, 0]
            room = max(AT_ONCE // (len(self.weights) * max(int(size[0]), 1) ** 2), 1)
            for part in alike.split(room):
                rows = torch.stack([order[number] for number in part.tolist()])
                taken = patterns[part].nonzero()[:, 1].view(len(part), size[0])
                yield self._group(values, taken, rows)

    def _group(self, values: Tensor, taken: Tensor, rows: Tensor) -> _Group:
        read = self._read_loadings[:, taken].transpose(0, 1)  # A V C_k^1/2, [P, K, r, q]
        noise = self.variance * self._gram[taken[:, :, None], taken[:, None, :]]
        noise = noise + self.noise**2 * torch.eye(taken.shape[1], dtype=torch.double)
        factor = torch.linalg.cholesky(read @ read.mT + noise[:, None])  # of G_k
        readings = values[rows[:, :, None], taken[:, None, :]]
        means = self._read_means[:, taken].transpose(0, 1)
        error = readings[:, None] - means[:, :, None]  # [P, K, m, r]
        white = torch.linalg.solve_triangular(factor, error.mT, upper=False)
        half_log_det = factor.diagonal(dim1=2, dim2=3).log().sum(2)
        log_evidence = (
            self.weights.log()[:, None]
            - 0.5 * white.square().sum(2)
            - half_log_det[..., None]
            - 0.5 * taken.shape[1] * math.log(2 * math.pi)
        )
        return _Group(rows, taken, readings, factor, log_evidence.mT)

    def _measured(self, observation: Observation) -> tuple[Tensor, Tensor]:
        """Readings and which were taken, in double precision on the CPU."""
        if tuple(observation.values.shape[1:]) != self.shape:
            raise ValueError(
                f"observation is of scenes {tuple(observation.values.shape[1:])}; "
                f"this completer was fitted to {self.shape}"
            )
        values, taken = measured(observation, len(self.operator), self.transform)
        if not torch.isfinite(values).all():
            raise ValueError("observation has NaN or infinite entries")
        return values.double().cpu(), taken.double().cpu()

    def _affine(self, flat: Float[Tensor, "B N"], taken: Tensor | None = None) -> Tensor:
        """What is read of scenes without noise."""
        if taken is None:
            return self.offset + flat @ self.operator.T
        return self.offset[taken] + flat @ self.operator[taken].T

    def _fit(self, library: Dataset, components: int | Literal["classes"], factors: int) -> None:
        """Weights, means, loadings and sigma^2, from coordinates in the principal components."""
        flat = library.scenes().flatten(1).double().numpy()
        if len(flat) < 2 or (not self.by_class and not 1 <= components <= len(flat)):  # type: ignore[operator]
            raise ValueError(
                f"components is {components!r}, and {library.name} has {len(flat)} scenes; "
                "expected 'classes' or 1 to that number, of two scenes or more"
            )
        middle = flat.mean(0)
        _, singular, axes = np.linalg.svd(flat - middle, full_matrices=False)
        rank = min(factors, len(axes))
        left = float((singular[rank:] ** 2).sum()) / len(flat)
        self.variance = max(left / max(flat.shape[1] - rank, 1), 1e-8)
        axes = axes[:rank]
        where = (flat - middle) @ axes.T
        moments = _by_class(library, where) if self.by_class else _by_em(where, components)  # type: ignore[arg-type]
        weights, centres, covariances = moments
        roots = np.linalg.cholesky(covariances + 1e-10 * np.eye(rank))
        self.weights = torch.from_numpy(weights)
        self.means = torch.from_numpy(middle + centres @ axes)
        self.loadings = torch.from_numpy(axes.T @ roots)

    def _read(self) -> None:
        """The matrix A and offset of the transform, from what it makes of every single pixel."""
        number = self.means.shape[1]
        if self.transform is None:
            self.operator = torch.eye(number, dtype=torch.double)
            self.offset = torch.zeros(number, dtype=torch.double)
        else:
            units = torch.eye(number).unflatten(1, self.shape)
            self.offset = readings_of(self.transform, torch.zeros(1, *self.shape))[0].double()
            self.operator = (
                readings_of(self.transform, units).double() - self.offset
            ).T.contiguous()
            check = torch.rand(2, number, generator=torch.Generator().manual_seed(0))
            readings = readings_of(self.transform, check.unflatten(1, self.shape)).double()
            error = float((readings - self._affine(check.double())).abs().max())
            if error > 1e-3 * max(float(readings.abs().max()), 1e-6):
                raise ValueError(
                    f"transform is not affine: its readings differ by up to {error:.3g} from the "
                    "sum of what it reads of single pixels"
                )
        self._gram = self.operator @ self.operator.T
        self._read_loadings = self.operator @ self.loadings
        self._read_means = self._affine(self.means)


Moments = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Weights `[K]`, means `[K, q]` and covariances `[K, q, q]` of a mixture."""


def _by_class(library: Dataset, where: NDArray[np.float64]) -> Moments:
    """Each class's share, mean and covariance, shrunk as by Ledoit and Wolf (2004)."""
    from sklearn.covariance import ledoit_wolf

    if library.multi_label:
        raise ValueError(f"components is 'classes', but {library.name} has findings, not classes")
    labels = library.labels.numpy()
    counts = np.bincount(labels, minlength=len(library.label_names))
    if counts.min() < 2:
        few = library.label_names[int(counts.argmin())]
        raise ValueError(f"{library.name} has {counts.min()} scenes of {few!r}, expected 2 or more")
    members = [where[labels == k] for k in range(len(counts))]
    return (
        counts / counts.sum(),
        np.stack([each.mean(0) for each in members]),
        np.stack([ledoit_wolf(each)[0] for each in members]),
    )


def _by_em(where: NDArray[np.float64], components: int) -> Moments:
    """Expectation maximisation by scikit-learn, from its k-means start."""
    from sklearn import mixture

    model = mixture.GaussianMixture(components, random_state=0, reg_covar=1e-6).fit(where)
    return model.weights_, model.means_, model.covariances_
