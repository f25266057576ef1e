"""Pages of the site that are made from other files: cards, tables, results, and the reference.

A hook of mkdocs. What lies outside `docs/` (the cards of `data/` and of the zoo, ARCHITECTURE.md,
tables of `benchmarks/`) becomes a page with the same words, and links between files of the
repository become links between pages; what is no page (a notebook, JSON) comes along as a file.
"""

from __future__ import annotations

import os
import posixpath
import re
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
ZOO = ("completion", "classifiers", "policies")
LINK = re.compile(r"(\]\()([^)#\s:]+)(#[^)\s]*)?(\))")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def outside() -> dict[str, str]:
    """Markdown files of the repository outside `docs/`, and the pages that they become."""
    pages = {name: name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")}
    pages |= {"README.md": "index.md"}
    pages |= {
        str(path.relative_to(ROOT)): str(path.relative_to(ROOT))
        for path in sorted(ROOT.glob("benchmarks/**/*.md"))
    }
    for kind in ZOO:
        pages[f"{kind}/README.md"] = f"zoo/{kind}.md"
        for card in sorted((ROOT / kind).glob("*/card.md")):
            pages[str(card.relative_to(ROOT))] = f"zoo/{card.parent.name}.md"
    pages["data/README.md"] = "data_sets/index.md"
    for card in sorted(ROOT.glob("data/*/card.md")):
        pages[str(card.relative_to(ROOT))] = f"data_sets/{card.parent.name}.md"
    return pages


PAGES = outside()
SOURCES = {page: source for source, page in PAGES.items() if source != "README.md"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add cards and reference to the navigation."""
    sections = {next(iter(each)): each for each in config.nav or [] if isinstance(each, dict)}
    zoo, data = sections["Zoo"]["Zoo"], sections["Data"]["Data"]
    for kind in ZOO:
        cards = [page for page in PAGES.values() if SOURCES.get(page, "").startswith(f"{kind}/")]
        zoo.append({kind.capitalize(): cards})
    data += [page for page in PAGES.values() if page.startswith("data_sets/")]
    sections["Reference"]["Reference"] = [f"reference/{name}.md" for name in subpackages()]
    # the gallery switches this on: the first README of a section would become its title
    features = config.theme["features"]
    config.theme["features"] = [each for each in features if each != "navigation.indexes"]
    return config


def subpackages() -> dict[str, list[str]]:
    """Page names of the reference, and the modules that stand on each."""
    pages: dict[str, list[str]] = {"boed": ["boed"]}
    for path in sorted((ROOT / "boed").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if len(parts) < 2 or any(part.startswith("_") for part in parts):
            continue
        home = parts[1] if (ROOT / "boed" / parts[1]).is_dir() else "boed"
        pages.setdefault(home, []).append(".".join(parts))
    return pages


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for page, source in SOURCES.items():
        text = (ROOT / source).read_text()
        files.append(File.generated(config, page, content=with_facts(text)))
    for name, modules in subpackages().items():
        title = "boed" if name == "boed" else f"boed.{name}"
        body = "\n\n".join(f"::: {module}" + own_members(module) for module in modules)
        page = f"reference/{name}.md"
        files.append(File.generated(config, page, content=f"# {title}\n\n{body}\n"))
    return files


def own_members(module: str) -> str:
    """A package shows its docstring alone: its modules stand below it."""
    package = (ROOT / Path(*module.split("."))).is_dir()
    return "\n    options:\n      members: false" if package else ""


def with_facts(card: str) -> str:
    """A card with its TOML front matter as a table under the title."""
    if not card.startswith("+++\n"):
        return card
    _, front, text = card.split("+++\n", 2)
    facts = tomllib.loads(front)
    rows = [f"| {key.replace('_', ' ')} | `{value}` |" for key, value in facts.items()]
    title, rest = text.strip().split("\n", 1)
    rows.insert(1, "|---|---|")  # the name heads the table
    return "\n".join([title, "", *rows, rest])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    here = page.file.src_uri
    if here.startswith(("generated/", "reference/")):
        return markdown
    base = posixpath.dirname(SOURCES.get(here, f"docs/{here}"))

    def linked(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(base, match[2]))
        where = page_of(target, config, files)
        if where is None:
            return match[0]
        relative = posixpath.relpath(where, posixpath.dirname(here) or ".")
        return f"{match[1]}{relative}{match[3] or ''}{match[4]}"

    pieces: list[str] = []
    end = 0
    for fence in FENCE.finditer(markdown):  # code stays as it is
        pieces += [LINK.sub(linked, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*pieces, LINK.sub(linked, markdown[end:])])


def page_of(target: str, config: MkDocsConfig, files: Files) -> str | None:
    """The page, or file of the site, that a file of the repository is; None if it is none."""
    if target in PAGES:
        return PAGES[target]
    if target == "docs/gallery/README.md":
        return "generated/gallery/index.md"
    if target.startswith("docs/gallery/"):
        return f"generated/gallery/{Path(target).stem}.md"
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    if not (ROOT / target).is_file():
        return None
    name = f"files/{target}"
    if files.get_file_from_path(name) is None:
        files.append(File.generated(config, name, abs_src_path=os.fspath(ROOT / target)))
    return name


def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """Leave out what the gallery keeps for itself."""
    for pattern in ("*.pickle", "*.md5", "*.zip"):
        for path in Path(config.site_dir).glob(f"generated/gallery/{pattern}"):
            path.unlink()
