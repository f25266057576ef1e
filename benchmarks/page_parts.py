"""What the tables of benchmarks/README.md are made with."""

from __future__ import annotations

from typing import Any


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def machine(found: dict[str, Any]) -> str:
    about = found["machine"]
    return (
        f"Machine: {about['processor']}, {about['cores']} cores, {about['threads']} threads, "
        f"{about['capability']}; torch {about['torch']}, Python {about['python']}; load at the "
        f"start {about['load_at_start']}."
    )
