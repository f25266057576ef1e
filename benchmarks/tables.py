"""Write benchmarks/README.md from the latest results in benchmarks/results.

python benchmarks/tables.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from page_parts import machine, table
from peers_lines import Choices, Comparison
from training_tables import paper_configurations, training_cost, training_speed

from boed.foundation.files import atomic

HERE = Path(__file__).parent
RESULTS = HERE / "results"

HEAD = """# Benchmarks

Everything is measured side by side in one run, in turns; machines are shared, so read the ratios.
`python benchmarks/tables.py` writes this page from `benchmarks/results/*.json`, which the commands
below wrote.
"""

OTHERS = """
## More

| command | what it shows |
|---|---|
| `python benchmarks/page_events.py` | how soon a page hears of a decision ([docs/live.md](../docs/live.md)) |
| `python benchmarks/session_latency.py` | how long a session takes to say where to look next ([docs/live.md](../docs/live.md)) |
| `python benchmarks/session_batches.py` | two pending looks are worth the greedy joint batch, and no look comes twice ([docs/live.md](../docs/live.md)) |
| `python benchmarks/session_kills.py` | sessions ended at random points lose nothing and resume as undisturbed ([docs/reliability.md](../docs/reliability.md)) |
| `python benchmarks/search.py --out docs/search` | how often cheaper searches choose as well, and what they save ([docs/search](../docs/search/README.md)) |
| `python benchmarks/completers.py --data digits` | all completers with equal budgets: trained, evaluated and in use ([docs/completers.md](../docs/completers.md)); with `--long` AIPO's rivals at its own budget |
| `python benchmarks/unsupervised.py --folder FOLDER --train` | tables and claims of Pajot et al. 2019 on digits ([docs/unsupervised.md](../docs/unsupervised.md)) |
| `python benchmarks/observations_alone.py --data digits --folder FOLDER --train` | what it costs a completer never to see a whole scene ([docs/unsupervised.md](../docs/unsupervised.md)) |
| `python benchmarks/aipo_ablations.py` | AIPO's variants on equally many images: pretrained, from the full encoder, learning rates, couplings ([table](results/aipo_ablations.md)) |
| `python benchmarks/pixel_constrained.py --model FILE` | ranks, errors and pictures of Dupont & Suresha 2019 with a trained PC-CNN ([docs/pixel_constrained.md](../docs/pixel_constrained.md)) |
| `python benchmarks/pixel_constrained_alpha.py --folder FOLDER` | what the second term of PC-CNN's loss is for ([docs/pixel_constrained.md](../docs/pixel_constrained.md)) |
| `python benchmarks/cifar_inpainting.py` | the systems of the CIFAR-10 inpainting report, trained and measured beside fillers without training ([docs/cifar_inpainting.md](../docs/cifar_inpainting.md)) |
| `python benchmarks/latent_search.py --data digits` | Table 1 of semantic inpainting: search in a GAN's latent space, its ablations and its baselines ([docs/latent_search.md](../docs/latent_search.md)) |
| `python benchmarks/policy_steps.py` | training steps of DAD against the published loop: their time, and their noise where outcomes are choices ([docs/design_policies.md](../docs/design_policies.md)) |
| `python benchmarks/figures.py` | the pictures of [docs/completers.md](../docs/completers.md) that shipped models draw |
| `python benchmarks/sweep_cost.py --out docs/sweeps.md` | what a sweep costs ([docs/sweeps.md](../docs/sweeps.md)) |
| `python benchmarks/environment.py` | vectorised Gymnasium environments against single ones |
| `python benchmarks/reference_problems.py` | EIG estimators on the ten textbook problems ([docs/estimators](../docs/estimators/reference.md)) |
| `python benchmarks/sensors.py` | policies on other sensors ([docs/sensors](../docs/sensors/README.md)) |
| `python benchmarks/decisions.py --out benchmarks/results/decisions.json` | decisions a second and passes of the classifier by every policy, 64 to 256 px ([docs/sweeps.md](../docs/sweeps.md)) |
| `python benchmarks/value_targets.py --page docs/learned_policies.md` | what a value network is best taught ([docs/learned_policies.md](../docs/learned_policies.md)) |
| `python benchmarks/look_training.py --page docs/learned_policies.md` | what an update costs of each policy that learns where to look ([docs/learned_policies.md](../docs/learned_policies.md)) |
| `python benchmarks/both_schools.py cube cube_nm --page docs/learned_policies.md` | policies that complete scenes and policies that have learned where to look, in one table ([docs/learned_policies.md](../docs/learned_policies.md)) |
| `python benchmarks/headline.py` | the main claim, stated beforehand, on every data set ([docs/headline.md](../docs/headline.md)) |
| `python benchmarks/in_use.py --completers aipo --out FILE` | looking with each completer on the same scenes, with and without weights ([docs/pixel_constrained.md](../docs/pixel_constrained.md#weights-at-work-for-looking)) |
| `python benchmarks/kills.py --kills 30` | runs killed at random points lose nothing that was finished ([docs/reliability.md](../docs/reliability.md)) |
| `python benchmarks/reliability.py --docs docs/reliability.md` | bad inputs and faults by kind, and how many of them are told clearly ([docs/reliability.md](../docs/reliability.md)) |
| `python benchmarks/shared_draws.py` | what shared random numbers are worth where EIGs are compared ([docs/estimators](../docs/estimators/shared_draws.md)) |
| `python benchmarks/design_policies.py` | the literature's sequences of experiments by every policy, beside the published numbers ([docs/deep_adaptive](../docs/deep_adaptive/README.md)) |
"""


def eig_speed(found: dict[str, Any]) -> str:
    rows = [
        [
            f"{row['scenes']}, {row['size']} px",
            row["what"],
            f"{row['seconds']:.2f} [{row['low']:.2f}, {row['high']:.2f}]",
            f"{row['ratio_to_b']:.2f}",
            f"{row['evaluations']:,}",
            f"{row['gflop']:,.0f}",
            f"{row['utilisation']:.0%}",
            f"{row['memory_mib']:.0f}",
        ]
        for row in found["rows"]
    ]
    errors = ", ".join(
        f"{where} px {each['fp32']:.0e} (fp32) and {each['bf16']:.0e} (bf16)"
        for where, each in found["log_belief_error"].items()
    )
    head = ["scenes", "what", "s per map", "ratio to (b)", "beliefs", "GFLOP", "of peak", "MiB"]
    return f"""## One EIG map with DenseNet-121

`python benchmarks/eig_speed.py --classifier 64=A.safetensors 256=B.safetensors --out
benchmarks/results/eig_speed.json`: 17 x 17 candidates, 10 completions, one look taken; medians [fastest, slowest] of at least 5 turns. (a) one image at a
time, timed on 8; (b) images in batches through torchvision's network; (c) every belief by the
engine; (d) searches. (a), (b) and (c) are timed on a part and scaled up. `of peak` is the arithmetic
that was done, over time and over this machine's own matrix product in the same precision and run.
{machine(found)}

{table(head, rows)}

Largest difference of a log-belief from (b): {errors}.

The classifiers of `real`, chest x-rays, trained on two CPU cores and not shipped (28 MB each):
`boed train classifier --data kermany_pneumonia_128 --size 64 --kind densenet121 --steps 1800 --precision bf16
--lr 0.001 --out A.safetensors` (val AUROC 0.995 on whole scenes), then `--size 256 --init A.safetensors
--steps 120 --batch 8 --lr 0.0003 --out B.safetensors` in place of size, steps and rate (0.901 on 64
val scenes: enough to race with, not to be proud of). `torch.compile` is not used: after 53 s of
compiling it was as fast as the engine on whole images (0.41 against 0.39 s for 128 images of 64 px in
fp32, 0.195 against 0.194 s in bf16), and it cannot share work between looks.
"""


def decisions(found: dict[str, Any]) -> str:
    rows = [
        [
            name,
            f"{each['same']:.1%} [{each['same_interval'][0]:.1%}, {each['same_interval'][1]:.1%}]",
            f"{each['good']:.1%} [{each['good_interval'][0]:.1%}, {each['good_interval'][1]:.1%}]",
            f"{each['mean_shortfall_nats']:.5f}",
            f"{each['largest_shortfall_nats']:.4f}",
            f"{each['evaluations']:.0%}",
        ]
        for name, each in found["searches"].items()
    ]
    about = found["settings"]
    errors = "; ".join(
        f"{precision} at most {each['largest']:.1e}, mean {each['mean']:.1e}"
        for precision, each in found["eig_error_nats"].items()
    )
    head = ["search", "same look", "good look", "mean shortfall", "largest", "beliefs"]
    return f"""### {about["network"]}, {about["size"]} px, {about["grid"]} x {about["grid"]} candidates

{found["decisions"]} decisions of {found["scenes"]} scenes ({about["split"]} split); mean best EIG
{found["mean_best_eig_nats"]:.3f} nats. EIG error, nats: {errors}.

{table(head, rows)}
"""


def ensembles(found: dict[str, Any]) -> str:
    rows = [
        [
            row["what"],
            f"{row['seconds']:.2f} [{row['low']:.2f}, {row['high']:.2f}]",
            f"{row['ratio']:.2f}",
            f"{row['beliefs']:,}",
        ]
        for row in found["rows"]
    ]
    return f"""## One EIG map with an ensemble

`python benchmarks/ensembles.py MEMBER MEMBER --members 3 --out benchmarks/results/ensembles.json`: the
small DenseNet at 64 px, 17 x 17 candidates, 10 completions, one look taken; ratios are medians over turns
to one member in the same turn. Members share completions, what each look shows, looks that show the same,
and what they read; racing also drops as many candidates with three as with one. Their networks share
nothing, and little is to be had: stacking the first convolutions of three takes 8 % off those, which are
a fifth of the arithmetic.
{machine(found)}

{table(["what", "s per map", "times one member", "beliefs"], rows)}
"""


def scaling(found: dict[str, Any]) -> str:
    rows = [
        [
            row["what"],
            ", ".join(map(str, row["numbers"])),
            ", ".join(f"{each:.2f}" for each in row["seconds"]),
            f"{row['exponent']:.2f} ± {row['standard_error']:.2f}",
        ]
        for row in found["time"]
    ]
    memory = "; ".join(
        f"{row['scenes']}: {row['peak_mib']:.0f} MiB, of which {row['of_it_returned_mib']:.0f} are "
        "the completions that the decision returns"
        for row in found["memory"]
    )
    return f"""## How time and memory grow

`python benchmarks/scaling.py --out benchmarks/results/scaling.json`: exhaustive BOED on digits.
{machine(found)}

{table(["number of", "values", "seconds, median", "exponent"], rows)}

Peak memory of a decision at 256 px (DenseNet-121, 9 candidates, 10 completions) by scenes: {memory}.
"""


def engines(found: dict[str, Any]) -> str:
    rows = [
        [
            name,
            f"{seconds:.1f} [{min(found['seconds'][name]):.1f}, {max(found['seconds'][name]):.1f}]",
            f"{1 / found['over_local'][name]:.2f}",
            str(found["from_local"][name]["other_designs"]),
            f"{found['from_local'][name]['belief']:.0e}",
        ]
        for name, seconds in found["median"].items()
    ]
    about = found["study"]
    head = ["engine", "seconds", "speed-up", "looks that differ", "beliefs differ by"]
    return f"""## Engines

`python benchmarks/engines.py --out benchmarks/results/engines.json`: {about["data"]}, {about["scenes"]}
scenes, {about["grid"]} x {about["grid"]} candidates, N = {about["completions"]}, policies
{about["policies"]}, racing; starting the workers is counted. {machine(found)}

{table(head, rows)}
"""


def peers(found: dict[str, Any]) -> str:
    rows = [
        [
            str(row["size"]),
            f"{row['pyro']['seconds']:.4f}",
            f"{row['ours']['seconds']:.4f}",
            f"{row['ratio']:.1f}",
            f"{row['pyro']['rmse']:.4f} ± {row['pyro']['rmse_error']:.4f}",
            f"{row['ours']['rmse']:.4f} ± {row['ours']['rmse_error']:.4f}",
            f"{row['ratio_at_equal_error']:.1f}",
        ]
        for row in found["nested"]
    ]
    head = ["N = M", "Pyro, s", "ours, s", "ratio", "Pyro RMSE", "our RMSE", "at equal error"]
    return f"""## Beside peers

`python benchmarks/peers.py --zea-python PATH --out benchmarks/results/peers.json`. Nested Monte
Carlo on location finding, {found["arguments"]["designs"]} designs, {found["arguments"]["repeats"]}
alternating repeats, processor seconds; RMSE to the exact EIG in nats.

{table(head, rows)}

{lines(found["lines"])}
"""


def lines(found: dict[str, Any]) -> str:
    """The choice of lines, as the benchmark prints it."""
    made = Comparison([Choices(**row) for row in found["rows"]], [])
    notes = "".join(f"\n- {note}" for note in found["notes"])
    head, *rest = str(made).rstrip().split("\n")
    return "\n".join([head + ":", "", *rest, notes])


DECISIONS = """## What the engine, bf16 and searches do to decisions

`python benchmarks/eig_decisions.py`, with `--classifier FILE --grid 5` for DenseNet-121: chest
x-rays, looks 2 and 3 of exhaustive BOED, completions by retrieval; compared with the network as
torch runs it in fp32, nothing shared. Same: the plain EIG of the look is within 0.001 nats of the best; good: it has 99 % of it, or is the same. 95 % Clopper-Pearson
intervals, scenes counted once.
"""


def startup(found: dict[str, Any]) -> str:
    rows = [
        [row["what"], f"{row['median']:.3f}", "" if row["limit"] is None else str(row["limit"])]
        for row in found["seconds"]
    ]
    return f"""## Starting up

`python benchmarks/startup.py --out benchmarks/results/startup.json`: medians over fresh processes;
load at the start {found["machine"]["load"]:.1f}.

{table(["what", "seconds", "limit"], rows)}
"""


def completer_speed(found: dict[str, Any]) -> str:
    sizes = sorted({row["size"] for row in found["rows"]})
    by = {(row["completer"], row["size"]): row for row in found["rows"]}
    names = list(dict.fromkeys(row["completer"] for row in found["rows"]))

    def cell(name: str, size: int) -> str:
        row = by.get((name, size))
        if row is None:
            return ""
        return (
            f"{row['scenes_per_second']:.2f} ({row['ratio_to_aipo']:.2f} x), "
            f"{row['memory_mib']:.0f} MiB"
        )

    rows = [[name, *(cell(name, size) for size in sizes)] for name in names]
    return f"""## Completers

`python benchmarks/completer_speed.py --out benchmarks/results/completer_speed.json`: scenes per
second with N = {found["completions"]} completions of each of {found["scenes"]} scenes, one thread, presets
with random weights; in brackets the ratio to AIPO in the same run; memory above that of the models.
{machine(found)}

{table(["completer", *(f"{size} px" for size in sizes)], rows)}
"""


def autoregressive(found: dict[str, Any]) -> str:
    rows = [
        [
            row["completer"],
            f"{row['size']} px, {'grey' if row['channels'] == 1 else 'RGB'}",
            str(row["levels"]),
            str(row["n"]),
            f"{row['incremental_seconds']:.2f}",
            f"{row['naive_seconds']:.0f} ({row['naive_pixels']})",
            f"{row['ratio']:.0f}",
            "yes" if row["equal"] else "no",
        ]
        for row in found["rows"]
    ]
    head = ["completer", "scenes", "levels", "n", "incremental, s", "naive, s", "ratio", "equal"]
    return f"""## Drawing one pixel after another

`python benchmarks/autoregressive.py --out benchmarks/results/autoregressive.json`: CPU seconds for n
scenes of which nothing is seen, one thread, presets with random weights, medians of
{found["repeats"]} turns. The naive sampler, a whole pass for each channel of each pixel, is measured on
so many pixels as stand in brackets, evenly spread, and scaled to all; on these both draw the same
levels. {machine(found)}

{table(head, rows)}
"""


SECTIONS = [
    ("eig_speed", eig_speed),
    ("ensembles", ensembles),
    ("scaling", scaling),
    ("engines", engines),
    ("peers", peers),
    ("completer_speed", completer_speed),
    ("autoregressive", autoregressive),
    ("training_speed", training_speed),
    ("training_cost", training_cost),
    ("paper_configurations", paper_configurations),
    ("startup", startup),
]


def page() -> str:
    """All tables of which there are results, and the commands of the others."""
    parts = [HEAD]
    for name, section in SECTIONS:
        file = RESULTS / f"{name}.json"
        if file.exists():
            parts.append(section(json.loads(file.read_text())))
        if name == "eig_speed":
            made = [json.loads(file.read_text()) for file in sorted(RESULTS.glob("eig_dec*.json"))]
            parts += [DECISIONS, *map(decisions, made)] if made else []
    return "\n".join([*parts, OTHERS.lstrip()])


def main() -> None:
    with atomic(HERE / "README.md") as temporary:
        temporary.write_text(page())


if __name__ == "__main__":
    main()
