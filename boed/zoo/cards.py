"""What the cards of shipped models say of their files of weights."""

from __future__ import annotations

from pathlib import Path

from boed.foundation.files import atomic, load_weights, sha256
from boed.foundation.shipped import WEIGHTS, shipped_folder, shipped_names

_STATISTICS = (
    *("running_mean", "running_var", "num_batches_tracked"),
    *("outcome_mean", "outcome_std"),
)


def card_facts(folder: Path) -> dict[str, str | int]:
    """What the card of a shipped model says of the file of weights, in the first lines.

    Args:
        folder: of the model.

    Returns:
        `weights_sha256`, `bytes`, and `parameters`: numbers that were learned, which the
        statistics of what passes through a network are not.
    """
    path = folder / WEIGHTS
    tensors, _ = load_weights(path)
    learned = [v for k, v in tensors.items() if k.rpartition(".")[2] not in _STATISTICS]
    return {
        "weights_sha256": sha256(path),
        "bytes": path.stat().st_size,
        "parameters": sum(each.numel() for each in learned),
    }


def refresh_cards() -> None:
    """Write `card_facts` into all cards that there are, after weights have changed."""
    for name in shipped_names():
        card = shipped_folder(name) / "card.md"
        if not card.exists():
            continue
        lines = card.read_text(encoding="utf-8").splitlines()
        facts = card_facts(card.parent)
        for number, line in enumerate(lines[: lines.index("+++", 1)]):
            key = line.partition(" = ")[0]
            if key in facts:
                value = facts[key]
                lines[number] = (
                    f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
                )
        with atomic(card) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
