"""Beliefs and truths in words: which answer, and of several findings which finding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NAMED = 2
"""Findings that are named at most where there are many."""


def belief_in_words(
    log_belief: NDArray,
    answers: Sequence[str],
    *,
    findings: Sequence[str] = (),
    truth: NDArray | None = None,
) -> str:
    """The likeliest answer with its probability; of several findings, those that matter.

    >>> belief_in_words(np.log([0.2, 0.8]), ["cat", "dog"])
    'dog: 0.80'
    >>> belief = np.log([[0.4, 0.6], [0.9, 0.1]])
    >>> belief_in_words(belief, ["absent", "present"], findings=["mass", "any"])
    'any: absent 0.90'

    Args:
        log_belief: `[K]`, or `[L, K]` of L findings.
        answers: names of the K answers.
        findings: names of the L findings.
        truth: `[L]` of the findings: those that hold are named, two at most; the last finding where
            none holds or nothing is known.
    """
    if log_belief.ndim == 1:
        best = int(log_belief.argmax())
        return f"{answers[best]}: {np.exp(log_belief[best]):.2f}"
    shown = findings_shown(len(log_belief), truth)
    rows = [(findings[i] if findings else f"finding {i}", log_belief[i]) for i in shown]
    told = [f"{name}: {answers[int(b.argmax())]} {np.exp(b.max()):.2f}" for name, b in rows]
    return "\n".join(told)


def findings_shown(number: int, truth: NDArray | None = None) -> list[int]:
    """Which of several findings are named beside a picture."""
    present = [] if truth is None else np.flatnonzero(truth).tolist()
    return present[:NAMED] or [number - 1]


def truth_in_words(
    truth: NDArray | int, answers: Sequence[str], *, findings: Sequence[str] = ()
) -> str:
    """The true answer, or the findings that hold."""
    labels = np.asarray(truth)
    if labels.ndim == 0:
        return str(answers[int(labels)])
    present = [findings[i] if findings else f"finding {i}" for i in np.flatnonzero(labels).tolist()]
    return ", ".join(present) or f"none of the {len(labels)} findings"
