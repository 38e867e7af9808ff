"""How many threads an engine may use here, and on which processor it was built."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures import host


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty tree of control groups, on a host that shows 64 processors."""
    monkeypatch.setattr(host, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(host, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    (tmp_path / "cgroup").mkdir()
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_a_quota_every_processor_it_may_run_on_counts(groups: Path) -> None:
    assert host.threads() == 64
    write(groups / "own", "0::/\n")
    write(groups / "cgroup" / "cpu.max", "max 100000\n")
    assert host.threads() == 64


@pytest.mark.parametrize(("quota", "threads"), [("200000 100000", 2), ("250000 100000", 3), ("10000 100000", 1)])
def test_a_container_counts_what_its_quota_leaves_it(groups: Path, quota: str, threads: int) -> None:
    write(groups / "own", "0::/\n")
    write(groups / "cgroup" / "cpu.max", quota)
    assert host.threads() == threads


def test_the_tightest_of_the_groups_around_it_counts(groups: Path) -> None:
    write(groups / "own", "0::/user/job\n")
    write(groups / "cgroup" / "user" / "cpu.max", "400000 100000")
    write(groups / "cgroup" / "user" / "job" / "cpu.max", "800000 100000")
    assert host.threads() == 4


def test_the_first_version_of_control_groups_counts_as_well(groups: Path) -> None:
    write(groups / "own", "5:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/\n0::/\n")
    write(groups / "cgroup" / "cpu" / "job" / "cpu.cfs_quota_us", "150000")
    write(groups / "cgroup" / "cpu" / "job" / "cpu.cfs_period_us", "100000")
    write(groups / "cgroup" / "cpu" / "cpu.cfs_quota_us", "-1")
    write(groups / "cgroup" / "cpu" / "cpu.cfs_period_us", "100000")
    assert host.threads() == 2


def test_a_path_of_the_host_leaves_the_limit_at_the_root_of_the_container(groups: Path) -> None:
    write(groups / "own", "0::/../../somewhere/else\n")
    write(groups / "cgroup" / "cpu.max", "300000 100000")
    assert host.threads() == 3


@pytest.mark.parametrize("text", ["", "garbage", "1 0", "a b c"])
def test_a_quota_that_cannot_be_read_limits_nothing(groups: Path, text: str) -> None:
    write(groups / "own", "0::/\n")
    write(groups / "cgroup" / "cpu.max", text)
    assert host.threads() == 64


def test_the_processor_is_named_the_same_every_time() -> None:
    assert host.processor() == host.processor.__wrapped__()
    assert host.processor().count(" ") >= 1
