from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acceptance import evaluation
from acceptance.evaluation import READERS, Evaluation, Pass, evaluate, stack
from acceptance.metric import Result
from fixtures.dataset import Sample
from fixtures.model import unchanged


class Sum:
    """A metric that keeps what it is given, in order."""

    unit = "points"

    def __init__(self) -> None:
        self.seen: list[tuple[str, float, float]] = []

    def update(self, outputs, targets, names) -> None:
        self.seen += [(n, float(o[0]), float(t[0])) for n, o, t in zip(names, outputs, targets, strict=True)]

    def merge(self, other) -> None:
        self.seen += other.seen

    def result(self) -> Result:
        return Result(sum(output for _, output, _ in self.seen), self.unit, {n: o for n, o, _ in self.seen})


class Doubling:
    """A session that doubles its input, and tells what it is given."""

    def __init__(self, before: Callable[[tuple], None] = lambda inputs: None) -> None:
        self.before = before
        self.batches: list[list[float]] = []

    def run(self, inputs):
        self.before(inputs)
        self.batches.append(inputs[0][:, 0].tolist())
        return (inputs[0] * 2,)


def load(name: str) -> Sample:
    value = np.full(3, float(name), np.float32)
    return Sample(name, (value,), value)


def run(count: int, batch: int, session=None, load=load, progress=lambda done, of: None, **behind) -> Evaluation:
    names = [str(number) for number in range(count)]
    return evaluate(session or Doubling(), load, names, batch, Pass(unchanged, Sum(), **behind), progress)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith(("read", "score"))] == []


@given(st.integers(1, 13), st.integers(1, 6))
def test_scores_every_image_once_in_order_whatever_the_batch(count, batch):
    session, metric, kept = Doubling(), Sum(), []
    names = [str(number) for number in range(count)]
    behind = Pass(unchanged, metric, keep=lambda name, output: kept.append((name, float(output[0]))))
    found = evaluate(session, load, names, batch, behind, lambda done, of: None)
    assert metric.seen == [(name, 2.0 * int(name), float(name)) for name in names]
    assert kept == [(name, 2.0 * int(name)) for name in names]
    assert found.images == count
    assert all(len(given) == batch for given in session.batches)


def test_the_filling_of_the_last_batch_repeats_its_last_image_and_counts_nowhere():
    session = Doubling()
    found = run(5, 4, session, reference={str(n): np.full(3, 2.0 * n, np.float32) for n in range(5)})
    assert session.batches == [[0, 1, 2, 3], [4, 4, 4, 4]]
    assert found.result.value == 20
    assert found.agreement.values == 15


def test_stacks_every_input_of_the_model():
    samples = [Sample(str(n), (np.full(2, n), np.array([n])), None) for n in range(2)]
    first, second = stack(samples, 3)
    assert first.tolist() == [[0, 0], [1, 1], [1, 1]]
    assert second.tolist() == [[0], [1], [1]]


def test_feeds_contiguous_arrays_also_at_batch_1():
    (given,) = stack([Sample("a", (np.zeros((4, 6, 3), np.float32).transpose(2, 0, 1),), None)], 1)
    assert given.shape == (1, 3, 4, 6)
    assert given.flags.c_contiguous


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_reads_at_most_one_batch_ahead_of_the_one_that_runs(batch):
    started, ran = [], []

    def counting(name: str) -> Sample:
        started.append(name)
        return load(name)

    def before(_: tuple) -> None:
        ran.append(None)
        assert len(started) <= len(ran) * batch + max(batch, READERS)

    run(20, batch, Doubling(before), counting)
    assert sorted(started, key=int) == [str(number) for number in range(20)]


def test_samples_do_not_pile_up_while_a_batch_runs():
    alive: list[weakref.ref] = []
    most = 0

    def tracked(name: str) -> Sample:
        value = np.full(3, float(name), np.float32)
        alive.append(weakref.ref(value))
        return Sample(name, (value,), np.zeros(1))

    def before(_: tuple) -> None:
        nonlocal most
        gc.collect()
        most = max(most, sum(reference() is not None for reference in alive))

    # A stack of 4 copies its samples, so that only those read ahead are left while it runs.
    run(40, 4, Doubling(before), tracked)
    assert most <= 4


def test_at_most_two_batches_of_outputs_are_alive():
    alive: list[weakref.ref] = []
    most = 0

    class Session:
        def run(self, inputs):
            nonlocal most
            gc.collect()
            outputs = np.array(inputs[0])
            alive.append(weakref.ref(outputs))
            most = max(most, sum(reference() is not None for reference in alive))
            return (outputs,)

    run(40, 4, Session())
    assert most <= 2


def test_large_outputs_are_scored_before_the_next_batch_runs(monkeypatch):
    monkeypatch.setattr(evaluation, "BEHIND_BYTES", 0)
    second, overlapped = threading.Event(), []

    def before(inputs: tuple) -> None:
        if inputs[0][0, 0] == 4:
            second.set()

    def keep(name: str, output: np.ndarray) -> None:
        if name == "0":
            overlapped.append(second.wait(0.2))

    assert run(8, 4, Doubling(before), keep=keep).result.value == 2 * sum(range(8))
    assert overlapped == [False]


def test_tells_progress_after_every_batch():
    told = []
    run(5, 2, progress=lambda done, of: told.append((done, of)))
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_an_image_that_cannot_be_read_ends_the_pass():
    ran = Doubling()

    def broken(name: str) -> Sample:
        if name == "3":
            raise OSError("3.png is cut off")
        return load(name)

    with pytest.raises(OSError, match="cut off"):
        run(1000, 1, ran, broken)
    assert len(ran.batches) <= 3


def test_an_engine_that_fails_ends_the_pass():
    def before(inputs: tuple) -> None:
        if inputs[0][0, 0] == 2:
            raise RuntimeError("device lost")

    started = []
    with pytest.raises(RuntimeError, match="device lost"):
        run(1000, 1, Doubling(before), lambda name: started.append(name) or load(name))
    assert len(started) < 10


def test_an_image_that_cannot_be_scored_ends_the_pass():
    session = Doubling()

    def keep(name: str, output: np.ndarray) -> None:
        if name == "2":
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        run(1000, 1, session, keep=keep)
    assert len(session.batches) <= 5


def test_an_image_that_cannot_be_scored_in_the_last_batch_is_not_missed():
    with pytest.raises(ValueError, match="expected an output of shape"):
        run(3, 1, reference={"0": np.zeros(3), "1": np.zeros(3), "2": np.zeros(4)})


@pytest.mark.parametrize("where", ["session", "progress"])
def test_ctrl_c_passes_through_and_ends_the_threads(where):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    session = Doubling(interrupt) if where == "session" else Doubling()
    started = []
    with pytest.raises(KeyboardInterrupt):
        run(
            1000,
            1,
            session,
            lambda name: started.append(name) or load(name),
            progress=interrupt if where == "progress" else lambda done, of: None,
        )
    assert len(started) < 10


@pytest.mark.parametrize("returned", [1, 3])
def test_refuses_an_engine_that_returns_another_batch(returned):
    class Session:
        def run(self, inputs):
            return (np.zeros((returned, 3), np.float32),)

    with pytest.raises(ValueError, match=f"expected the engine to return 2 outputs.*found {returned}"):
        run(4, 2, Session())


def test_images_that_are_not_finite_are_named_and_not_scored():
    class Session:
        def run(self, inputs):
            return (np.where(inputs[0] == 2, np.nan, inputs[0]).astype(np.float32),)

    found = run(4, 2, Session())
    assert found.agreement.not_finite == ["2"]
    assert list(found.result.per_image) == ["0", "1", "3"]


def test_no_finite_output_is_no_result():
    class Session:
        def run(self, inputs):
            return (inputs[0] * np.nan,)

    found = run(2, 1, Session())
    assert found.result is None
    assert found.agreement.not_finite == ["0", "1"]


def test_data_without_targets_are_compared_and_not_scored():
    found = run(
        3,
        2,
        load=lambda name: Sample(name, load(name).inputs, None),
        reference={str(n): np.full(3, 2.0 * n + 1, np.float32) for n in range(3)},
    )
    assert found.result is None
    assert found.agreement.rms == 1.0


def test_says_how_long_the_engine_alone_took():
    found = run(3, 1)
    assert 0 < found.inference_seconds < found.seconds
