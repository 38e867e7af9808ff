"""The key of a host hangs on its hardware alone, and what differs is said in words."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import environment
from reports.host_key import BY_NAME, HARDWARE, SOFTWARE, hardware_differences, host_key, software_differences

HERE: dict[str, Any] = {
    "stable": {
        "os": "Debian 12",
        "kernel": "6.1",
        "python": "CPython 3.11.7",
        "machine": "aarch64",
        "cpu": "Kunpeng 920",
        "cores": 2,
        "affinity": [0, 1],
        "numa_nodes": "0",
        "governor": None,
        "smt": "0",
        "cgroup_cpus": "unlimited",
        "packages": {"numpy": "2.4.6", "onnxruntime": "1.30.0"},
        "variables": {"OMP_NUM_THREADS": "2"},
    },
    "recorded": {"host": "here", "load": [0.1]},
    "harness": {"revision": "a", "clean": True},
}


def changed(**facts: Any) -> dict[str, Any]:
    return {**HERE, "stable": {**HERE["stable"], **facts}}


def lacking(name: str) -> dict[str, Any]:
    return {**HERE, "stable": {key: value for key, value in HERE["stable"].items() if key != name}}


def test_this_host_is_itself_from_run_to_run():
    one, two = environment.describe(), json.loads(json.dumps(environment.describe()))
    assert host_key(one) == host_key(two) != ""
    assert hardware_differences(one, two) == software_differences(one, two) == []


def test_every_stable_fact_of_a_run_is_hardware_or_software():
    assert {*HARDWARE, *SOFTWARE, *BY_NAME} == set(environment.describe()["stable"])


@pytest.mark.parametrize("name", HARDWARE)
def test_other_hardware_is_another_host(name):
    assert host_key(changed(**{name: "other"})) != host_key(HERE)
    (said,) = hardware_differences(HERE, changed(**{name: "other"}))
    assert said.startswith(name.replace("_", " "))
    assert said.endswith(" -> other")
    assert software_differences(HERE, changed(**{name: "other"})) == []


@pytest.mark.parametrize("name", [*SOFTWARE, *BY_NAME])
def test_other_software_is_the_same_host(name):
    other = changed(**{name: {"x": "1"} if name in BY_NAME else "other"})
    assert host_key(other) == host_key(HERE)
    assert hardware_differences(HERE, other) == []
    assert software_differences(HERE, other)


def test_what_changes_from_run_to_run_is_no_difference():
    other = copy.deepcopy(HERE) | {"recorded": {"host": "there", "load": [9.0]}, "harness": {"clean": False}}
    assert host_key(other) == host_key(HERE)
    assert hardware_differences(HERE, other) == software_differences(HERE, other) == []


def test_the_memory_that_another_kernel_leaves_makes_no_other_host():
    assert environment.describe()["recorded"]["memory_bytes"] > 0
    one, other = changed(memory_bytes=1000), changed(kernel="6.2", memory_bytes=996)  # as evidence once had it
    assert host_key(other) == host_key(one) == host_key(HERE)
    assert hardware_differences(one, other) == []
    assert software_differences(one, other) == ["kernel 6.1 -> 6.2"]


def test_says_in_words_what_differs():
    other = changed(cores=4, affinity=[0, 1, 2, 3], governor="performance")
    assert hardware_differences(HERE, other) == [
        "cores 2 -> 4",
        "affinity 0, 1 -> 0, 1, 2, 3",
        "governor not told -> performance",
    ]
    other = changed(kernel="6.2", packages={"onnxruntime": "1.31.1", "openvino": "2026.4"}, variables={})
    assert software_differences(HERE, other) == [
        "kernel 6.1 -> 6.2",
        "numpy 2.4.6 -> not installed",
        "onnxruntime 1.30.0 -> 1.31.1",
        "openvino not installed -> 2026.4",
        "OMP_NUM_THREADS 2 -> not set",
    ]


@pytest.mark.parametrize("name", HARDWARE)
def test_a_host_of_which_a_fact_is_missing_is_no_known_one(name):
    assert host_key(lacking(name)) == ""
    said = name.replace("_", " ")
    assert hardware_differences(lacking(name), lacking(name)) == [f"{said} not recorded on either side"]
    (one_side,) = hardware_differences(HERE, lacking(name))
    assert one_side.endswith(" -> not recorded")


@pytest.mark.parametrize("name", [*SOFTWARE, *BY_NAME])
def test_software_of_which_a_fact_is_missing_differs(name):
    assert len(software_differences(HERE, lacking(name))) == 1
    assert software_differences(lacking(name), lacking(name)) == [f"{name} not recorded on either side"]


@given(st.recursive(st.none() | st.text() | st.integers(), lambda part: st.dictionaries(st.text(), part), max_leaves=5))
def test_any_environment_has_a_key_or_none(stable):
    found = {"stable": stable}
    assert isinstance(host_key(found), str)
    assert host_key({}) == host_key(found) == ""
    assert len(hardware_differences(found, {})) == len(HARDWARE)
    assert len(software_differences({}, found)) >= 1
