from __future__ import annotations

import json
import math
import os
import threading
from itertools import chain, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import round as bench_round
from bench.inputs import DIFFERENT, batches
from bench.rounds import _write
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
    order = list(islice(chain.from_iterable(bench_round._orders(count, seed)), 3 * count))
    for start in range(0, 3 * count, count):
        assert sorted(order[start : start + count]) == list(range(count))


def test_the_order_is_that_of_the_seed():
    first, again, other = (list(islice(chain.from_iterable(bench_round._orders(8, seed)), 24)) for seed in (1, 1, 2))
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
    written = [(np.full((2, 3), 10 * batch + tensor) for tensor in range(2)) for batch in range(11)]
    written = [tuple(arrays) for arrays in written]
    _write(tmp_path / "inputs.npz", written)
    read = bench_round._read(tmp_path / "inputs.npz")
    for before, after in zip(written, read, strict=True):
        for left, right in zip(before, after, strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.fixture
def request_for(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setattr(bench_round, "GO", threading.Event())
    bench_round.GO.set()
    with tiny.extended(tiny.write(tmp_path / "catalogue")) as folder:
        workshop = tiny.workshop(folder, tmp_path / "store")
        case = tiny.case(batch=5)
        engine = workshop.sources.engine(case)
        inputs = batches(workshop.feed(case), 5)
        expected = [(inputs[0][:, :3],) for inputs in inputs]
        _write(tmp_path / "inputs.npz", inputs)
        _write(tmp_path / "expected.npz", expected)
        yield {
            "catalogues": [str(folder)],
            "case": case.as_dict(),
            "engine": {"path": str(engine.path), "sha256": digest.of_file(engine.path)},
            "inputs": str(tmp_path / "inputs.npz"),
            "expected": str(tmp_path / "expected.npz"),
            "answer": str(tmp_path / "answer.json"),
            "ready": str(tmp_path / "ready"),
            "device": {"id": "cpu", "index": 0, "name": "cpu", "card": ""},
            "seed": 7,
            "calls": 5,
            "seconds": 0,
            "warmup_calls": 3,
            "warmup_seconds": 0,
        }


def test_times_every_batch_with_the_warm_up_apart(request_for):
    answer = bench_round.run(request_for)
    assert len(answer["warmup_ns"]) == 3
    assert len(answer["samples_ns"]) == 5
    assert all(isinstance(value, int) and value > 0 for value in answer["samples_ns"])
    assert sum(answer["samples_ns"]) <= answer["wall_ns"]


def test_times_each_batch_at_least_once(request_for):
    assert len(bench_round.run({**request_for, "calls": 1})["samples_ns"]) == 2


def test_compares_outputs_of_timed_calls(request_for):
    answer = bench_round.run(request_for)
    assert answer["checked_calls"] == 2
    assert answer["largest_relative_error"] == 0.0


def test_refuses_an_engine_that_is_not_the_one_that_was_judged(request_for):
    request_for["engine"]["sha256"] = "ab" * 32
    with pytest.raises(ValueError, match=r"expected sha256 abababab.*found"):
        bench_round.run(request_for)


def test_writes_the_answer_in_one_step(request_for, tmp_path):
    request = tmp_path / "request.json"
    request.write_text(json.dumps(request_for))
    assert bench_round.main([str(request)]) == 0
    assert json.loads((tmp_path / "answer.json").read_text())["process"] == os.getpid()
    assert not list(tmp_path.glob(".answer*"))


def test_a_tool_is_given_the_batches_in_a_random_order_and_its_outputs_are_told_apart(tmp_path, monkeypatch):
    inputs = [(np.full(2, number, np.float32),) for number in range(8)]
    seen = []

    class Tool:
        def time(self, batches, seconds, warmup_seconds):
            seen.append([int(batch[0][0]) for batch in batches])
            outputs = {place: (batch[0] * 10,) for place, batch in enumerate(batches)}
            return Timed((1.0,), (2_000_000,), outputs, begun_ns=(5,))

    monkeypatch.setattr(bench_round, "GO", threading.Event())
    bench_round.GO.set()
    request = {"ready": str(tmp_path / "ready"), "seed": 7, "seconds": 0, "warmup_seconds": 0}
    taken = bench_round._by_tool(Tool(), inputs, request)
    bench_round._by_tool(Tool(), inputs, {**request, "seed": 8})
    assert sorted(seen[0]) == list(range(8))
    assert list(range(8)) != seen[0] != seen[1]
    assert all((output == 10 * index).all() for index, output in taken["kept"].items())
    assert (taken["samples_ns"], taken["begun_ns"], taken["timed_section"]) == ([2_000_000], [5], "host wall")
