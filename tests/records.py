"""Sound records of every kind for the tests to start from, and strategies that draw any."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from bench.campaigns import Campaign
from fixtures.case import Case
from reports.acceptance import Acceptance
from reports.entry import Entry, Record
from reports.measurement import Measurement
from reports.round import Round
from reports.run import End, Run
from reports.skip import Skip
from reports.verdict import Verdict

ENGINE = {"sha256": "ab" * 32, "key": "edsr-onnxruntime", "origin": "built"}
DATA = {"dataset": "div2k", "digest": "cd" * 32, "images": 8, "of": 8, "own": True}


def case(batch: int = 1, backend: str = "onnxruntime", **changes: Any) -> Case:
    """Return a case of the sample grid."""
    return Case(**{"profile": "sample", "model": "edsr", "size": 1020, "batch": batch, "backend": backend, **changes})


def measurement(value: float = 33.9123, **changes: Any) -> Measurement:
    """Return an accuracy figure with one identical image among its samples."""
    samples = {"0801.png": 33.1, "0802.png": math.inf}
    known = {"case": case(), "metric": "psnr", "unit": "dB", "engine": ENGINE, "data": DATA, "samples": samples}
    return Measurement(**{**known, "value": value, **changes})


def verdict(status: str = "passed", **changes: Any) -> Verdict:
    """Return an accuracy verdict."""
    known = {
        "case": case(),
        "rule": "accuracy",
        "gate": "PSNR falls at most 1 % below 33.92 dB",
        "status": status,
        "metric": "psnr",
        "unit": "dB",
        "reason": "33.91 dB on 8 of 8 images, 0.02 % below 33.92 dB; at most 1 % allowed",
        "observed": 33.9123,
        "required": 33.58,
        "margin": 0.3323,
    }
    return Verdict(**{**known, **changes})


def skip(*cases: str) -> Skip:
    """Return a backend that is not installed."""
    return Skip(
        "openvino", cases or ("edsr-bs1-openvino",), "openvino is not installed", "pip install -e '.[openvino]'"
    )


def timed_round(**changes: Any) -> Round:
    """Return three timed calls."""
    known = {"case": case(), "engine": "ab" * 32, "samples_ns": (7, 8, 9), "warmup_ns": (90,), "batch": 1}
    return Round(**{**known, "device": "cpu", "seed": 7, "started": "2026-01-02T03:04:05+00:00", **changes})


def rounds(
    rates: Sequence[float],
    of: Case | None = None,
    day: str = "2026-01-02",
    flags: tuple[str, ...] = (),
    **details: Any,
) -> list[Round]:
    """Return a round per rate (images/s by the device's own time): mean and median agree; host wall is twice it."""
    made = []
    for number, rate in enumerate(rates):
        milliseconds = [1e3 * (of or case()).batch / rate * factor for factor in (0.9, 1.0, 1.1)]
        made.append(
            timed_round(
                case=of or case(),
                batch=(of or case()).batch,
                samples_ns=tuple(round(2e6 * each) for each in milliseconds),
                seed=number,
                started=f"{day}T03:{number:02d}:00+00:00",
                flags=flags,
                details={"effort": "signoff", "mode": "pure inference", "device_ms": milliseconds, **details},
            )
        )
    return made


def turns(
    rates: Sequence[tuple[float, float]], baseline: Case, candidate: Case, **more: Any
) -> tuple[list[Round], list[Round]]:
    """Return the rounds of two arms that took turns, from their rates (baseline, candidate) per process."""
    arms = []
    for place, (own, other) in enumerate(((baseline, candidate), (candidate, baseline))):
        taken = rounds([pair[place] for pair in rates], own, **more)
        for number, each in enumerate(taken):
            pair = {"id": f"{number:032x}", "arm": place, "first": "0", "calls_per_sample": 1, "other": other.id}
            taken[number] = replace(each, details={**each.details, "pair": pair})
        arms.append(taken)
    return arms[0], arms[1]


def campaign(rates: Sequence[float], of: Case | None = None, run: str = "one", **more: Any) -> Campaign:
    """Return a campaign of rounds and its throughput."""
    taken = rounds(rates, of, **more)
    told = {"effort": taken[0].details["effort"], "per": "card" if "card_round" in more else "device"}
    found = measurement(rates[0], case=of or case(), metric="throughput", unit="images/s", samples={}, details=told)
    return Campaign(of or case(), run, {"throughput": found}, tuple(taken))


def acceptance(**changes: Any) -> Acceptance:
    """Return the acceptance of a case as the baseline of a release."""
    return Acceptance(**{"case": case(), "by": "ada", "why": "first night", "release": "1.0", **changes})


def every_kind() -> list[Record]:
    """Return one record of each kind, in the order of a run."""
    run = Run(("pytest", "-m", "accuracy"), {"stable": {"cpu": None}, "recorded": {"host": "here"}, "harness": {}})
    return [run, timed_round(), measurement(), verdict(), skip(), acceptance(), End(0, {"measurement": 1})]


texts = st.text(max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(texts, part, max_size=3),
    max_leaves=6,
)
mappings = st.dictionaries(texts, plain, max_size=3)
counts = st.integers(0, 2**40)
cases = st.builds(Case, texts, texts, counts, counts, texts, st.booleans())
figures = st.dictionaries(texts, numbers, max_size=3)
lists = st.lists(counts, max_size=4).map(tuple)
text_lists = st.lists(texts, max_size=3).map(tuple)
engines: st.SearchStrategy[dict[str, Any]] = st.just({}) | mappings.map(lambda more: {**more, **ENGINE})
datas: st.SearchStrategy[dict[str, Any]] = st.just({}) | mappings.map(lambda more: {**more, **DATA})
sources = st.sampled_from(["measured", "emulated", "imported", "published", "supplied"])
measurements = st.builds(
    Measurement,
    cases,
    texts,
    numbers,
    texts,
    sources,
    engines,
    datas,
    st.dictionaries(texts, numbers | st.just(math.inf), max_size=3),
    figures,
    text_lists,
    mappings,
    taken=texts,
)
verdicts = st.builds(
    Verdict,
    cases,
    texts,
    texts,
    st.sampled_from(["passed", "failed", "undecided", "refused"]),
    texts,
    texts,
    texts,
    numbers,
    st.none() | numbers,
    st.none() | numbers,
    mappings,
    text_lists,
    st.none() | cases,
)
records = st.one_of(
    measurements,
    verdicts,
    st.builds(Skip, texts, text_lists, texts, texts),
    st.builds(Acceptance, cases, texts, texts, texts, texts),
    st.builds(Round, cases, texts, lists, lists, counts, texts, counts, texts, text_lists, mappings),
    st.builds(Run, text_lists, mappings, texts),
    st.builds(End, counts, st.dictionaries(texts, counts, max_size=3), texts),
)
entries = st.builds(Entry, texts, records, texts)
