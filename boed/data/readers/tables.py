"""Tables as data sets: scikit-learn's bundled ones and drawn ones; nothing is downloaded.

A row of F features is a scene `[1, 1, F]`, scaled to [0, 1]: bundled ones by the range of
the train rows, drawn ones by their law.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from boed.data.dataset import Dataset
from boed.data.labels import check_split
from boed.data.readers.cubes import CUBES, LAWS, cube
from boed.foundation.registry import check_known

FOLDS = 5

BUNDLED = {
    "breast_cancer": "569 breast masses, 30 features of cell nuclei, malignant or benign",
    "wine": "178 wines, 13 chemical features, 3 cultivars",
    "iris": "150 flowers, 4 measures, 3 species",
    "optical_digits": "1,797 handwritten digits, 64 counts of ink",
}
"""Those of scikit-learn."""

TABLES = {**BUNDLED, **CUBES}
"""What can be read by name."""

_LOADERS = {"optical_digits": "load_digits"}


def table(name: str, split: str = "test", fold: int = 0) -> Dataset:
    """Rows of one split as scenes: float32 `[N, 1, 1, F]` in [0, 1].

    Bundled rows are dealt into five stratified parts. Of fold k, part k is test, the next one val
    and the other three train; over the five folds each row is tested once. Values outside the range
    of the train rows are clipped. `patients` holds the row's number in scikit-learn's table.
    Of a table that is drawn from a law, each fold is another draw.

    Args:
        name: one of `TABLES`.
        split: `train`, `val` or `test`.
        fold: 0 to 4.

    Raises:
        ValueError: another name, split or fold.
    """
    from sklearn.model_selection import StratifiedKFold

    check_split(split)
    check_known("table", name, TABLES)
    if not 0 <= fold < FOLDS:
        raise ValueError(f"fold is {fold}, expected 0 to {FOLDS - 1}")
    if name in CUBES:
        return cube(name, split, fold)
    values, labels, _, label_names = _read(name)
    dealt = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(values, labels)
    parts = [rows for _, rows in dealt]
    test, val, *train = [np.sort(part) for part in parts[fold:] + parts[:fold]]
    rows = {"test": test, "val": val, "train": np.sort(np.concatenate(train))}
    low, high = values[rows["train"]].min(0), values[rows["train"]].max(0)
    scaled = (values[rows[split]] - low) / np.where(high > low, high - low, 1)
    images = torch.from_numpy(scaled.clip(0, 1).astype(np.float32))[:, None, None]
    return Dataset(
        name=name,
        split=split,
        images=images,
        labels=torch.from_numpy(labels[rows[split]]),
        label_names=label_names,
        patients=rows[split].astype(str),
    )


def feature_names(name: str) -> tuple[str, ...]:
    """Names of a table's F features, in the order of a scene's columns.

    Raises:
        ValueError: an unknown table.
    """
    check_known("table", name, TABLES)
    return LAWS[name].names if name in LAWS else _read(name)[2]


@lru_cache(maxsize=1)
def _read(name: str) -> tuple[NDArray[np.float64], NDArray[np.int64], tuple[str, ...], tuple]:
    """Values `[N, F]`, labels `[N]`, names of the features and of the classes."""
    from sklearn import datasets

    bunch = getattr(datasets, _LOADERS.get(name, f"load_{name}"))()
    features = tuple(map(str, bunch.feature_names))
    classes = tuple(str(each).replace("_", " ") for each in bunch.target_names)
    return bunch.data.astype(np.float64), bunch.target.astype(np.int64), features, classes


def refuse_table(data: str | Path, what: str, *, argument: str = "data") -> None:
    """Refuse a table where images are needed.

    Args:
        data: name of a data set.
        what: needs images.
        argument: what the name was given as.

    Raises:
        ValueError: it is a table.
    """
    if str(data) in TABLES:
        raise ValueError(
            f"{argument} is {str(data)!r}, a table; {what} is for images, such as digits"
        )
