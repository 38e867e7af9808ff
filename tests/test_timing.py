"""Loops that time: on a clock of the test's own, so that nothing depends on how busy this host is."""

from __future__ import annotations

import math
from itertools import chain, repeat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.child import alone, timing, together
from bench.child.timing import PairPlan
from fixtures import catalogue
from fixtures.backend import Backend
from fixtures.runtimes.openvino import OpenVinoSession
from tests import tiny

INPUTS = [(np.full(3, number, np.float32),) for number in range(8)]


class Clock:
    """Stands still, but for what calls take and a nanosecond for each look."""

    def __init__(self, monkeypatch) -> None:
        self.now = 0
        for module in (timing, together):
            monkeypatch.setattr(module, "time", self)

    def perf_counter_ns(self) -> int:
        self.now += 1
        return self.now


class Session:
    """Takes what `takes` says of the number of a call; gives its inputs."""

    signature = None

    def __init__(self, clock, takes, told=False) -> None:
        self.clock, self.takes, self.told = clock, takes, told
        self.fed, self.pending = [], []

    def run(self, inputs):
        ns = self.takes(len(self.fed))
        self.clock.now += ns
        self.fed.append(int(inputs[0][0]))
        self.pending.append(ns / 1e6)
        return (inputs[0] * 2,)

    def device_ms(self):
        found, self.pending = self.pending, []
        return tuple(found) if self.told else ()


class Queue(Session):
    """Takes three batches at once, and computes them when it is full or drained."""

    depth = 3

    def __init__(self, clock, takes) -> None:
        super().__init__(clock, takes)
        self.queued, self.drained, self.most = [], 0, 0

    def submit(self, inputs):
        if len(self.queued) == self.depth:
            self.run(self.queued.pop(0))
        self.queued.append(inputs)
        self.most = max(self.most, len(self.queued))

    def drain(self):
        while self.queued:
            self.run(self.queued.pop(0))
        self.drained += 1


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def always(ns):
    return lambda number: ns


def test_every_call_is_timed_by_itself_and_told_when_it_began(clock):
    session = Session(clock, lambda number: 100 * (number + 1))
    found = timing.calls(session, INPUTS, iter(range(8)), 3, 0.0)
    assert found.taken == [101, 201, 301]
    ends = [begun + taken for begun, taken in zip(found.begun, found.taken, strict=True)]
    assert all(end < later for end, later in zip(ends, found.begun[1:], strict=False))


@given(least=st.integers(1, 20), milliseconds=st.integers(1, 50), seconds=st.integers(0, 10))
def test_calls_go_on_until_there_are_enough_and_the_time_is_over(least, milliseconds, seconds):
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        found = timing.calls(Session(clock, always(milliseconds * 10**6)), INPUTS, repeat(0), least, seconds / 100)
    before_last = sum(found.taken[:-1]) / 1e9
    assert len(found.taken) >= least
    assert sum(found.taken) / 1e9 >= seconds / 100 - 1e-6
    assert len(found.taken) == least or before_last < seconds / 100


def test_no_more_calls_are_kept_than_evidence_can_hold(clock):
    assert len(timing.calls(Session(clock, always(10)), INPUTS, repeat(0), 5, 1.0).taken) == timing.MOST


def test_the_last_outputs_of_what_is_checked_are_kept(clock):
    found = timing.calls(Session(clock, always(1)), INPUTS, iter([0, 1, 2, 1]), 4, 0.0, {1, 2})
    assert {index: output[0] for index, output in found.kept.items()} == {1: 2, 2: 4}


def test_outputs_are_freed_outside_the_timed_section(clock):
    events = []

    class Output:
        def __del__(self):
            events.append("freed")

    class Noting(Session):
        def run(self, inputs):
            events.append("called")
            return (Output(),)

    timing.calls(Noting(clock, always(1)), INPUTS, repeat(0), 3, 0.0)
    assert events == ["called", "freed"] * 3


def test_a_window_is_from_the_first_call_to_the_end_of_the_last(clock):
    session = Session(clock, always(10**7))
    found = timing.window(session, INPUTS, chain.from_iterable(timing.orders(8, 7)), 0.095)
    assert (found["calls"], found["depth"]) == (10, 1)
    assert found["ns"] == pytest.approx(10**8, rel=1e-5)
    assert sorted(session.fed[:8]) == list(range(8))


def test_a_window_has_at_least_two_calls(clock):
    assert timing.window(Session(clock, always(10**9)), INPUTS, repeat(0), 0.0)["calls"] == 2


def test_a_window_keeps_a_queue_full_and_counts_what_it_drains(clock):
    queue = Queue(clock, always(10**7))
    found = timing.window(queue, INPUTS, repeat(0), 0.1)
    assert (queue.most, queue.drained, found["depth"]) == (3, 1, 3)
    assert found["calls"] == len(queue.fed) > 6
    assert found["ns"] >= len(queue.fed) * 10**7
    assert timing.window(Queue(clock, always(1)), INPUTS, repeat(0), 0.0)["calls"] == 6


def test_a_queue_is_filled_once_before_its_window(clock):
    steps = []
    queue = Queue(clock, always(10**7))
    answer = alone.pure(queue, INPUTS, {0}, 4, 7, TIMES, lambda step: steps.append((step, len(queue.fed), queue.most)))
    (arm,) = answer["arms"]
    before = len(arm["warmup_ns"]) + len(arm["samples_ns"])
    assert steps == [("ready", len(arm["warmup_ns"]), 0), ("window", before + queue.depth, queue.depth)]
    assert arm["window"]["calls"] == len(queue.fed) - before - queue.depth


def test_a_session_without_a_queue_runs_nothing_more_before_its_window(clock):
    session = Session(clock, always(1))
    timing.fill(session, INPUTS, repeat(0))
    assert session.fed == []


def test_batches_of_a_queue_of_openvino_come_out_as_they_went_in(tmp_path):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed; pip install -e '.[dev]'")
    runtime = catalogue.find("runtime", "openvino")
    graph = tiny.write(tmp_path / "catalogue") / "tiny.onnx"
    network = openvino.Core().read_model(graph)
    network.reshape([1, 4])
    asked = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_NUM_THREADS": "2", "NUM_STREAMS": "2"}
    compiled = openvino.Core().compile_model(network, "CPU", asked)
    (tmp_path / "compiled.blob").write_bytes(compiled.export_model().getvalue())
    backend = Backend("x", "openvino", options=asked)
    with tiny.extended(tmp_path / "catalogue"):
        model = catalogue.find("model", "tiny")
    with runtime.open(tmp_path / "compiled.blob", model, tiny.case("x"), backend, None) as session:
        batches = [(np.full((1, 4), number, np.float32),) for number in range(session.depth)]
        assert session.depth > 1
        for batch in batches:
            session.submit(batch)
        session.drain()
        given = [request.get_output_tensor(0).data.copy() for request in session._queue]
        expected = [session.run(batch)[0] for batch in batches]
        assert sorted(output[0, 0] for output in given) == sorted(output[0, 0] for output in expected)
        found = timing.window(session, batches, repeat(0), 0.0)
    assert (found["calls"], found["depth"]) == (2 * len(batches), len(batches))


def test_a_queue_of_openvino_is_waited_for():
    class Requests(list):
        def start_async(self, inputs, share_inputs):
            self.append(("queued", inputs, share_inputs))

        def wait_all(self):
            self.append("waited")

    class Compiled:
        inputs = outputs = ()

        def create_infer_request(self):
            return None

        def get_property(self, name):
            return {"OPTIMAL_NUMBER_OF_INFER_REQUESTS": 4}[name]

    session = OpenVinoSession(Compiled())
    session.__dict__["_queue"] = Requests()
    session.submit((1, 2))
    session.drain()
    assert session._queue == [("queued", [1, 2], True), "waited"]
    assert session.depth == 4


def test_openvino_as_it_is_signed_off_here_has_no_queue(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    pytest.importorskip("openvino", reason="openvino is not installed; pip install -e '.[dev]'")
    with tiny.extended(tiny.write(tmp_path / "catalogue")) as folder:
        workshop = tiny.workshop(folder, tmp_path / "store")
        case, backend = tiny.case("openvino"), catalogue.find("backend", "openvino")
        session = workshop.pool.session(case, backend, workshop.sources.engine(case))
        assert session.depth == 1
        workshop.pool.close()


def takes_turns(clock, several=1, seed=7, plan=None, takes=(3, 4), inputs=(INPUTS, INPUTS)):
    sessions = tuple(Session(clock, always(each * 10**6)) for each in takes)
    plan = plan or PairPlan(1e9, pairs=20, seconds=0, target_pairs=20)
    return timing.pairs(sessions, inputs, several, seed, plan, clock.now), sessions


def test_engines_take_turns_on_the_same_inputs_and_who_is_first_is_recorded(clock):
    found, (baseline, candidate) = takes_turns(clock)
    assert [len(taken) for taken in found.taken] == [20, 20]
    assert baseline.fed == candidate.fed
    assert set(baseline.fed) == set(range(8))
    assert 0 < found.first < 2**20 - 1
    assert found.log_ratios() == pytest.approx([math.log(4 / 3)] * 20, rel=1e-5)


def test_the_recorded_bits_tell_who_was_first(clock):
    who = []

    class Noting(Session):
        def run(self, inputs):
            who.append(self)
            return super().run(inputs)

    sessions = Noting(clock, always(10)), Noting(clock, always(10))
    found = timing.pairs(sessions, (INPUTS, INPUTS), 1, 3, PairPlan(0.0, fewest=12), 0)
    assert [who[2 * pair] is sessions[1] for pair in range(12)] == [bool(found.first >> pair & 1) for pair in range(12)]


def test_the_order_of_pairs_is_that_of_the_seed(clock):
    first, again, other = (takes_turns(clock, seed=seed)[0].first for seed in (1, 1, 2))
    assert first == again != other


def test_short_calls_are_timed_several_at_a_time_and_told_per_call(clock):
    found, (baseline, _) = takes_turns(clock, several=10)
    assert len(baseline.fed) == 200
    assert found.taken[0] == pytest.approx([3 * 10**6] * 20, rel=1e-5)
    assert [len(kept) for kept in found.kept] == [3, 3]


@given(several=st.integers(1, 40), count=st.integers(1, 9), other=st.integers(1, 9))
def test_outputs_of_a_pair_are_checked_however_few_inputs_there_are(several, count, other):
    with pytest.MonkeyPatch.context() as patch:
        plan = PairPlan(0.0, fewest=9)
        found, _ = takes_turns(Clock(patch), several, plan=plan, inputs=(INPUTS[:count], INPUTS[:other]))
    for kept, inputs in zip(found.kept, (INPUTS[:count], INPUTS[:other]), strict=True):
        assert len(kept) == min(3, len(inputs))
        assert all(output[0] == 2 * index for index, output in kept.items())


@pytest.mark.parametrize(
    ("fast", "slow", "several"), [(1000, 6_000_000, 5000), (4_900_000, 5_000_000, 2), (5e6, 9e6, 1)]
)
def test_so_many_calls_make_a_sample_that_the_faster_engine_takes_5_ms(fast, slow, several):
    assert timing.per_sample([[9**9, fast], [9**9, slow]]) == several  # the first call is no guide


@pytest.mark.parametrize(
    ("pairs", "seconds", "passed", "ends"),
    [
        (49, 9.0, 10.0, False),
        (60, 1.9, 10.0, False),
        (60, 4.9, 10.0, False),
        (60, 5.0, 10.0, True),
        (199, 2.1, 10.0, False),
        (200, 2.1, 10.0, True),
        (200, 1.9, 10.0, False),
        (4, 50.0, 100.0, False),
        (5, 2.5, 12.0, True),
    ],
)
def test_pairs_end_at_the_first_target_after_the_least_or_when_the_time_of_the_round_is_over(
    pairs, seconds, passed, ends
):
    assert PairPlan(12.0).ends(pairs, seconds, passed) is ends


# --- rounds of one engine, and of two


def no_wait(step="ready"):
    pass


def drifting(number):
    """Take 10 ms, but 20 ms at first: for longer than the warm-up lasts."""
    return 20 * 10**6 if number < 40 else 10 * 10**6


TIMES = alone.Times(serial=1.0, warmup=0.1, window=0.05)


def test_calls_that_are_not_steady_are_taken_again_and_count_as_warm_up(clock):
    answer = alone.pure(Session(clock, drifting), INPUTS, {0}, 4, 7, TIMES, no_wait)
    (arm,) = answer["arms"]
    assert arm["flags"] == []
    assert max(arm["samples_ns"]) < 11 * 10**6
    assert arm["warmup_ns"].count(20_000_001) == 40  # none is lost
    assert len(arm["warmup_ns"]) > 40 + 10


def test_calls_that_are_not_steady_the_second_time_either_are_flagged_and_kept(clock):
    slower = Session(clock, lambda number: 10**7 + 10**5 * number)
    (arm,) = alone.pure(slower, INPUTS, {0}, 4, 7, TIMES, no_wait)["arms"]
    assert arm["flags"] == ["not_steady"]
    assert len(arm["samples_ns"]) + len(arm["warmup_ns"]) < len(slower.fed)


def test_on_a_card_nothing_is_taken_again(clock):
    times = alone.Times(1.0, 0.1, 0.05, again=False)
    (arm,) = alone.pure(Session(clock, drifting), INPUTS, {0}, 4, 7, times, no_wait)["arms"]
    assert arm["flags"] == ["not_steady"]
    assert len(arm["warmup_ns"]) < 20


def test_the_window_counts_images_and_lies_after_the_serial_calls(clock):
    steps = []
    session = Session(clock, always(10**7), told=True)
    answer = alone.pure(session, INPUTS, {0}, 4, 7, TIMES, lambda step: steps.append((step, len(session.fed))))
    (arm,) = answer["arms"]
    window = arm["window"]
    assert window["images"] == 4 * window["calls"]
    assert [step for step, _ in steps] == ["ready", "window"]
    assert steps[0][1] == len(arm["warmup_ns"])
    assert steps[1][1] == len(arm["warmup_ns"]) + len(arm["samples_ns"])
    assert len(arm["device_ms"]) == len(arm["samples_ns"])  # neither of the warm-up nor of the window


def test_every_input_is_timed_however_slow_the_engine(clock):
    session = Session(clock, always(10**10))
    (arm,) = alone.pure(session, INPUTS, {0}, 1, 7, alone.Times(0.0, 0.0, 0.0), no_wait)["arms"]
    assert sorted(session.fed[3:11]) == list(range(8))
    assert (len(arm["warmup_ns"]), len(arm["samples_ns"])) == (3, 8)


def test_a_whole_data_set_is_timed_once_in_order_after_a_warm_up_on_its_first_batches(clock):
    session = Session(clock, always(10**7), told=True)
    (arm,) = alone.whole(session, INPUTS, {0, 4}, 0.1, no_wait)["arms"]
    assert session.fed[-8:] == list(range(8))
    assert set(session.fed[:-8]) == {0, 1, 2}
    assert len(arm["samples_ns"]) == len(arm["device_ms"]) == 8
    assert sorted(arm["kept"]) == [0, 4]
    assert "window" not in arm


def turns(clock, takes, plan, **options):
    sessions = tuple(Session(clock, each, told=True) for each in takes)
    return together.take(sessions, (INPUTS, INPUTS), 7, plan, 0.05, no_wait), sessions


def test_device_times_of_a_pair_are_per_call_and_one_for_each_sample(clock):
    answer, _ = turns(clock, (always(10**6), always(2 * 10**6)), PairPlan(100.0, pairs=9, seconds=0, target_pairs=9))
    assert answer["pair"]["calls_per_sample"] == 5
    for arm, milliseconds in zip(answer["arms"], (1.0, 2.0), strict=True):
        assert arm["device_ms"] == pytest.approx([milliseconds] * len(arm["samples_ns"]))
    assert answer["shortest_ns"] == pytest.approx(5 * 10**6, rel=1e-4)


def test_ratios_that_are_not_steady_are_taken_again_and_count_as_warm_up(clock):
    answer, _ = turns(clock, (always(10**7), drifting), PairPlan(1000.0, pairs=60, seconds=0, target_pairs=60))
    for arm in answer["arms"]:
        assert arm["flags"] == []
        assert len(arm["samples_ns"]) == 60
        assert len(arm["warmup_ns"]) > 60


def test_ratios_that_stay_unsteady_are_flagged(clock):
    slower = lambda number: 10**7 + 10**5 * number  # noqa: E731
    answer, _ = turns(clock, (always(10**7), slower), PairPlan(1000.0, pairs=60, seconds=0, target_pairs=60))
    assert {name for arm in answer["arms"] for name in arm["flags"]} == {"not_steady", "autocorrelated"}


def test_nothing_is_taken_again_where_the_time_of_the_round_is_over(clock):
    answer, _ = turns(clock, (always(10**7), drifting), PairPlan(1.5))
    assert "not_steady" in answer["arms"][0]["flags"]
    assert len(answer["arms"][0]["warmup_ns"]) < 10
