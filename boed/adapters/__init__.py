"""A session as others speak of it: generators of experiments. Needs the extra `gest`."""

from boed.adapters.gest import SessionGenerator

__all__ = ["SessionGenerator"]
