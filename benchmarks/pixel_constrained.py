"""What Dupont & Suresha 2019 show of completers with a likelihood, with a trained model.

    python benchmarks/pixel_constrained.py --model pc-cnn-28.safetensors --data mnist_28 --size 28

Ranks of the truth among its completions, nats of a scene with nothing seen, and the pictures:
completions by likelihood (Fig. 10), probabilities as pixels are drawn (Fig. 11), editing (Fig. 8),
completions of two squares, five masks by several completers (Fig. 9), failures (Fig. 12). `--only`
takes some. `--only errors` measures l1, l2 and PSNR of eight completions under blobs (Sec. 5.3),
also of the completers that `--also` names, and fills the page's table; completers that are
measured stay. Scenes are of the test split; pictures are of digits or of the model's own samples.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from inpainting import Measured, of_several, resampled
from measuring import machine
from pages import bracketed, check_place, fill
from pixel_constrained_figures import FIGURES
from pixel_constrained_study import BATCH, COMPLETIONS, Study
from torch import Tensor

from boed.benchmark.sweep import scene_rows
from boed.completion import Completer
from boed.completion.autoregressive.base import Autoregressive
from boed.completion.log_probability import log_prob
from boed.completion.neural_process.process import NeuralProcess
from boed.completion.ranking import log_probs, rank_of_truth
from boed.completion.registry import load_completer
from boed.data.load import load
from boed.data.observation import Observation
from boed.foundation.files import atomic, write_json
from boed.foundation.randomness import derive
from boed.foundation.registry import check_known

RANKED = ("blobs", "top", "left", "squares")
"""Masks of the ranks: those of training, halves, and those of looks."""


def nats(model: Autoregressive, scenes: Tensor, seen: Observation) -> Tensor:
    """-log p of what is hidden of each scene, `[B]`."""
    parts = [slice(start, start + BATCH) for start in range(0, len(scenes), BATCH)]
    return torch.cat([-log_prob(model, scenes[each], seen[each]) for each in parts])


def ranks(study: Study) -> dict[str, Any]:
    """Ranks of the truth among nine by mask, and nats of the hidden pixels and of whole scenes."""
    scenes = study.some(study.scenes)
    found: dict[str, Any] = {}
    for masks in RANKED:
        seen = study.observed(scenes, masks)
        truth, drawn = [], []
        for start in range(0, len(scenes), BATCH):
            part = slice(start, start + BATCH)
            seeds = [derive(study.seed, "rank", row) for row in range(*part.indices(len(scenes)))]
            samples = study.model.sample(seen[part], COMPLETIONS, seeds)
            both = torch.cat([scenes[None, part], samples])
            log_p = log_probs(study.model, both, seen[part])
            truth.append(log_p[0])
            drawn.append(log_p[1:])
        truths, others = torch.cat(truth), torch.cat(drawn, dim=1)
        rank = rank_of_truth(truths, others)
        hidden = (seen.mask == 0).sum((1, 2, 3))
        found[masks] = {
            "rank": resampled(rank.double().numpy()),
            "first": float((rank == 1).double().mean()),
            "nats_of_truth": resampled(-truths.double().numpy()),
            "nats_of_completions": resampled(-others.mean(0).double().numpy()),
            "hidden_pixels": float(hidden.double().mean()),
        }
        print(masks, json.dumps(found[masks]), flush=True)
    of_whole = nats(study.model, scenes, Observation.nothing_of(scenes))
    found["nothing"] = {"nats_of_truth": resampled(of_whole.double().numpy())}
    print("nothing", json.dumps(found["nothing"]), flush=True)
    return found


TEMPERATURES = (0.8, 1.0, 1.25, 1.5)
"""Of the samples; the likelihood is always the model's own."""


@torch.no_grad()
def explained(study: Study, number: int = 200) -> dict[str, Any]:
    """What moves the rank of the truth under blobs: how samples are drawn, and a fault of code.

    The public reference code scores the rows of a batch by the pixel values of its first one. With
    the truth there, all completions are asked for the probability of the truth's pixels.
    """
    scenes = study.some(number)
    seen = study.observed(scenes, "blobs")
    found: dict[str, Any] = {"scenes": number}
    for temperature in TEMPERATURES:
        config = replace(study.model.config, temperature=temperature)
        warmer = type(study.model)(config).eval()
        warmer.load_state_dict(study.model.state_dict())
        right, faulty = [], []
        for start in range(0, number, BATCH):
            part = slice(start, start + BATCH)
            seeds = [derive(study.seed, "rank", row) for row in range(*part.indices(number))]
            samples = warmer.sample(seen[part], COMPLETIONS, seeds)
            both = torch.cat([scenes[None, part], samples])
            nats = log_probs(study.model, both, seen[part])
            right.append(rank_of_truth(nats[0], nats[1:]))
            if temperature == 1:
                faulty.append(scored_by_the_first(study, both, seen[part]))
        name = f"temperature {temperature:g}"
        found[name] = resampled(torch.cat(right).double().numpy())
        print(name, found[name], flush=True)
        if faulty:
            found["reference code"] = resampled(torch.cat(faulty).double().numpy())
            print("reference code", found["reference code"], flush=True)
    return found


def scored_by_the_first(study: Study, both: Tensor, seen: Observation) -> Tensor:
    """Ranks of the truth if every row is asked for the pixels of the first, the truth."""
    model, hidden = study.model, (seen.mask == 0).double()
    condition = model.condition(seen)
    nats = []
    for image in both:
        each = model.cross_entropy(model.logits(model.quantised(image), condition), both[0])
        nats.append(-(each * hidden).flatten(1).sum(1))
    return rank_of_truth(nats[0], torch.stack(nats[1:]))


PAPER = {
    "GAN": ((31.4, None), (40.6, None), (14.5, None)),
    "Neural Process": ((19.9, None), (28.2, None), (17.4, None)),
    "PC-CNN": ((19.8, 15.5), (29.0, 22.4), (17.4, 19.5)),
}
"""Mean and best of 8 in l1 (%), l2 (%) and PSNR (dB): Sec. 5.3 of the paper, CelebA."""


def errors(study: Study, out: Path, page: Path) -> None:
    """Mean and best of 8 under blobs by completer (Sec. 5.3), on the page beside the paper's.

    Truths are the scenes as they are, not their levels.
    """
    settings: dict[str, Any] = {
        "scenes": study.scenes,
        "seed": study.seed,
        "completions": COMPLETIONS,
    }
    settings |= {"data": f"{study.test.name} ({study.test.split})", "size": study.test.size}
    measured = Measured(out, settings)
    rows = torch.from_numpy(scene_rows(len(study.test), study.scenes))
    truth = study.test.scenes(rows)
    seen = study.observed(truth, "blobs")

    def of(completer: Completer) -> dict[str, Any]:
        began = time.process_time()
        parts = []
        for start in range(0, len(truth), BATCH):
            part = slice(start, start + BATCH)
            seeds = [derive(study.seed, "errors", row) for row in range(len(truth))[part]]
            parts.append(completer.sample(seen[part], COMPLETIONS, seeds))
        seconds = (time.process_time() - began) / len(truth)
        about = getattr(completer, "provenance", {})
        trained = {key: about.get(key) for key in ("steps", "cpu_seconds", "masks")}
        trained["data"] = (about.get("data") or {}).get("name")
        found = {**of_several(torch.cat(parts, dim=1), truth), "seconds": seconds, "model": trained}
        if isinstance(completer, Autoregressive):
            of_levels = nats(completer, truth, seen).double().numpy()
            found["nats"] = {"levels": completer.levels, "of_truth": resampled(of_levels)}
        return found

    for name, completer in study.completers.items():
        measured.part(["completers", name], partial(of, completer))
    fill(page, "errors", errors_table(json.loads(out.read_text())))


def errors_table(results: Mapping[str, Any]) -> str:
    """The errors as Markdown."""
    about, keys = results["settings"], ("l1", "l2", "psnr")
    head = ["l1, %", "best", "l2, %", "best", "PSNR, dB", "best"]
    lines = [
        f"{about['scenes']} scenes of `{about['data']}`, {about['size']} px, "
        f"{about['completions']} completions each; {results['machine']['processor']}.",
        "",
        "| | " + " | ".join([*head, "-log p, nats", "CPU s a scene", "learned from"]) + " |",
        "|" + "---|" * (len(head) + 4),
    ]
    for name, row in results["completers"].items():
        cells = [bracketed(row[f"{key}{end}"], 1) for key in keys for end in ("", "_best")]
        learned = learned_from(row["model"], masked=name != "gan-latent")
        cells += [bracketed(row["nats"]["of_truth"], 1) if "nats" in row else ""]
        lines.append(f"| {name} | " + " | ".join([*cells, f"{row['seconds']:.2g}", learned]) + " |")
    for name, numbers in PAPER.items():
        cells = ["" if each is None else f"{each}" for pair in numbers for each in pair]
        lines.append(f"| *their {name}, CelebA* | " + " | ".join([*cells, "", "", ""]) + " |")
    return "\n".join(lines)


def learned_from(model: Mapping[str, Any], *, masked: bool) -> str:
    """The data, masks and time of a training, in words; a GAN's has no masks."""
    masks = model["masks"] if masked else "whole scenes"
    return f"`{model['data']}`, {masks}, {model['cpu_seconds'] / 60:.0f} CPU min"


def without_noise(process: NeuralProcess) -> NeuralProcess:
    """The same, whose samples are the decoder's means, as those of the papers' code are."""
    quiet = type(process)(replace(process.config, noise=False)).eval()
    quiet.load_state_dict(process.state_dict())
    quiet.provenance = process.provenance
    return quiet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument(
        "--also", nargs="*", default=[], help="NAME=PATH of others, for five-masks and errors"
    )
    parser.add_argument("--data", default="mnist_28")
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(("ranks", *FIGURES)))
    parser.add_argument("--out", type=Path, default=Path("docs/pixel_constrained"))
    parser.add_argument("--page", type=Path, default=Path("docs/pixel_constrained.md"))
    options = parser.parse_args()
    wanted = options.only.split(",")
    for name in wanted:
        check_known("only", name, ("ranks", "errors", *FIGURES))
    if "errors" in wanted:
        check_place(options.page, "errors")
    model = load_completer(options.model)
    if not isinstance(model, Autoregressive):
        parser.error(f"--model is a {type(model).__name__}, expected one that draws pixel by pixel")
    given = (each.partition("=") for each in options.also)
    others: dict[str, Completer] = {}
    for name, _, path in given:
        others[name] = other = load_completer(path)
        if isinstance(other, NeuralProcess):
            others[f"{name}, means"] = without_noise(other)
    test = load(options.data, options.size, "test")
    study = Study(model.eval(), test, options.scenes, options.seed, others)
    options.out.mkdir(parents=True, exist_ok=True)
    if "ranks" in wanted:
        found = {
            "machine": machine(),
            "data": f"{test.name} ({test.split})",
            "scenes": options.scenes,
            "seed": options.seed,
            "levels": model.levels,
            "completions": COMPLETIONS,
            "chance": (COMPLETIONS + 2) / 2,
            "model": {k: model.provenance.get(k) for k in ("kind", "steps", "cpu_seconds", "data")},
            "masks": ranks(study),
            "explained": explained(study),
        }
        write_json(options.out / "ranks.json", found)
    if "errors" in wanted:
        errors(study, options.out / "errors.json", options.page)
    for name in wanted:
        if name in FIGURES:
            with atomic(options.out / f"{name}.png") as temporary:
                FIGURES[name](study).savefig(temporary, dpi=100)


if __name__ == "__main__":
    main()
