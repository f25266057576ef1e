"""The sections of the table of completers: which metrics each has, and what it says of them."""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from boed.completion.evaluation.results import (
    REALISM,
    by_condition,
    mean_known,
    meanings,
    over_squares,
    sbc_rejected,
)
from boed.report.completers.cells import Better, Column, fixed

Given = tuple[str, str, list[Column], str]


def _scene(
    results: xr.Dataset, label: str, better: Better, name: str, decimals: int | None = None
) -> Iterator[Column]:
    """A metric averaged over scenes and squares, if it was measured."""
    if name in results:
        shown = None if decimals is None else fixed(decimals)
        yield Column(
            label=label,
            better=better,
            values=over_squares(by_condition(results, name)),
            shown=shown,
        )


def realism(results: xr.Dataset) -> Given:
    def column(label: str, better: Better, name: str, group: str = "all") -> Column:
        floor = float(results[f"{name}_floor"].sel(group=group))
        return Column(
            label=label, better=better, values=results[name].sel(group=group), reference=floor
        )

    columns = [column("Fréchet (all)", "lower", "frechet")]
    if "holes" in results["group"].values:
        columns.append(column("Fréchet (holes)", "lower", "frechet", "holes"))
    columns.append(column("kernel distance", "lower", "kernel"))
    columns += [column(name, "higher", name) for name in REALISM[2:]]
    note = (
        "Are completed images like real ones? One completion per scene, all numbers of squares "
        "together (FID-agg of the paper) unless it says holes. All depend on the number of images "
        f"and on what describes them: {results.attrs.get('extractor', 'an unnamed extractor')}. "
        "Completions keep what was seen of the very images they are compared with, so they can be "
        "nearer than other real images are. Precision and density also reward images that are all "
        "alike: read them with recall and coverage."
    )
    return "Realism", note, columns, "real against real"


def fidelity(results: xr.Dataset) -> Given:
    n = int(results.attrs["n"])
    columns = [
        *_scene(results, "observed error", "lower", "observed_error"),
        *_scene(results, "PSNR (dB)", "higher", "psnr", 2),
        *_scene(results, f"PSNR, best of {n}", "higher", "psnr_best", 2),
        *_scene(results, "SSIM", "higher", "ssim"),
        *_scene(results, f"SSIM, best of {n}", "higher", "ssim_best"),
        *_scene(results, "L1", "lower", "l1"),
        *_scene(results, f"L1, best of {n}", "lower", "l1_best"),
        *_scene(results, "LPIPS", "lower", "lpips"),
        *_scene(results, f"LPIPS, best of {n}", "lower", "lpips_best"),
    ]
    note = (
        "Do completions agree with the true scene? The observed error is on the seen pixels, "
        "before they are put back in. A blurred mean does well here. PSNR is that of the mean "
        "squared error of each number of squares, since single scenes can be exact."
    )
    return "Fidelity", note, columns, ""


def diversity(results: xr.Dataset) -> Given:
    n, of = (int(results.attrs.get(f"diversity_{key}", 0)) for key in ("completions", "scenes"))
    many = f"{of} x {n * (n - 1) // 2:,} pairs"
    columns = [
        *_scene(results, "inception score", "higher", "inception_score"),
        *_scene(results, "feature distance", "higher", "feature_distance"),
        *_scene(results, "pixel std", "higher", "pixel_std"),
        *_scene(results, "LPIPS", "higher", "lpips_between"),
        *_scene(results, f"feature distance, {many}", "higher", "pair_distance"),
        *_scene(results, f"LPIPS, {many}", "higher", "pair_lpips"),
    ]
    note = (
        "Do the completions of one observation differ? More is better only of realistic and "
        "calibrated ones: noise is diverse."
    )
    if judge := results.attrs.get("judge"):
        note += f" The inception score is by {judge}."
    return "Diversity", note, columns, ""


def calibration(results: xr.Dataset) -> Given:
    implied = results["implied_level"]
    coverage = by_condition(results, "interval_coverage")
    off = abs(coverage - implied).mean("level", skipna=False)
    columns = [
        Column(
            label=f"intervals, {float(level):g}",
            better="target",
            values=over_squares(coverage.sel(level=level)),
            reference=float(implied.sel(level=level)),
            shown=fixed(3),
        )
        for level in results["level"].values
    ]
    spread = mean_known(results["sbc_spread"], "statistic")
    columns += [
        Column(
            label="intervals, error",
            better="lower",
            values=over_squares(off),
            reference=0.0,
            shown=fixed(3),
        ),
        Column(
            label="SBC rejected",
            better="lower",
            values=sbc_rejected(results),
            reference=0.0,
            shown=fixed(2),
        ),
        Column(
            label="SBC spread z",
            better="target",
            values=over_squares(spread),
            reference=0.0,
            shown=fixed(1),
        ),
        Column(
            label="TARP bias",
            better="target",
            values=over_squares(results["tarp_bias"]),
            reference=0.0,
            shown=fixed(3),
        ),
    ]
    note = (
        "Do completions spread as the truth does? Hidden pixels inside central intervals, with "
        "the nearest levels that n completions can have in the last row, and how far that is off, "
        "mean over levels and squares; simulation-based calibration, the share of tests that "
        "reject after Holm at 5 % and the mean z of spread (positive: too narrow); the mean error "
        "of TARP's coverage (negative: too narrow). A sampler that ignores what was seen passes: "
        "read with the scores."
    )
    return "Calibration", note, columns, "calibrated"


def posterior(results: xr.Dataset) -> Given:
    columns = [
        *_scene(results, "CRPS", "lower", "crps"),
        *_scene(results, "energy score", "lower", "energy"),
        *_scene(results, "label NLL (nats)", "lower", "label_nll"),
        *_scene(results, "label accuracy", "higher", "label_correct"),
        *_scene(results, "label ECE", "lower", "label_ece", 3),
        *_scene(results, "ECE if right", "none", "label_ece_floor", 3),
        *_bits(results),
    ]
    note = (
        "Scores that only the true posterior minimises, and the label posterior that the "
        "completions imply. With few scenes the ECE is above 0 for anyone: beside it is what "
        "would be expected of these confidences if they were right. Bits are by the "
        "log-probability of the image, over the numbers of the whole scene; those of other levels, "
        "or of other pixels, do not compare."
    )
    known = [f"{name} ({said})" for name, said in meanings(results).items()]
    if known:
        note += f" Log-probabilities: {', '.join(known)}."
    return "Scores of the posterior", note, columns, ""


def _bits(results: xr.Dataset) -> Iterator[Column]:
    """Bits per dimension, a column for each kind of log-probability: others do not compare."""
    if "bits_per_dim" not in results:
        return
    values = over_squares(by_condition(results, "bits_per_dim"))
    kinds: dict[str, list[str]] = {}
    for name, said in meanings(results).items():
        kinds.setdefault(f", {said.levels} levels, {said.counts} pixels", []).append(name)
    kinds = kinds or {"": list(map(str, results["completer"].values))}
    for kind, names in kinds.items():
        of_kind = values.where(values["completer"].isin(names))
        yield Column(label=f"bits/dim{kind}", better="lower", values=of_kind)


def last_look(results: xr.Dataset) -> int:
    """After how many looks the downstream metrics are told: 3, or all where 3 are not there."""
    looks = [int(look) for look in results["look"].values]
    return 3 if 3 in looks else max(looks)


def use(results: xr.Dataset) -> Given:
    columns = []
    labels: list[tuple[str, str, Better]] = [
        ("use_accuracy", "accuracy", "higher"),
        ("use_auroc", "AUROC", "higher"),
        ("use_nll", "NLL (nats)", "lower"),
    ]
    for name, label, better in labels:
        if name in results:
            look = last_look(results)
            told = f"{label} after {look} look{'' if look == 1 else 's'}"
            columns.append(Column(label=told, better=better, values=results[name].sel(look=look)))
    note = "Do decisions get better? The same classifier and scenes for every completer."
    return "Use", note, columns, ""


def cost(results: xr.Dataset) -> Given:
    seconds = results["seconds"].where(results["seconds"] > 0)
    facts = [
        ("training CPU seconds", "training_cpu_seconds"),
        ("training steps", "training_steps"),
        ("parameters", "parameters"),
    ]
    columns = [
        Column(label="completions/s", better="higher", values=results["completions"] / seconds),
        *(
            Column(label=said, better="none", values=results[n], shown=fixed(0))
            for said, n in facts
            if n in results
        ),
    ]
    return "Cost", "Of drawing on this machine, and of training.", columns, ""


CONTENTS = (realism, fidelity, diversity, calibration, posterior, use, cost)
"""All sections, in order."""
