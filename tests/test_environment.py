"""The environment is told by tier, without loading what is to be measured, on hosts that tell little."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures import host
from reports import environment
from reports.schema import check_plain

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Return a folder that stands for /; `write` puts a fact there."""
    monkeypatch.setattr(environment, "SYSTEM", tmp_path)
    monkeypatch.setattr(host, "CGROUPS", tmp_path / "sys/fs/cgroup")
    monkeypatch.setattr(host, "OWN_CGROUPS", tmp_path / "proc/self/cgroup")
    monkeypatch.setattr(host, "CPUINFO", tmp_path / "proc/cpuinfo")

    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    return write


def stable() -> dict:
    return environment.describe()["stable"]


def test_tells_three_tiers_in_plain_json():
    facts = environment.describe()
    check_plain(facts, "environment")
    assert list(facts) == ["stable", "recorded", "harness"]
    assert facts["stable"]["cores"] > 0
    assert facts["stable"]["packages"]["pytest"] == pytest.__version__


def test_facts_that_change_from_run_to_run_are_not_stable():
    assert json.dumps(stable()) == json.dumps(stable())
    assert not {"host", "boot_id", "load", "uptime_s"} & set(stable())


def test_loads_no_library_that_is_measured():
    code = (
        "import sys; from reports import environment; environment.describe(); "
        "print([name for name in ('torch', 'onnxruntime', 'cv2', 'numpy', 'scipy', 'openvino') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.usefixtures("system")
def test_a_host_that_tells_nothing_is_described_all_the_same():
    facts = environment.describe()
    assert [facts["stable"][name] for name in ("governor", "smt", "cgroup_cpus", "numa_nodes")] == [None] * 4
    assert facts["recorded"]["boot_id"] is None


def test_thread_settings_are_stable_facts(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert stable()["variables"]["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "200000 100000"}, 2.0),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "50000 100000",
                "sys/fs/cgroup/a/b/cpu.max": "90000 100000",
            },
            0.5,
        ),
        ({"proc/self/cgroup": "0::/\n"}, "unlimited"),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, "unlimited"),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "70000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 0.7),
    ],
)
def test_reads_the_processors_a_cgroup_leaves(system, files, cpus):
    for name, text in files.items():
        system(name, text)
    assert stable()["cgroup_cpus"] == cpus


def test_names_every_governor_in_use(system):
    for core, governor in enumerate(["powersave", "performance", "powersave"]):
        system(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor", governor)
    assert stable()["governor"] == "performance, powersave"


def test_names_the_cpu_of_an_arm_host_by_its_part(system):
    system("proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x48\nCPU part\t: 0xd01\nCPU revision\t: 0\n")
    assert stable()["cpu"] == "implementer 0x48 part 0xd01 revision 0"


def repository(folder: Path) -> Path:
    folder.mkdir()
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "--allow-empty", "-m", "first"]):
        settings = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(folder), *settings, *command], check=True, capture_output=True)
    return folder


def test_tells_revision_and_whether_the_tree_was_clean(tmp_path):
    root = repository(tmp_path / "checkout")
    facts = environment._harness(root)
    assert len(facts["revision"]) == 40
    assert facts["clean"] is True
    (root / "edited.py").touch()
    assert environment._harness(root)["clean"] is False


def test_does_not_take_the_revision_of_a_repository_around_it(tmp_path):
    inner = repository(tmp_path / "outer") / "unpacked"
    inner.mkdir()
    assert environment._harness(inner)["revision"] is None


def test_does_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    facts = environment.describe()["harness"]
    assert (facts["revision"], facts["clean"]) == (None, None)
