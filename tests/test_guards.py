"""What is recorded of the host, and what is said against a round."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.child import guards
from bench.child.guards import Guards, Section

CLEAN = {
    "cpu_pressure_share": 0.049,
    "steal_share": 0.009,
    "waited_share": 0.1,
    "involuntary_switches_per_call": 3.0,
    "anchor_ns": [1000, 1030],
    "empty_call_ns": 100,
}
CLOCKS = {"sm_clock_mhz": 1000}, {"sm_clock_mhz": 1020}


def said(changes=None, sample=10_000.0, clocks=CLOCKS):
    return guards.flags({**CLEAN, **(changes or {})}, sample, *clocks)


def test_nothing_is_said_against_a_quiet_host():
    assert said() == []


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"cpu_pressure_share": 0.05}, "host_busy"),
        ({"steal_share": 0.01}, "host_busy"),
        ({"waited_share": 0.11}, "starved"),
        ({"anchor_ns": [1000, 1031]}, "anchor_moved"),
        ({"anchor_ns": [1000, 969]}, "anchor_moved"),
        ({"empty_call_ns": 101}, "call_too_short"),
    ],
)
def test_each_guard_has_its_limit(changes, flag):
    assert said(changes) == [flag]


@pytest.mark.parametrize("clock", [1021, 979])
def test_a_clock_that_moved_is_flagged(clock):
    assert said(clocks=({"sm_clock_mhz": 1000}, {"sm_clock_mhz": clock})) == ["clock_moved"]


def test_what_is_not_known_is_not_said_against_it():
    assert guards.flags({"anchor_ns": []}, None, {}, {}) == []
    assert said(clocks=({"sm_clock_mhz": 1000}, {})) == []
    assert said(sample=None) == []


def test_every_flag_is_named():
    found = said(
        {"steal_share": 1, "waited_share": 1, "anchor_ns": [1, 2]}, 1.0, ({"sm_clock_mhz": 1}, {"sm_clock_mhz": 2})
    )
    assert tuple(found) == guards.FLAGS


def test_what_a_thread_took_with_it_when_it_ended_is_not_known(monkeypatch):
    waits = iter([5000, 4000])
    monkeypatch.setattr(guards, "_waited_ns", lambda: next(waits))
    section = Section()
    with section.timed():
        pass
    assert section.waited_ns is None


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Files of a host, and clocks, that say what a test says."""
    monkeypatch.setattr(guards, "PRESSURE", tmp_path / "pressure")
    monkeypatch.setattr(guards, "STAT", tmp_path / "stat")

    class Host:
        wall = cpu = 0

        def perf_counter_ns(self):
            return self.wall

        def process_time_ns(self):
            return self.cpu

        def say(self, stalled_us=0, stolen=0, idle=0, seconds=0.0, cpu_seconds=0.0):
            some = f"some avg10=0.18 avg60=0.20 avg300=0.56 total={stalled_us}"
            (tmp_path / "pressure").write_text(f"{some}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n")
            (tmp_path / "stat").write_text(f"cpu  100 0 0 {idle} 0 0 0 {stolen} 50 60\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
            self.wall, self.cpu = int(seconds * 1e9), int(cpu_seconds * 1e9)

        def lose(self, name):
            (tmp_path / name).unlink()

    found = Host()
    monkeypatch.setattr(guards, "time", found)
    found.say()
    return found


def test_shares_are_of_the_timed_sections_alone(host):
    section = Section()
    with section.timed():
        host.say(100_000, 5, 495, 1.0, 1.8)
    host.say(900_000, 400, 5000, 3.0, 1.9)  # between them
    with section.timed():
        host.say(1_000_000, 405, 5495, 4.0, 3.7)
    told = Guards([1, 2], 80).told(section, threads=2, calls=10)
    assert told["cpu_pressure_share"] == pytest.approx(0.1)
    assert told["steal_share"] == pytest.approx(0.01)
    assert told["cpu_share"] == pytest.approx(0.9)
    assert (told["anchor_ns"], told["empty_call_ns"]) == ([1, 2], 80)


@pytest.mark.parametrize(("lost", "share"), [("pressure", "cpu_pressure_share"), ("stat", "steal_share")])
def test_what_a_host_does_not_tell_is_left_out(host, lost, share):
    section = Section()
    with section.timed():
        host.say(1, 1, 9, 1.0, 1.0)
        host.lose(lost)
    assert share not in section.shares()
    host.say(seconds=1.0)
    with section.timed():
        host.say(1, 1, 9, 2.0, 2.0)
    assert share not in section.shares()  # a part is not the whole
    assert len(section.shares()) == 1


@given(st.text(max_size=60))
def test_no_text_of_those_files_stops_a_round(text):
    with pytest.MonkeyPatch.context() as patch:

        class File:
            def read_text(self):
                return text

        patch.setattr(guards, "PRESSURE", File())
        patch.setattr(guards, "STAT", File())
        section = Section()
        with section.timed():
            pass
        guards.flags(Guards([1]).told(section, 2, 3), 1.0, {}, {})


def test_a_tool_and_an_accelerator_have_no_share_of_the_processor(host):
    section = Section()
    with section.timed():
        host.say(0, 0, 9, 1.0, 0.1)
    assert "cpu_share" not in Guards().told(section, threads=None, calls=3)
    assert not {"cpu_share", "involuntary_switches_per_call"} & set(Guards().told(section, threads=2, calls=None))


def test_the_anchor_and_the_empty_call_take_time():
    found = Guards(empty_ns=guards.empty_call_ns())
    found.look()
    assert found.empty_ns > 0
    assert found.anchors[0] > 1000 * found.empty_ns
