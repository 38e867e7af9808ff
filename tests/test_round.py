from __future__ import annotations

import json
import math
import os
import threading
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import round as bench_round
from bench.child import arrays, timing, tools
from bench.inputs import DIFFERENT, batches, whole
from bench.mode import PURE
from fixtures import digest
from fixtures.dataset import Sample
from fixtures.feed import Feed
from fixtures.runtime import Timed
from tests import tiny


def feed(count: int) -> Feed:
    names = tuple(f"{number:03}" for number in range(count))
    return Feed(names, lambda name: Sample(name, (np.full(2, int(name)), np.array([int(name)])), None), "", "", True)


@given(st.integers(1, 40), st.integers(1, 40))
def test_batches_hold_at_least_8_different_images_and_no_two_are_equal(count, batch):
    found = batches(feed(count), batch)
    images = [tuple(inputs[0][:, 0].tolist()) for inputs in found]
    assert len({image for part in images for image in part}) == min(DIFFERENT, count)
    assert len(set(images)) == len(images)
    assert all(len(part) == batch for part in images)
    assert len(images) > 1 or count == 1
    assert all((first[:, 0] == second[:, 0]).all() for first, second in found)


def test_a_large_batch_is_fed_twice_and_no_more():
    assert len(batches(feed(100), 64)) == 2


@given(st.integers(1, 9), st.integers(0, 2**32))
def test_goes_through_all_batches_before_one_comes_again(count, seed):
    order = list(islice(chain.from_iterable(timing.orders(count, seed)), 3 * count))
    for start in range(0, 3 * count, count):
        assert sorted(order[start : start + count]) == list(range(count))


def test_the_order_is_that_of_the_seed():
    first, again, other = (list(islice(chain.from_iterable(timing.orders(8, seed)), 24)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("output", "expected", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.2], [1.0, 2.0], 0.1),
        ([1.0, math.nan], [1.0, 2.0], math.inf),
        ([1.0, math.inf], [1.0, 2.0], math.inf),
        ([1.0], [1.0, 2.0], math.inf),
        ([0.0], [0.0], 0.0),
    ],
)
def test_the_error_is_relative_to_the_largest_expected_value(output, expected, error):
    found = bench_round.relative_error(np.array(output, np.float32), np.array(expected, np.float32))
    assert found == pytest.approx(error, rel=1e-6)


def test_unsigned_outputs_do_not_wrap_around():
    assert bench_round.relative_error(np.array([1], np.uint8), np.array([2], np.uint8)) == 0.5


def test_arrays_come_back_as_they_were_written(tmp_path):
    written = [tuple(np.full((2, 3), 10 * batch + tensor) for tensor in range(2)) for batch in range(11)]
    read = arrays.write(tmp_path / "inputs", written)
    assert len(read) == 11
    for before, after in zip(written, read, strict=True):
        for left, right in zip(before, after, strict=True):
            np.testing.assert_array_equal(left, right)
    assert [batch[1][0, 0] for batch in read[8:]] == [81, 91, 101]


def test_arrays_are_found_by_the_number_they_were_written_under(tmp_path):
    read = arrays.write(tmp_path / "expected", [(np.zeros(1),), (np.ones(1),)], at=[4, 0])
    assert (read.numbers, read[0][0], read[4][0]) == ([0, 4], 1, 0)
    with pytest.raises(IndexError):
        read[1]


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_whole_data_set_is_every_image_once_and_the_last_batch_is_filled_with_the_first_ones(count, batch):
    images = [int(image) for inputs in whole(feed(count), batch) for image in inputs[0][:, 0]]
    assert images[:count] == list(range(count))
    assert len(images) % batch == 0
    assert len(images) - count < batch
    assert images[count:] == [place % count for place in range(count, len(images))]


@pytest.fixture
def request_for(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setattr(bench_round, "GO", threading.Semaphore(2))
    with tiny.extended(tiny.write(tmp_path / "catalogue")) as folder:
        workshop = tiny.workshop(folder, tmp_path / "store")
        case = tiny.case(batch=5)
        engine = workshop.sources.engine(case)
        inputs = batches(workshop.feed(case), 5)
        expected = [(inputs[0][:, :3],) for inputs in inputs]
        arrays.write(tmp_path / "inputs", inputs)
        arrays.write(tmp_path / "expected", expected)
        arm = {
            "case": case.as_dict(),
            "engine": {"path": str(engine.path), "sha256": digest.of_file(engine.path)},
            "inputs": str(tmp_path / "inputs"),
            "expected": str(tmp_path / "expected"),
            "device": {"id": "cpu", "index": 0, "name": "cpu", "card": ""},
        }
        yield {
            "catalogues": [str(folder)],
            "arms": [arm],
            "mode": PURE,
            **{name: str(tmp_path / name) for name in ("answer", "ready", "window")},
            **{"seed": 7, "again": True, "pair_seconds": 0},
            **{name: 0 for name in ("serial_seconds", "window_seconds", "warmup_seconds")},
        }


def test_times_every_batch_with_the_warm_up_apart(request_for):
    answer = bench_round.run(request_for)
    (arm,) = answer["arms"]
    assert len(arm["warmup_ns"]) == 3
    assert len(arm["samples_ns"]) == 5
    assert all(isinstance(value, int) and value > 0 for value in arm["samples_ns"])
    assert sum(arm["samples_ns"]) + arm["window"]["ns"] <= answer["wall_ns"]


def test_times_each_batch_at_least_once(request_for, tmp_path):
    (arm,) = request_for["arms"]
    eight = arrays.Stored(Path(arm["inputs"]))[:] * 4
    arrays.write(tmp_path / "more", eight)
    arrays.write(tmp_path / "all", [(inputs[0][:, :3],) for inputs in eight])
    more = {**arm, "inputs": str(tmp_path / "more"), "expected": str(tmp_path / "all")}
    answer = bench_round.run({**request_for, "arms": [more]})
    assert len(answer["arms"][0]["samples_ns"]) == 8
    assert answer["arms"][0]["checked_calls"] == 8


def test_compares_outputs_of_timed_calls(request_for):
    (arm,) = bench_round.run(request_for)["arms"]
    assert arm["checked_calls"] == 2
    assert arm["largest_relative_error"] == 0.0


def test_two_arms_take_turns_and_are_compared_each_with_its_own(request_for, tmp_path):
    (arm,) = request_for["arms"]
    wrong = arrays.write(tmp_path / "wrong", [(outputs[0] + 1,) for outputs in arrays.Stored(Path(arm["expected"]))])
    answer = bench_round.run({**request_for, "arms": [arm, {**arm, "expected": str(tmp_path / "wrong")}]})
    assert len(wrong) == 2
    assert [each["largest_relative_error"] > 0 for each in answer["arms"]] == [False, True]
    assert [len(each["samples_ns"]) for each in answer["arms"]] == [5, 5]
    assert answer["pair"]["calls_per_sample"] >= 1


def test_the_guards_stand_beside_what_was_timed(request_for):
    guards = bench_round.run(request_for)["guards"]
    assert guards["empty_call_ns"] > 0
    assert len(guards["anchor_ns"]) == 2
    assert guards["involuntary_switches_per_call"] >= 0


def test_refuses_an_engine_that_is_not_the_one_that_was_judged(request_for):
    request_for["arms"][0]["engine"]["sha256"] = "ab" * 32
    with pytest.raises(ValueError, match=r"expected sha256 abababab.*found"):
        bench_round.run(request_for)


def test_writes_the_answer_in_one_step(request_for, tmp_path):
    request = tmp_path / "request.json"
    request.write_text(json.dumps(request_for))
    assert bench_round.main([str(request)]) == 0
    assert json.loads((tmp_path / "answer").read_text())["process"] == os.getpid()
    assert not list(tmp_path.glob(".answer*"))


def test_says_how_far_it_is_and_waits(request_for, tmp_path, monkeypatch):
    reached = []

    class Go:
        def acquire(self):
            reached.append({name for name in ("ready", "window", "answer") if (tmp_path / name).exists()})

    monkeypatch.setattr(bench_round, "GO", Go())
    bench_round.run(request_for)
    assert reached == [{"ready"}, {"ready", "window"}]


class Tool:
    """Tells what it was given, and gives ten times the inputs."""

    def __init__(self, **said):
        self.seen, self.said = [], said

    def time(self, batches, seconds, warmup_seconds):
        self.seen.append(([int(batch[0][0]) for batch in batches], seconds))
        outputs = {place: (batch[0] * 10,) for place, batch in enumerate(batches)}
        return Timed((1.0,), outputs=outputs, **self.said)


INPUTS = [(np.full(2, number, np.float32),) for number in range(8)]


def test_outputs_of_a_tool_are_told_apart_whatever_the_order():
    order = [3, 1, 0, 2, 7, 6, 5, 4]
    taken = tools.take(Tool(), [INPUTS[index] for index in order], order, 2, 1.0, 0.0, "tool")
    assert sorted(taken["kept"]) == list(range(8))
    assert all((output == 10 * index).all() for index, output in taken["kept"].items())


def test_the_host_times_of_a_tool_come_before_its_device_times():
    taken = tools.take(Tool(host_ns=(2_000_000,), begun_ns=(5,)), INPUTS, range(8), 2, 1.0, 0.0, "tool")
    assert (taken["samples_ns"], taken["begun_ns"], taken["timed_section"]) == ([2_000_000], [5], "host wall")
    taken = tools.take(Tool(), INPUTS, range(8), 2, 1.0, 0.0, "tool")
    assert (taken["samples_ns"], taken["timed_section"]) == ([1_000_000], "device compute")
    assert "begun_ns" not in taken
    assert "window" not in taken


def test_completed_calls_of_a_tool_that_tells_when_they_began_are_a_window():
    taken = tools.take(Tool(host_ns=(100, 200), begun_ns=(1000, 1150)), INPUTS, range(8), 4, 1.0, 0.0, "tool")
    assert taken["window"] == {"calls": 2, "images": 8, "ns": 350, "depth": 1, "begun_ns": 1000}


SUMMARY = """[I] === Performance summary ===
[I] Throughput: 80 qps
[I] Latency: min = 12 ms, max = 13 ms, mean = 12.5 ms, median = 12.5 ms, percentile(99%) = 13 ms
[I] GPU Compute Time: min = 12 ms, max = 13 ms, mean = 12.5 ms, median = 12.5 ms, percentile(99%) = 13 ms
[I] Total Host Walltime: 3 s
[I] Total GPU Compute Time: {gpu} s
&&&& PASSED TensorRT.trtexec [TensorRT v8601]
"""


def test_the_window_of_trtexec_is_its_executions_over_its_wall_time():
    taken = tools.take(Tool(log=SUMMARY.format(gpu=3)), INPUTS[:1], [0], 4, 1.0, 0.0, "trtexec")
    assert taken["window"]["calls"] == 240
    assert (taken["window"]["images"], taken["window"]["ns"]) == (960, 3_000_000_000)
    assert taken["tool"]["reported"]["throughput_qps"] == 80


def test_where_trtexec_may_count_samples_as_queries_there_is_no_window():
    taken = tools.take(Tool(log=SUMMARY.format(gpu=0.75)), INPUTS[:1], [0], 4, 1.0, 0.0, "trtexec")
    assert "window" not in taken
