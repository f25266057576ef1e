"""Engines: whatever does the jobs, and whatever befalls it, every result is there once."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from boed.benchmark.engines import Engine, Local, Processes, Ray, named
from boed.benchmark.jobs import Job, Jobs
from boed.benchmark.sweep import benchmark
from boed.data.observation import Observation
from boed.policies import BOED, Decision, FirstLook, Random
from boed.policies.names import LEARNED, POLICIES
from boed.sensors import PatchSensor
from boed.setup import setup
from tests.benchmark.engines.jobs import (
    Dying,
    Noted,
    Slow,
    Somewhere,
    lines,
    note,
    once,
    squared,
    threads,
)
from tests.doubles import ClueClassifier, ClueCompleter, Clues

DATA = Clues().dataset(70)
"""Three blocks: 32, 32 and 6 scenes."""

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def blocks_of_32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks that these tests count."""
    monkeypatch.setattr(sys.modules["boed.benchmark.sweep"], "SCENES_PER_JOB", 32)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of one machine with two CPUs, to which others can be added."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(params=["local", "processes", pytest.param("ray", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine, with two workers where it has any."""
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return named(request.param, None if request.param == "local" else 2)


@pytest.fixture(params=["processes", pytest.param("ray", marks=pytest.mark.slow)])
def apart(request: pytest.FixtureRequest) -> Callable[..., Engine]:
    """Each kind of engine that has workers."""
    if request.param == "ray":
        request.getfixturevalue("cluster")
        return Ray
    return Processes


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0]


def script(folder: Path, text: str, **variables: str) -> subprocess.Popen[str]:
    """A program of its own, in a process group of its own."""
    file = folder / "script.py"
    file.write_text(textwrap.dedent(text))
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    return subprocess.Popen(
        [sys.executable, str(file)],
        env={**environment, "PYTHONPATH": str(ROOT), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def group(pgid: int) -> list[str]:
    """Processes that are left of a process group."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "-o", "stat=", "-g", str(pgid)], capture_output=True, text=True
    )
    return [line for line in found.stdout.splitlines() if "Z" not in line]


# --- jobs ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_job_is_done_once(engine: Engine, tmp_path: Path) -> None:
    found = list(engine.run(Noted(tmp_path), range(9)))
    assert sorted(found) == [(job, job * job) for job in range(9)]
    assert sorted(lines(tmp_path / "jobs")) == [str(job) for job in range(9)]
    assert len(lines(tmp_path / "unpacked")) <= 2  # once for each worker
    assert list(engine.run(squared, [])) == []


def test_what_a_job_raises_is_raised(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="job is below 0") as raised:
        list(engine.run(Noted(tmp_path), [1, -2]))
    assert raised.type is ValueError
    assert raised.value.args == ("job is below 0", -2)
    assert lines(tmp_path / "jobs").count("-2") == 1  # it is not tried again


@pytest.mark.slow
def test_a_lost_worker_is_replaced(apart: Callable[..., Engine], tmp_path: Path) -> None:
    found = list(apart(2).run(Dying(3, tmp_path / "died"), range(9)))
    assert (tmp_path / "died").exists()
    assert sorted(found) == [(job, job * job) for job in range(9)]


@pytest.mark.slow
def test_workers_are_not_replaced_for_ever(apart: Callable[..., Engine]) -> None:
    with pytest.raises(ChildProcessError, match=r"worker"):
        list(apart(1, retries=1).run(Dying(1, None), range(3)))


def test_workers_share_out_the_threads() -> None:
    shared = max(torch.get_num_threads() // 2, 1)
    assert [found for _, found in Processes(2).run(threads, [0, 1])] == [shared] * 2


@pytest.mark.slow
def test_closing_ends_the_workers(apart: Callable[..., Engine], tmp_path: Path) -> None:
    with closing(apart(2).run(Slow(tmp_path / "log"), range(4))) as found:
        assert next(found) == (0, 0)
        wait_for(lambda: len(lines(tmp_path / "log")) >= 3)
    pids = set(lines(tmp_path / "log")[1:])
    wait_for(lambda: not any(alive(pid) for pid in pids), 20)


@pytest.mark.slow
def test_workers_end_with_a_killed_head(tmp_path: Path) -> None:
    head = script(
        tmp_path,
        f"""
        from pathlib import Path
        from boed.benchmark.engines import Processes
        from tests.benchmark.engines.jobs import Slow

        if __name__ == "__main__":
            list(Processes(2).run(Slow(Path({str(tmp_path / "log")!r})), [1, 2]))
        """,
        TMPDIR=str(tmp_path),
    )
    wait_for(lambda: len(lines(tmp_path / "log")) == 2)
    head.kill()
    head.communicate()
    wait_for(lambda: not any(alive(pid) for pid in lines(tmp_path / "log")), 20)


@pytest.mark.slow
def test_a_cluster_of_its_own_is_started_and_stopped_quietly(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    done = script(
        tmp_path,
        """
        import ray
        from boed.benchmark.engines import Ray
        from tests.benchmark.engines.jobs import squared

        found = sorted(Ray(2).run(squared, range(4)))
        assert not ray.is_initialized()
        print(found)
        """,
    )
    said, complained = done.communicate(timeout=120)
    assert done.returncode == 0, complained
    assert said == "[(0, 0), (1, 1), (2, 4), (3, 9)]\n"
    assert complained == ""
    wait_for(lambda: not group(done.pid), 20)


@pytest.mark.slow
def test_a_lost_machine_of_the_cluster(cluster: Any, tmp_path: Path) -> None:
    second = cluster.add_node(num_cpus=1)
    log = tmp_path / "log"
    found = []
    for each in Ray(3).run(Somewhere(log), range(16)):
        found.append(each)
        if second is not None and second.node_id in lines(log):
            cluster.remove_node(second, allow_graceful=False)
            second = None
    assert second is None
    assert sorted(found) == [(job, job * job) for job in range(16)]
    assert len(set(lines(log))) == 2


# --- the benchmark ---------------------------------------------------------------------------


class NotedCompleter(ClueCompleter):
    """Notes each time it is asked for what nothing was seen of."""

    def __init__(self, log: Path) -> None:
        super().__init__(Clues())
        self.log = log

    def sample(self, observation: Observation, n: int, seed: int | Sequence[int] = 0) -> Tensor:
        if not observation.seen.any():
            note(self.log, os.getpid())
        return super().sample(observation, n, seed)


@dataclass
class Fatal:
    """Looks at random; the worker in which it is first asked for a second look is killed."""

    flag: Path
    home: int = field(default_factory=os.getpid)  # where parts are tried before the run

    def choose(
        self, observation: Observation, sensor: Any, seed: Any = 0, truth: Tensor | None = None
    ) -> Decision:
        if observation.seen.any() and os.getpid() != self.home and once(self.flag):
            os.kill(os.getpid(), signal.SIGKILL)
        return Random().choose(observation, sensor, seed)


def run(policies: dict[str, Any], **options: Any) -> xr.Dataset:
    return benchmark(
        DATA,
        PatchSensor(16, 0.25, 4),
        ClueClassifier(),
        policies=policies,
        steps=2,
        seeds=(0, 1),
        **options,
    )


def informed(log: Path) -> dict[str, Any]:
    return {
        "boed": BOED(NotedCompleter(log), ClueClassifier(), n=2, first_look=FirstLook(n=6)),
        "random": Random(),
    }


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    xr.testing.assert_identical(*(x.drop_vars("seconds").drop_attrs() for x in (one, other)))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """What this process finds by itself."""
    return run(informed(tmp_path_factory.mktemp("alone") / "log"))


@pytest.mark.slow
def test_results_do_not_depend_on_the_engine(
    engine: Engine, alone: xr.Dataset, tmp_path: Path
) -> None:
    told: dict[str, int] = {"boed": 0, "random": 0}

    def progress(name: str, looks: int) -> None:
        told[name] += looks

    found = run(informed(tmp_path / "log"), engine=engine, on_progress=progress)
    same(found, alone)
    assert told == {"boed": 70 * 2 * 2, "random": 70 * 2 * 2}
    assert found.attrs["engine"] == str(engine)
    assert lines(tmp_path / "log") == [str(os.getpid())]  # the first look is found once, here
    own = ("engine", "seconds", "wall_seconds", "identity")  # each run notes to a file of its own
    assert {k: v for k, v in found.attrs.items() if k not in own} == {
        k: v for k, v in alone.attrs.items() if k not in own
    }


class Stop(Exception):
    pass


@pytest.mark.slow
def test_one_engine_goes_on_where_another_stopped(
    apart: Callable[..., Engine], alone: xr.Dataset, tmp_path: Path
) -> None:
    policies, parts = informed(tmp_path / "log"), tmp_path / "run" / "parts"
    kept: dict[Path, bytes] = {}
    for engine, after in ((Local(), 2), (apart(2), 5), (Local(), 9)):
        told: list[str] = []

        def interrupt(name: str, looks: int, told: list[str] = told, after: int = after) -> None:
            told.append(name)
            if len(told) == after:
                raise Stop

        with pytest.raises(Stop):
            run(policies, out=tmp_path / "run", engine=engine, on_progress=interrupt)
        assert all(file.read_bytes() == content for file, content in kept.items())
        kept = {each: each.read_bytes() for each in parts.iterdir()}
        assert len(kept) == after  # no hidden and no half-written files
    same(run(policies, out=tmp_path / "run", engine=apart(2)), alone)
    assert len(list(parts.iterdir())) == 2 * 2 * 3
    assert all(file.read_bytes() == content for file, content in kept.items())


@pytest.mark.slow
def test_a_worker_lost_in_the_middle_of_a_benchmark(
    apart: Callable[..., Engine], tmp_path: Path
) -> None:
    told: list[int] = []
    found = run(
        {"fatal": Fatal(tmp_path / "died")},
        engine=apart(2),
        out=tmp_path / "run",
        on_progress=lambda _, looks: told.append(looks),
    )
    assert sorted(told) == sorted(2 * [2 * 32, 2 * 32, 2 * 6])
    same(found, run({"fatal": Random()}))


def test_what_cannot_be_sent_is_refused() -> None:
    class Inner(Random):
        pass

    with pytest.raises(ValueError, match=r"cannot be sent to other processes .*Inner"):
        run({"inner": Inner()}, engine=Processes(2))


@pytest.mark.slow
def test_a_whole_setup_can_be_sent() -> None:
    """Also after its models were used, with what they keep from that."""
    left_out = ("fixed", "boed_gaussian", "boed_gaussian_entropy", "bald", *LEARNED)  # slow, large
    names = [name for name in POLICIES if name not in left_out]
    made = setup("digits", sensor="patch,grid=3", completions=2, policies=names)
    rows = np.arange(6)
    work = Jobs(
        dataset=made.data.subset(rows),
        rows=rows,
        sensor=made.sensor,
        classifier=made.classifier,
        policies=made.policies,
        steps=2,
        memory=64,
        device="cpu",
        budget=None,
    ).to_send(names)
    file = io.BytesIO()
    torch.save(work, file)
    assert file.tell() < 60 * 2**20
    file.seek(0)
    sent = torch.load(file, weights_only=False)
    for name in names:
        one, other = (each(Job(name, 0, range(6))) for each in (work, sent))
        assert np.array_equal(one["log_belief"], other["log_belief"]), name
        assert np.array_equal(one["design"], other["design"]), name


# --- the command line ------------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "boed.cli", "benchmark", "--policies", "random", "--grid", "5"]


@pytest.mark.slow
def test_ctrl_c_ends_everything_and_keeps_what_was_finished(tmp_path: Path) -> None:
    options = ["--scenes", "500", "--seeds", "200", "--engine", "processes", "--workers", "2"]
    head = subprocess.Popen(
        [*COMMAND, *options, "--out", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: list(tmp_path.glob("parts/random*.npz")))
    os.killpg(head.pid, signal.SIGINT)  # as a terminal does: to all processes
    _, said = head.communicate(timeout=60)
    assert head.returncode == 130, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    parts = list(tmp_path.glob("parts/*"))
    for part in parts:
        with np.load(part) as file:
            assert file["looks"].shape[0] in (16, 4)
    wait_for(lambda: not group(head.pid), 20)


@pytest.mark.parametrize(
    ("engine", "workers", "message"),
    [
        ("rya", None, "engine is 'rya': did you mean 'ray'\\? Expected one of local, processes"),
        ("processes", 0, "workers is 0, expected at least 1"),
        ("ray", -1, "workers is -1, expected at least 1"),
        ("local", 2, "workers is 2, but the engine local does one job at a time"),
    ],
)
def test_bad_engines_are_refused(engine: str, workers: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        named(engine, workers)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'boed\[distributed\]'"):
        run({"random": Random()}, engine="ray")
