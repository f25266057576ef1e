"""Every named data set has a card and a manifest, and the manifest says what `load` returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boed.data import Dataset, catalogue, load
from boed.data.load import NAMES
from boed.data.readers import cifar10, medmnist
from boed.foundation.files import sha256

tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11 to read TOML")

FOLDER = Path(__file__).parents[2] / "data"
SPLITS = ("train", "val", "test")
HOW = {"embedded": "comes with", "local": "put ", "download": "downloaded"}
SECTIONS = ("**Source.**", "**Citation.**", "**Licence.**", "## Splits", "## How to get it")
CATALOGUE = {entry.name: entry for entry in catalogue()}
SLOW = {"cifar10_jpeg_32": "decodes 60,000 JPEG files"}


def manifest(name: str) -> dict[str, Any]:
    with (FOLDER / name / "manifest.toml").open("rb") as file:
        return tomllib.load(file)


def read(name: str, split: str) -> Dataset:
    """A split at the native size; skips where the set is not here, and never downloads."""
    entry = CATALOGUE[name]
    if not entry.available:
        pytest.skip(f"{name} cannot be read here: {entry.how}")
    return load(name, None, split)


def slow_marked(names: list[str]) -> list[Any]:
    return [
        pytest.param(name, marks=pytest.mark.slow) if name in SLOW else pytest.param(name)
        for name in names
    ]


def test_there_is_a_folder_for_every_name_and_no_other() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_card_and_table_say_what_the_manifest_says(name: str) -> None:
    card, said = (FOLDER / name / "card.md").read_text(), manifest(name)
    assert card.startswith(f"# {said['title']}\n")
    for section in (*SECTIONS, "## What boed does with it", "## Limits"):
        assert section in card, section
    words = " ".join(card.split())
    assert said["source"] in words
    assert f"**Licence.** {said['licence']}." in words
    row = next(
        line
        for line in (FOLDER / "README.md").read_text().splitlines()
        if line.startswith(f"| [`{name}`]({name}/card.md) |")
    )
    assert said["licence"] in row
    assert row.endswith(f"| {said['how']} |")
    for split in SPLITS:
        assert f"| {split} | {said['splits'][split]['images']:,} |" in card


@pytest.mark.parametrize("name", NAMES)
def test_manifest_agrees_with_the_catalogue(name: str) -> None:
    entry, said = CATALOGUE[name], manifest(name)
    assert said["name"] == name
    assert tuple(said["sizes"]) == entry.sizes
    assert entry.how.startswith(HOW[said["how"]])
    assert said["channels"] in (1, 3)
    assert len(set(said["classes"])) == len(said["classes"]) > 1
    assert set(said["splits"]) == set(SPLITS)
    assert said["source"].startswith(("http://", "https://"))
    for file in said.get("files", []):
        assert Path(file["file"]).name in entry.how or said["how"] == "download" or name == "celeba"


@pytest.mark.parametrize("name", ["cifar10", *medmnist.SOURCES])
def test_manifest_agrees_with_what_is_downloaded(name: str) -> None:
    files = manifest(name)["files"]
    if name == "cifar10":
        assert [(each["url"], each["sha256"]) for each in files] == [(cifar10.URL, cifar10.SHA256)]
        return
    assert {each["size"]: each["md5"] for each in files} == medmnist.SOURCES[name].md5
    for each in files:
        assert each["file"] == medmnist.file_name(name, each["size"])
        assert each["url"] == f"{medmnist.BASE_URL}/{each['file']}"
    parts = manifest(name)["splits"]
    assert sum(parts[split]["images"] for split in SPLITS) == medmnist.SOURCES[name].images


@pytest.mark.parametrize("name", [name for name in NAMES if manifest(name)["how"] == "local"])
def test_manifest_has_the_checksum_of_the_file(name: str, real_data: Path) -> None:
    for file in manifest(name)["files"]:
        path = real_data / file["file"]
        if "sha256" not in file or not path.is_file():
            pytest.skip(f"{name}: no checksum, or the file is not here")
        assert path.stat().st_size == file["bytes"]
        assert sha256(path) == file["sha256"]


@pytest.mark.parametrize(
    "name", slow_marked([name for name in NAMES if "sha256" in manifest(name)["splits"]["train"]])
)
@pytest.mark.parametrize("split", SPLITS)
def test_manifest_says_what_is_read(name: str, split: str) -> None:
    said, dataset = manifest(name), read(name, split)
    part = said["splits"][split]
    assert tuple(said["classes"]) == dataset.label_names
    assert said["multi_label"] == dataset.multi_label
    assert said["channels"] == dataset.channels
    assert said["sizes"][0] == dataset.size
    assert part["images"] == len(dataset)
    if dataset.multi_label:
        assert part["positive"] == dataset.labels.sum(0).tolist()
    else:
        counts = dataset.labels.bincount(minlength=len(dataset.label_names))
        assert part["per_class"] == counts.tolist()
    if "patients" in part:
        assert dataset.patients is not None
        assert part["patients"] == len(set(dataset.patients))
    assert part["sha256"] == dataset.sha256, "the content differs from what the card describes"


@pytest.mark.parametrize("name", [name for name in NAMES if manifest(name)["how"] == "embedded"])
def test_an_embedded_set_has_all_checksums(name: str) -> None:
    assert all("sha256" in part for part in manifest(name)["splits"].values())
