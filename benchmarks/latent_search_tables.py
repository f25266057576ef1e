"""The tables of docs/latent_search.md, from what benchmarks/latent_search.py measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from latent_search_study import MASKS
from matplotlib.figure import Figure
from pages import bracketed, fill

DATA_NAMES = {
    "digits": "digits, 32 px",
    "kermany_pneumonia_128": "chest x-rays, 64 px",
    "cifar10_jpeg_32": "CIFAR-10, 32 px",
}

METHODS = {
    "gan-latent": "latent search",
    "without prior": "... without the prior loss",
    "unweighted": "... with all seen pixels alike",
    "-log D": "... with the prior loss of public code",
    "l2": "... with squared differences",
    "overlay": "... overlaid, not blended",
    "ce": "Context Encoder, trained on this mask",
    "tv": "total variation",
    "low-rank": "low rank",
    "patch-match": "PatchMatch",
    "nearest": "nearest training scene",
    "harmonic": "harmonic fill",
    "mirror": "mirror image",
}
"""Rows of the tables, in order."""


def write_tables(page: Path, results: dict[str, Any], pictures: Path) -> None:
    """Put the tables of one data set into the page."""
    fill(page, results["settings"]["data"], tables(results, pictures))


def tables(results: dict[str, Any], pictures: Path) -> str:
    """Everything measured on a data set, as Markdown."""
    about, data = results["settings"], results["settings"]["data"]
    trained = about["model"]
    parts = [
        f"`python benchmarks/latent_search.py --data {data}`: {about['scenes']} {about['split']} "
        f"scenes, {about['iterations']} iterations, a GAN of {trained['steps']:,} updates "
        f"({trained['cpu_seconds']:,} CPU seconds), {results['machine']['processor']}, "
        f"{results['machine']['threads']} threads. 95 % bootstrap intervals over scenes."
    ]
    measured = {mask: rows for mask, rows in results["masks"].items() if "gan-latent" in rows}
    for mask, rows in measured.items():
        parts.append(by_method(mask, {**rows, "overlay": rows["gan-latent"]["overlay"]}))
    lacking = [mask for mask in MASKS if mask not in measured]
    encoders = [mask for mask in MASKS if "ce" not in results["masks"].get(mask, {})]
    for what, masks in {"Under": lacking, "The Context Encoder under": encoders}.items():
        if masks:
            parts.append(f"{what} {', '.join(masks)}: not measured yet.")
    parts.append(losses(measured))
    for name, text in CAPTIONS.items():
        if (pictures / f"{name}.png").exists() and data == "digits":
            parts.append(f"![{name}]({pictures.name}/{name}.png)\n\n*{text}*")
    parts.append(f"![PSNR against iterations]({pictures.name}/iterations-{data}.png)")
    return "\n\n".join(parts) + "\n"


CAPTIONS = {
    "methods": "A test digit under each mask: what is seen, the truth, and one completion by each "
    "method (Fig. 1 and 4 to 7 of the paper).",
    "search": "G(z) as its search goes on, before anything is blended (Fig. 3); the truth last.",
    "samples": "Scenes of which nothing was seen: the shipped VAE of AIPO, and the GAN (Fig. 2).",
    "errors": "Twice the absolute errors, as in Fig. 12.",
    "failures": "The worst ten of 48: what is seen, G(z), the completion, the truth (Fig. 13).",
}


def by_method(mask: str, rows: dict[str, Any]) -> str:
    """The four figures of each method under one mask."""
    head = ["PSNR, whole, dB", "PSNR, hole, dB", "SSIM, whole", "SSIM, hole", "CPU s"]
    lines = [f"| {mask} | " + " | ".join(head) + " |", "|" + "---|" * (len(head) + 1)]
    for name, label in METHODS.items():
        if name in rows:
            row = rows[name]
            cells = [bracketed(row["psnr"], 1), bracketed(row["psnr_hidden"], 1)]
            cells += [bracketed(row["ssim"], 3), bracketed(row["ssim_hidden"], 3)]
            lines.append(f"| {label} | " + " | ".join([*cells, f"{row['seconds']:.2g}"]) + " |")
    return "\n".join(lines)


def losses(masks: dict[str, Any]) -> str:
    """How the two terms of the loss compare where searches end, and what was clamped."""
    head = "| mask | context loss | prior loss | ratio | blended values clamped |"
    lines = [head, "|---|---|---|---|---|"]
    for mask, rows in masks.items():
        row = rows["gan-latent"]
        ratio = abs(row["prior"]) / max(row["context"], 1e-12)
        lines.append(
            f"| {mask} | {row['context']:.3g} | {row['prior']:.2g} | {ratio:.1e} | "
            f"{row['clamped']:.1%} |"
        )
    return "\n".join(lines)


def iterations_figure(results: dict[str, Any], name: str) -> Figure:
    """PSNR of the hole in the centre against iterations."""
    figure = Figure(figsize=(4.2, 2.6), layout="constrained")
    axis = figure.subplots()
    steps = [int(each) for each in results["iterations"]]
    mean, low, high = zip(*results["iterations"].values(), strict=True)
    axis.fill_between(steps, low, high, alpha=0.2)
    axis.plot(steps, mean, marker="o", markersize=3)
    axis.set(xscale="log", xlabel="iterations", ylabel="PSNR of the hole, dB")
    axis.set_title(f"{name}, centre", fontsize=9)
    return figure
