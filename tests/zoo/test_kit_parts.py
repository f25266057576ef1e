"""What the training kit carries from one machine to another."""

from __future__ import annotations

from pathlib import Path

import pytest

from boed.training.checkpoints import running_state
from boed.zoo.kit import join_parts, pack, parts, plan, write_parts


def test_parts_are_small_and_put_together_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    members = plan(["densenet-digits-32"], Path("out"))
    with pytest.raises(ValueError, match="nothing in out was trained yet"):
        write_parts(members, "out", "parts")
    members[0].out.parent.mkdir(parents=True)
    members[0].out.write_bytes(bytes(range(256)) * 5)
    members[0].recipe.write_text("a = 1\n")
    running_state(members[0].out).write_bytes(bytes(3000))
    monkeypatch.setattr(parts, "PART", 400)
    written = write_parts(members, "out", "parts")
    assert len(written) <= 8
    assert all(path.stat().st_size <= 400 for path in written)
    joined = join_parts("parts", "joined")
    assert [path.name for path in joined] == ["weights.safetensors", "recipe.toml"]  # no room
    for path in joined:
        assert path.read_bytes() == (Path("out") / path.relative_to("joined")).read_bytes()
    joined[1].write_text("b = 1\n")
    with pytest.raises(ValueError, match=r"recipe\.toml is another one than in the parts"):
        join_parts("parts", "joined")
    written[1].write_bytes(b"")
    with pytest.raises(ValueError, match="damaged or not all there"):
        join_parts("parts", "again")
    written[1].unlink()
    with pytest.raises(ValueError, match=r"expected trained\.zip\.1 and all that follow"):
        join_parts("parts", "again")
    monkeypatch.setattr(parts, "PART", 100)
    with pytest.raises(ValueError, match="expected at most 0 MiB; ask for fewer"):
        write_parts(members, "out", "parts")


def test_models_of_two_data_sets_are_not_packed_together() -> None:
    with pytest.raises(ValueError, match="expected models of one data set"):
        pack("packed", ["flow-kermany-64", "flow-cifar10-32"])
