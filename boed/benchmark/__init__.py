"""Many policies on many scenes: vectorised, with common random numbers, resumable."""

from boed.benchmark.sweep import benchmark, scene_rows

__all__ = ["benchmark", "scene_rows"]
