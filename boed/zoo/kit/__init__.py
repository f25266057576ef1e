"""The training kit: every shipped model trained again, judged, and put in its place if better."""

from boed.zoo.kit.installing import install
from boed.zoo.kit.judging import Verdict, judge, merit, val_figures
from boed.zoo.kit.packing import Pack, pack
from boed.zoo.kit.parts import join_parts, write_parts
from boed.zoo.kit.plan import Member, plan, trainable
from boed.zoo.kit.running import train_all
from boed.zoo.kit.timing import Speed, next_slice, steps_within

__all__ = [
    "Member",
    "Pack",
    "Speed",
    "Verdict",
    "install",
    "join_parts",
    "judge",
    "merit",
    "next_slice",
    "pack",
    "plan",
    "steps_within",
    "train_all",
    "trainable",
    "val_figures",
    "write_parts",
]
