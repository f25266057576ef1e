"""Where the trained models lie that come with boed: a folder each, in the checkout or the wheel.

A folder holds `weights.safetensors`, `recipe.toml` and `card.md`. In a checkout the folders are
those under `completion/`, `classifiers/` and `policies/` at its top; the wheel has them in
`boed/weights/`.
"""

from __future__ import annotations

from pathlib import Path

from boed.foundation.registry import unknown

WEIGHTS = "weights.safetensors"
"""The file of weights in a model's folder."""

KINDS = ("completion", "classifiers", "policies")
"""What a shipped model is."""


def zoo_folder() -> Path:
    """The folder that has a folder for each kind of shipped model."""
    package = Path(__file__).parents[1]
    in_wheel = package / "weights"
    return in_wheel if in_wheel.is_dir() else package.parent


def shipped_names(kind: str | None = None) -> list[str]:
    """Names of the shipped models, of one kind if it is given."""
    kinds = KINDS if kind is None else (kind,)
    return sorted(
        path.parent.name for each in kinds for path in (zoo_folder() / each).glob(f"*/{WEIGHTS}")
    )


def shipped_folder(name: str) -> Path:
    """The folder of a shipped model.

    Raises:
        ValueError: there is none of that name; the nearest is suggested.
    """
    for kind in KINDS:
        folder = zoo_folder() / kind / name
        if (folder / WEIGHTS).is_file():
            return folder
    raise unknown("shipped model", name, shipped_names())


def shipped(name: str) -> Path:
    """The weights of a shipped model.

    Raises:
        ValueError: there is none of that name; the nearest is suggested.
    """
    return shipped_folder(name) / WEIGHTS


def card_facts(folder: Path) -> dict[str, str | int]:
    """What the card of a shipped model says of the file of weights, in the first lines.

    Args:
        folder: of the model.

    Returns:
        `weights_sha256`, `bytes`, and `parameters`: numbers that were learned, which the
        statistics of what passes through a network are not.
    """
    from boed.foundation.files import load_weights, sha256

    path = folder / WEIGHTS
    tensors, _ = load_weights(path)
    learned = [v for k, v in tensors.items() if k.rpartition(".")[2] not in _STATISTICS]
    return {
        "weights_sha256": sha256(path),
        "bytes": path.stat().st_size,
        "parameters": sum(each.numel() for each in learned),
    }


_STATISTICS = (
    *("running_mean", "running_var", "num_batches_tracked"),
    *("outcome_mean", "outcome_std"),
)


def refresh_cards() -> None:
    """Write `card_facts` into all cards that there are, after weights have changed."""
    from boed.foundation.files import atomic

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
