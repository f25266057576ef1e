"""Bad inputs and faults by kind, tried: how many give the right result, a clear error, a refusal.

    python benchmarks/kills.py --kills 30 --out benchmarks/results/kills.json
    python benchmarks/reliability.py --docs docs/reliability.md

Runs the tests that hold each kind and counts the members that passed. A traceback, a silently
wrong result, a hang or lost work is a failed test, and then nothing is written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from boed.foundation.files import atomic

ROOT = Path(__file__).parents[1]
KILLS = ROOT / "benchmarks" / "results" / "kills.json"

RIGHT, ERROR, REFUSED = "right", "error", "refused"
OUTCOMES = {RIGHT: "right result", ERROR: "clear error", REFUSED: "refused, or done again"}

KINDS: dict[str, dict[str, list[str]]] = {
    "A run's folder: another model, library, sensor, setting or command": {
        REFUSED: [
            "foundation/test_identity.py::test_another",
            "foundation/test_identity.py::test_a_picture_of_which",
            "foundation/test_identity.py::test_a_damaged",
            "foundation/test_identity.py::test_a_folder_of_something",
            "foundation/test_identity.py::test_a_record_of_something",
            "test_run.py::test_folders_of_something",
            "test_setup.py::test_another_run_is_refused",
            "training/test_checkpoints.py::test_another",
        ],
        RIGHT: [
            "foundation/test_identity.py::test_the_same",
            "foundation/test_identity.py::test_an_empty",
            "foundation/test_identity.py::test_what_was_not",
            "training/test_checkpoints.py::test_the_same",
            "test_setup.py::test_a_run_that_was_finished",
            "benchmark/test_benchmark.py::test_policies_are_added",
        ],
    },
    "EIG of Pyro models: estimators by kinds of sites, types, units": {
        RIGHT: ["eig/model/test_kinds_of_sites.py::"],
        ERROR: ["eig/model/test_kinds_of_sites.py::test_designs_that_are_no_real"],
    },
    "DICOM: empty, unusual and unusable elements, cuts": {
        RIGHT: [
            "data/readers/test_dicom.py::test_what_scanners",
            "data/readers/test_dicom.py::test_an_element_of_unknown",
            "data/readers/test_dicom.py::test_padding",
        ],
        ERROR: [
            "data/readers/test_dicom.py::test_an_element_that_cannot",
            "data/readers/test_dicom.py::test_a_",
        ],
    },
    "PNG, TIFF, GIF, WebP: depth, pages, transparency, size": {
        RIGHT: [
            "data/readers/test_image.py::test_floats",
            "data/readers/test_image.py::test_twelve",
            "data/readers/test_image.py::test_palettes",
            "data/readers/test_image.py::test_sixteen",
            "data/readers/test_image.py::test_an_alpha",
        ],
        ERROR: [
            "data/readers/test_image.py::test_values_out",
            "data/readers/test_image.py::test_several",
            "data/readers/test_image.py::test_transparent",
            "data/readers/test_image.py::test_a_",
            "data/readers/test_image.py::test_refuses",
        ],
    },
    "Folders of pictures and their labels.csv": {
        ERROR: [
            "data/readers/test_folder.py::test_refuses",
            "data/readers/test_folder.py::test_pictures_without_labels",
            "data/readers/test_folder.py::test_sizes",
        ],
        RIGHT: ["data/readers/test_folder.py::test_csv", "data/test_polarity.py::"],
    },
    "Files changed at random, 26 formats": {RIGHT: ["fuzz/test_fuzz.py::"]},
    "Archives of arrays": {
        ERROR: [
            "foundation/test_npz.py::test_a_",
            "foundation/test_npz.py::test_other",
            "foundation/test_npz.py::test_what",
            "data/readers/test_npz.py::test_refuses",
            "data/readers/test_npz.py::test_never",
        ],
        RIGHT: ["foundation/test_npz.py::test_arrays"],
    },
    "Stored parts of a run: NaN, other forms, garbage": {
        REFUSED: [
            "benchmark/test_storage.py::test_nan",
            "benchmark/test_storage.py::test_arrays",
            "benchmark/test_storage.py::test_a_damaged",
        ]
    },
    "Sizes and architectures beyond memory": {
        ERROR: ["test_sizes.py::"],
        RIGHT: ["test_sizes.py::test_a_grid"],
    },
    "A user's sensor, completer, classifier, policy, estimator": {
        ERROR: [
            "testing/test_mistakes.py::test_sensors",
            "testing/test_mistakes.py::test_completers",
            "testing/test_mistakes.py::test_classifiers",
            "testing/test_mistakes.py::test_policies",
            "testing/test_mistakes.py::test_estimators",
            "test_contracts.py::test_setup_refuses",
            "test_contracts.py::test_run_and",
            "test_contracts.py::test_acquire",
            "test_contracts.py::test_what",
        ],
        RIGHT: [
            "testing/test_mistakes.py::test_float64",
            "testing/test_ours.py::",
            "test_contracts.py::test_parts",
            "test_contracts.py::test_whole",
        ],
    },
    "Whatever a user's part raises, in a trial, late, on the way to a worker; decisions": {
        ERROR: ["testing/test_raising.py::"],
        RIGHT: [
            "testing/test_raising.py::test_a_fault",
            "testing/test_raising.py::test_content",
        ],
    },
    "A part that breaks its contract within a run": {
        ERROR: [
            "testing/test_trial.py::test_global",
            "testing/test_trial.py::test_what_breaks",
            "testing/test_trial.py::test_parts_inside",
            "testing/test_trial.py::test_a_candidate",
        ],
        RIGHT: ["testing/test_trial.py::test_parts_that_keep"],
    },
    "Arguments of another kind, of public functions and classes": {
        ERROR: ["test_arguments.py::test_an_argument", "test_arguments.py::test_what_was"],
        RIGHT: ["test_arguments.py::test_numbers"],
    },
    "Looks at what is known already": {RIGHT: ["policies/test_known_looks.py::"]},
    "Attributes of results": {
        RIGHT: ["foundation/test_netcdf.py::"],
        ERROR: ["foundation/test_netcdf.py::test_what_no_file"],
    },
    "Options of every command, and keys of settings": {
        ERROR: [
            "cli/test_options.py::test_bad",
            "cli/test_options.py::test_options",
            "cli/test_options.py::test_values",
            "cli/test_options.py::test_keys",
            "cli/test_options.py::test_what",
        ]
    },
    "Paths of nothing, and models by name, file and folder": {
        ERROR: ["cli/test_paths.py::"],
        RIGHT: ["cli/test_paths.py::test_keys", "cli/test_paths.py::test_a_recipe"],
    },
    "Arguments that have no effect, or contradict the data": {
        ERROR: ["test_without_effect.py::"],
        RIGHT: ["test_without_effect.py::test_each"],
    },
    "Advice, and options named as they are typed": {
        ERROR: ["cli/test_advice.py::test_advice", "cli/test_advice.py::test_an_argument"],
        RIGHT: ["cli/test_advice.py::test_names"],
    },
    "Warnings, and scenes of another kind": {
        RIGHT: [
            "cli/test_warnings.py::",
            "test_run.py::test_scenes",
            "test_run.py::test_an_inverted",
        ]
    },
    "Caches and downloads": {
        RIGHT: ["policies/test_first_look.py::", "foundation/test_cache.py::"],
        ERROR: [
            "data/readers/test_medmnist.py::test_a_server",
            "data/readers/test_medmnist.py::test_a_broken",
            "data/readers/test_medmnist.py::test_a_full",
            "data/readers/test_medmnist.py::test_refuses",
            "data/readers/test_medmnist.py::test_no_such",
            "cli/test_data.py::",
        ],
        REFUSED: [
            "data/readers/test_medmnist.py::test_corrupted",
            "data/readers/test_medmnist.py::test_a_corrupted",
            "data/readers/test_medmnist.py::test_two",
            "data/readers/test_medmnist.py::test_what",
        ],
    },
    "A full disk": {
        ERROR: [
            "report/test_results.py::test_a_full_disk",
            "report/test_results.py::test_a_really_full",
            "cli/test_benchmark.py::test_full_disk",
        ]
    },
    "Interrupted trainings": {
        RIGHT: ["cli/test_interruption.py::", "training/test_checkpoints.py::test_the_running"]
    },
    "Scan: the benchmark's numbers, other images": {
        RIGHT: [
            "cli/test_scan.py::test_scan_and",
            "cli/test_scan.py::test_the_first",
            "cli/test_scan.py::test_a_",
            "classifiers/test_out_of_distribution.py::",
        ],
        ERROR: ["cli/test_scan.py::test_bad", "cli/test_scan.py::test_scan_of"],
    },
    "The headline of a report": {
        RIGHT: ["report/test_headline.py::", "report/test_stepping.py::"],
        ERROR: ["classifiers/test_primary.py::test_an"],
    },
}


def place(test: str) -> tuple[str, str] | None:
    """The kind and outcome that a test is of: those of the longest beginning of its name."""
    name = test.removeprefix("tests/")
    matches = [
        (len(beginning), kind, outcome)
        for kind, outcomes in KINDS.items()
        for outcome, beginnings in outcomes.items()
        for beginning in beginnings
        if name.startswith(beginning)
    ]
    return max(matches)[1:] if matches else None


@dataclass(eq=False)
class Counted:
    """What passed and failed, as pytest reports it."""

    passed: dict[str, Counter[str]] = field(default_factory=lambda: {k: Counter() for k in KINDS})
    failed: list[str] = field(default_factory=list)

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Only the tests that are of a kind."""
        items[:] = [each for each in items if place(each.nodeid) is not None]

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Count the members of a test: those that it says, or itself."""
        if report.failed:
            self.failed.append(report.nodeid)
        if report.when != "call" or not report.passed:
            return
        found = place(report.nodeid)
        assert found is not None
        kind, outcome = found
        properties = dict(report.user_properties)
        members = {each: int(properties[each]) for each in OUTCOMES if each in properties}
        self.passed[kind].update(members or {outcome: 1})


def table(passed: dict[str, Counter[str]]) -> str:
    """The counts as Markdown."""
    head = ["kind", *OUTCOMES.values(), "traceback, silent, hang or lost", "tests"]
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(OUTCOMES) + 1) + "---|"]
    for kind, counts in passed.items():
        files = sorted(
            {name.partition("::")[0] for names in KINDS[kind].values() for name in names}
        )
        numbers = [f"{counts[outcome]:,}" if counts[outcome] else "" for outcome in OUTCOMES]
        shown = ", ".join(f"`{file}`" for file in files)
        lines.append(f"| {kind} | {' | '.join(numbers)} | 0 | {shown} |")
    total = Counter[str]()
    for counts in passed.values():
        total.update(counts)
    sums = " | ".join(f"**{total[outcome]:,}**" for outcome in OUTCOMES)
    return "\n".join([*lines, f"| **all** | {sums} | **0** | |"])


def kills(content: dict[str, Any]) -> str:
    """The kills as Markdown."""
    lines = [
        "| command | kills | by | moments (s) | results afterwards | left behind |",
        "|---|---:|---|---|---|---|",
    ]
    for name, case in content["cases"].items():
        hit = [each for each in case["kills"] if each["by"].startswith("SIG")]
        by = Counter(each["by"] for each in hit)
        moments = ", ".join(f"{each['after']:.1f}" for each in hit)
        left = case["temporary_files_left"] or [
            "processes" for each in hit if not each["no_process"]
        ]
        lines.append(
            f"| {name} | {len(hit)} | {', '.join(f'{n} {s}' for s, n in sorted(by.items()))} | "
            f"{moments} of {case['undisturbed_seconds']} | "
            f"{'the same' if case['same'] else 'DIFFER'} | {', '.join(left) or 'nothing'} |"
        )
    return "\n".join(lines)


PAGE = """# Reliability

What was tried with bad inputs and faults, by kind. A member counts as *right* where the result is
the known right one, as *clear error* where one line names the option, argument or file, what was
given and what is expected, and as *refused, or done again* where something that belongs to another
run, or is damaged, is not used. Every member is a fast test, or a part of one, that fails otherwise
(slow tests hold more: `pytest -m slow`); paths are below `tests/`. Again:
`python benchmarks/reliability.py --docs docs/reliability.md`.

{table}

Files are changed at random by seed in the fast tests and for {fuzz}; a changed file counts as right
where its reader takes it (a changed pixel is a picture), and as an error where it is refused.

## Killed runs

Each command is killed at random moments, begun again each time, and in the end compared with an
undisturbed run: designs, beliefs, figures and weights bit for bit
(`python benchmarks/kills.py --kills {number} --out benchmarks/results/kills.json`, seed {seed}).
"Left behind" counts temporary files and processes that did not end by themselves.

{kills}

## Known limits

- A CIFAR-10 classifier does not notice images of another kind: `boed scan` warns for digits and
  chest x-rays (docs/report.md has the rates).
- A folder of pictures that are all inverted is noticed by what a trained classifier's checkpoint
  holds of its training data; beside a classifier that was fitted to the same folder it is not.
- The error for a DICOM file that was cut names the file, not the element at which it ends.
- Cuts, NaN and floods of memory are bounded where files are read and options are given; a user's
  own code inside the process is trusted.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=Path, default=Path("runs/reliability.md"))
    options = parser.parse_args(arguments)
    counted = Counted()
    files = sorted(
        {
            f"tests/{name.partition('::')[0]}"
            for outcomes in KINDS.values()
            for names in outcomes.values()
            for name in names
        }
    )
    code = pytest.main(["-q", "--no-header", "-m", "not slow", *files], plugins=[counted])
    if code or counted.failed or not all(counted.passed.values()):
        empty = [kind for kind, counts in counted.passed.items() if not counts]
        sys.exit(f"failed: {counted.failed}; without a member: {empty}")
    killed = json.loads(KILLS.read_text())
    with atomic(options.docs) as temporary:
        temporary.write_text(
            PAGE.format(
                table=table(counted.passed),
                fuzz="four seconds a format in CI, longer by `just fuzz`",
                number=killed["study"]["kills"],
                seed=killed["study"]["seed"],
                kills=kills(killed),
            )
        )


if __name__ == "__main__":
    main()
