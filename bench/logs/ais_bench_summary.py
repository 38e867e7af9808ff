"""Reads the summary JSON of ais_bench: flat times or pairs of start and end, with or without count and samples."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from typing import Any

from bench.logs.ais_bench_block import NAMES, Block
from bench.logs.reading import LogError, agree, plain
from bench.logs.statistics import Statistics, linear, of

WITHIN = 1e-6
"""Statistics and samples come from the same numbers, written in full."""

PURE = "pure_infer_data"


def parse_summary(text: str) -> tuple[Block, str | None, tuple[str, ...]]:
    """Return the figures, the command and what cannot be read; raise LogError for other text."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LogError(
            f"summary: expected the JSON that ais_bench writes, found none ({error}); name its ..._summary.json"
        ) from None
    if not isinstance(document, dict) or not isinstance(document.get("NPU_compute_time"), dict):
        raise LogError(
            "summary: expected the JSON that ais_bench writes, found other JSON without NPU_compute_time; "
            "name its ..._summary.json"
        )
    told = tuple(name for name, key in _KEYS.items() if isinstance(document.get(key), dict))
    blocks = {name: _statistics(document[key]) if name in told else Statistics() for name, key in _KEYS.items()}
    samples, unread = _samples(document.get("npu_compute_time_list"))
    count = document["NPU_compute_time"].get("count")
    count = count if isinstance(count, int) and not isinstance(count, bool) else None
    throughput = plain(document.get("throughput"))
    files = _files(document.get("filesinfo"))
    batch = _factor(throughput, blocks["compute"].mean)
    flags = _disagreements(blocks["compute"], samples, count)
    flags += ["throughput_disagrees"] * (batch is not None and batch != round(batch))
    flags += ["padded_last_group"] * _padded(files, count, batch, document.get("args"))
    block = Block(
        throughput,
        batch,
        blocks["compute"],
        blocks["h2d"],
        blocks["d2h"],
        told=told,
        count=count,
        files=files,
        samples_ms=samples,
        own_flags=tuple(flags),
    )
    return block, _command(document.get("args")), unread


_KEYS = {"h2d": "H2D_latency", "compute": "NPU_compute_time", "d2h": "D2H_latency"}


def _statistics(told: Mapping[str, Any]) -> Statistics:
    values = {field: plain(told.get(name)) for name, field in NAMES.items()}
    p99 = plain(told.get("percentile(99%)"))
    return Statistics(**values, percentiles={} if p99 is None else {99.0: p99})


def _samples(told: object) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return durations: all of them, or none."""
    if told is None:
        return (), ()
    found: list[float | None] = []
    for one in told if isinstance(told, list) else [None]:
        if isinstance(one, list) and len(one) == 2:
            start, end = map(plain, one)
            found.append(plain(end - start) if start is not None and end is not None else None)
        else:
            found.append(plain(one))
    whole = tuple(duration for duration in found if duration is not None)
    if len(whole) < len(found):
        return (), ("npu_compute_time_list: not every entry is a time, so none is taken",)
    return whole, ()


def _factor(throughput: float | None, mean: float | None) -> int | float | None:
    """Return the batch in throughput = 1000 x batch / mean: the file holds it nowhere else."""
    if not throughput or not mean:
        return None
    factor = throughput * mean / 1000
    nearest = round(factor) if math.isfinite(factor) else 0
    return nearest if nearest and agree(factor, nearest, WITHIN) else factor if math.isfinite(factor) else None


def _disagreements(told: Statistics, samples: tuple[float, ...], count: int | None) -> list[str]:
    if not samples:
        return []
    own, names = of(samples, linear).as_dict(), told.as_dict()
    pairs = [(name, value, own[name]) for name, value in names.items()]
    flags = [
        f"samples_disagree_{name}"
        for name, value, recomputed in pairs
        if value is not None and recomputed is not None and not agree(value, recomputed, WITHIN)
    ]
    return flags + ["samples_disagree_count"] * (count is not None and count != len(samples))


def _files(told: object) -> int | None:
    """Return how many groups of files went in; None without data, where one made-up batch is run again and again."""
    if not isinstance(told, dict) or not told:
        return None
    pure = any(isinstance(one, dict) and one.get("infiles") == [PURE] for one in told.values())
    return None if pure else len(told)


def _padded(files: int | None, count: int | None, batch: int | float | None, args: object) -> bool:
    """Tell whether the last group was surely filled up: no way to cut the batch uses exactly these files."""
    loop = _loop(args)
    if files is None or not count or not isinstance(batch, int) or loop is None or count % loop:
        return False
    runs = count // loop
    ways = [part for part in range(1, min(batch, files) + 1) if batch % part == 0 and -(-files // part) == runs]
    return bool(ways) and all(part * runs != files for part in ways)


def _loop(args: object) -> int | None:
    """Return --loop; 1 is its default, None where the file does not echo the command."""
    words = _words(args)
    if words is None:
        return None
    for option in ("--loop", "-l"):
        for word, value in zip(words, [*words[1:], ""], strict=False):
            text = value if word == option else word.removeprefix(f"{option}=") if word.startswith(f"{option}=") else ""
            if text.isascii() and text.isdecimal() and 0 < len(text) < 10 and int(text):
                return int(text)
    return 1


def _command(args: object) -> str | None:
    words = _words(args)
    return shlex.join(words) if words else None


def _words(args: object) -> list[str] | None:
    return args if isinstance(args, list) and all(isinstance(word, str) for word in args) else None
