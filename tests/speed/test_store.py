"""What the engine store costs where an engine is there already: `pytest tests/speed --benchmark-only`.

A hit costs a fixed part, taken with an artefact of a page, and the hashing of the artefact, taken with a large one; the
page cache holds both. CPU time of this thread, the median of several, so that other work disturbs it little.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.engines import Engine, Store, key_of

WANTED_MS = 5.0
WANTED_GB_PER_SECOND = 1.0
ENGINES = 1000
LARGE = 256 << 20
REPEATS = 9
NAME = "model.om"


def recipe(number: int) -> dict[str, Any]:
    """Return a recipe of the usual size."""
    return {
        **{"compiler": "ascend", "model": f"m{number % 10}", "checkpoint": f"{number:064x}", "network": "ab" * 32},
        **{"graph": "cd" * 32, "size": 480, "batch": number, "precision": "fp16", "target": {"soc": "Ascend310"}},
        **{"options": {f"option_{each}": "value" for each in range(12)}, "toolchain": {"cann": "7.0.0"}},
        "code": "ef" * 32,
    }


def put(store: Store, number: int, size: int) -> Engine:
    """Store an engine of so many bytes."""
    return store.get(recipe(number), NAME, lambda target: target.write_bytes(bytes(size)) and None)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A store of a thousand engines: one is built, the others are copies of it under keys of their own."""
    store = Store(tmp_path_factory.mktemp("store"))
    text = put(store, 0, 4096).path.with_name("engine.json").read_text()
    old = '"batch": 0'
    for number in range(2, ENGINES):
        place = store.root / key_of(recipe(number))
        place.mkdir()
        (place / NAME).write_bytes(bytes(4096))
        said = text.replace(old, f'"batch": {number}').replace(f"{0:064x}", f"{number:064x}")
        (place / "engine.json").write_text(said.replace('"m0"', f'"m{number % 10}"'))
    put(store, 1, LARGE)
    return store.root


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one run, the median of several; the first warms up."""
    spent = []
    for _ in range(1 + REPEATS):
        started = time.thread_time()
        assert work()
        spent.append(time.thread_time() - started)
    return statistics.median(spent[1:])


def test_a_hit(benchmark, capsys, root):
    small = seconds(lambda: Store(root).find(recipe(0), NAME))
    large = seconds(lambda: Store(root).find(recipe(1), NAME))
    rate = (LARGE - 4096) / (large - small) / 1e9
    benchmark.extra_info.update(
        hit_ms=small * 1e3, wanted_ms=WANTED_MS, gb_per_second=rate, wanted_gb_per_second=WANTED_GB_PER_SECOND
    )
    benchmark.extra_info.update(engines=ENGINES, clock="thread_time")
    benchmark.pedantic(lambda: Store(root).find(recipe(0), NAME), rounds=REPEATS, warmup_rounds=1)
    with capsys.disabled():
        print(
            f" a hit costs {small * 1e3:.2f} ms ({WANTED_MS:g} wanted) and hashing at {rate:.2f} GB/s "
            f"({WANTED_GB_PER_SECOND:g} wanted) ",
            end="",
        )


def test_a_hit_that_this_process_has_verified_before(benchmark, capsys, root):
    store = Store(root)
    again = seconds(lambda: store.find(recipe(1), NAME))
    benchmark.extra_info.update(hit_ms=again * 1e3, wanted_ms=WANTED_MS, clock="thread_time")
    benchmark.pedantic(lambda: store.find(recipe(1), NAME), rounds=REPEATS, warmup_rounds=1)
    with capsys.disabled():
        print(f" {again * 1e3:.2f} ms, whatever its size ", end="")


@pytest.mark.parametrize("ask", ["entries", "nearest", "candidates"])
def test_looking_through_a_thousand_engines(benchmark, capsys, root, ask):
    store, missing = Store(root), {**recipe(5), "size": 256}
    work = {
        "entries": lambda: list(store.entries()),
        "nearest": lambda: store.nearest(missing),
        "candidates": lambda: store.candidates(missing) == [],
    }[ask]
    spent = seconds(work)
    benchmark.extra_info.update(ms=spent * 1e3, engines=ENGINES, clock="thread_time")
    benchmark.pedantic(work, rounds=REPEATS, warmup_rounds=1)
    with capsys.disabled():
        print(f" {ask}: {spent * 1e3:.0f} ms ", end="")
