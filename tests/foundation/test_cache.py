"""Where boed keeps what it can make or fetch again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from boed.data.download import cache
from boed.foundation.cache import cache_folder


def test_the_variable_names_it_and_empty_is_none_everywhere(monkeypatch):
    monkeypatch.setenv("BOED_CACHE", "/somewhere")
    assert cache_folder() == cache() == Path("/somewhere")
    monkeypatch.setenv("BOED_CACHE", "")
    assert cache_folder() is None
    with pytest.raises(ValueError, match=r"BOED_CACHE is empty .* set BOED_CACHE to a folder"):
        cache()


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux", "/cache/boed"),
        ("darwin", "/home/me/Library/Caches/boed"),
        ("win32", "/local/boed"),
    ],
)
def test_by_default_it_is_the_users(monkeypatch, platform, expected):
    monkeypatch.delenv("BOED_CACHE", raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == Path(expected)


def test_without_a_home_nothing_is_kept(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("BOED_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder() is None
