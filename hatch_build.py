"""Puts the zoo into the wheel: `completion/`, `classifiers/` and `policies/` as `boed/weights/`.

An editable install reads them where they are, so there they are left out.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Zoo(BuildHookInterface):  # type: ignore[type-arg]
    """Adds a folder for each kind of shipped model."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        if version == "editable":
            return
        for kind in ("completion", "classifiers", "policies"):
            build_data["force_include"][str(Path(self.root) / kind)] = f"boed/weights/{kind}"
