"""Accepting publishes whole campaigns of engines that were shown to be right, once each, and pins the engines."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.engines import Store
from fixtures.store import pins
from reports.__main__ import main
from reports.entry import Entry
from reports.evidence import read
from reports.history import History
from reports.measurement import Measurement
from reports.round import Round
from tests import records
from tests.campaigns import ENGINE, right, run, speed, timed, write

CHECKOUT = Path(__file__).resolve().parents[1]
CASE = records.case()
OTHER = records.case(backend="openvino")

Accept = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def accept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Accept:
    """Return a function that accepts files into `accepted`, with an empty store; it returns status, lines, errors."""

    def accept(*arguments: object, by: str = "ada") -> tuple[int, list[str], str]:
        places = [f"--into={tmp_path / 'accepted'}", f"--engine-cache={tmp_path / 'engines'}"]
        status = main(["accept", *map(str, arguments), "--by", by, "--why", "first night", *places])
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err

    return accept


def published(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "accepted").rglob("*") if path.is_file())


def test_publishes_a_campaign_with_all_that_belongs_to_it_and_nothing_else(tmp_path: Path, accept: Accept) -> None:
    foreign = [records.skip(), *timed(OTHER), *right(OTHER)]
    foreign[-1] = dataclasses.replace(foreign[-1], measurements=())  # type: ignore[type-var]
    ours = [*timed(CASE), *right(CASE)]
    path = write(tmp_path / "run.jsonl", *run("one", *ours, records.skip()))
    status, lines, _ = accept(path, "--release", "1.0")
    (file,) = published(tmp_path)
    assert status == 0
    assert lines == [
        "accepted  edsr-bs1-onnxruntime (sample) of run one: throughput 50 images/s, latency 20 ms; "
        f"engine abababab not pinned, it is not in {tmp_path / 'engines'}; {file}"
    ]
    entries = read(file).entries
    assert [entry.record for entry in entries[1:-2]] == ours
    assert [entry.kind for entry in entries[-2:]] == ["end", "acceptance"]
    assert {entry.run for entry in entries} == {"one"}
    assert file.parent.name == "edsr-bs1-onnxruntime-sample"
    assert file.name.startswith("20260102T030405-")


def test_takes_how_accuracy_was_shown_from_another_file(tmp_path: Path, accept: Accept) -> None:
    speed_file = write(tmp_path / "speed.jsonl", *run("fast", *timed(CASE)))
    accuracy = write(tmp_path / "accuracy.jsonl", *run("right", *right(CASE), *right(OTHER)[:0]))
    assert accept(speed_file)[0] == 1
    status, lines, _ = accept(speed_file, accuracy)
    assert (status, len(lines)) == (0, 1)
    (file,) = published(tmp_path)
    assert [(entry.run, entry.kind) for entry in read(file).entries] == [
        *[("right", kind) for kind in ("run", "measurement", "verdict", "end")],
        *[("fast", kind) for kind in ("run", *["round"] * 5, *["measurement"] * 2, "end", "acceptance")],
    ]


def test_reads_the_json_of_pytest_benchmark(tmp_path: Path, accept: Accept) -> None:
    carried = [entry.as_dict() for entry in run("one", *timed(CASE), *right(CASE))]
    document = {"benchmarks": [], "extra_info": {"signoff": {"schema": 1, "records": carried}}}
    (tmp_path / "out.json").write_text(json.dumps(document))
    assert accept(tmp_path / "out.json")[0] == 0


def without(kind: type) -> Callable[[list[Entry]], list[Entry]]:
    return lambda entries: [entry for entry in entries if not isinstance(entry.record, kind)]


def no_figures(entries: list[Entry]) -> list[Entry]:
    return [e for e in entries if not (isinstance(e.record, Measurement) and e.record.metric != "psnr")]


def other_engine(entries: list[Entry]) -> list[Entry]:
    more = dataclasses.replace(speed(CASE), engine={**ENGINE, "sha256": "ef" * 32}, taken="2026-01-02T00:06:00+00:00")
    return [*entries, Entry("one", more)]


def no_engine(entries: list[Entry]) -> list[Entry]:
    return [
        Entry(e.run, dataclasses.replace(e.record, engine={}))
        if isinstance(e.record, Measurement) and e.record.metric != "psnr"
        else e
        for e in entries
    ]


def in_pairs(entries: list[Entry]) -> list[Entry]:
    pair = {"pair": {"id": "a", "arm": 0, "other": "x"}}
    return [
        Entry(e.run, dataclasses.replace(e.record, details=pair))
        if isinstance(e.record, Round) or (isinstance(e.record, Measurement) and e.record.metric != "psnr")
        else e
        for e in entries
    ]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (without(Round), "its figures come without rounds; measure with --effort nightly or signoff"),
        (no_figures, "no figure came of its rounds; was the run cut off? measure with --effort nightly or signoff"),
        (no_engine, "its figures name no engine; measure"),
        (other_engine, "its figures are of 2 engines; measure each in a run of its own"),
        (in_pairs, "it was measured as one of a pair only; measure with --effort nightly or signoff, and by itself"),
    ],
)
def test_what_is_no_whole_campaign_is_refused(
    tmp_path: Path, accept: Accept, change: Callable[[list[Entry]], list[Entry]], why: str
) -> None:
    path = write(tmp_path / "run.jsonl", *change(run("one", *timed(CASE), *right(CASE))))
    status, lines, _ = accept(path)
    assert status == 1
    if change is no_figures:  # its accuracy would else be taken for all that was asked
        assert not published(tmp_path)
    assert lines[0].startswith(f"left out  edsr-bs1-onnxruntime (sample) of run one: {why}")
    assert lines[-1] == "nothing was accepted"


@pytest.mark.parametrize(
    ("effort", "why"),
    [
        ("quick", "it was measured with --effort quick, which is a look; measure with --effort nightly or signoff"),
        (None, "its rounds do not say with which effort they were taken; measure with --effort nightly or signoff"),
    ],
)
def test_a_look_is_refused(tmp_path: Path, accept: Accept, effort: str | None, why: str) -> None:
    path = write(tmp_path / "run.jsonl", *run("one", *timed(CASE, effort), *right(CASE)))
    status, lines, _ = accept(path)
    assert status == 1
    assert lines[0].endswith(why)


def test_rounds_that_a_budget_cut_short_are_no_campaign(tmp_path: Path, accept: Accept) -> None:
    *rounds, throughput, latency = timed(CASE)
    path = write(tmp_path / "run.jsonl", *run("one", *rounds[:4], throughput, latency, *right(CASE)))
    status, lines, _ = accept(path)
    assert status == 1
    assert lines[0].endswith(
        "it has 4 of the 5 rounds that make a campaign; measure with --effort nightly or signoff and a larger --budget"
    )


def test_the_devices_of_a_card_at_once_are_one_round(tmp_path: Path, accept: Accept) -> None:
    card = {"effort": "nightly", "card_round": "a"}
    path = write(tmp_path / "run.jsonl", *run("one", *timed(CASE, details=card), *right(CASE)))
    assert "it has 1 of the 5 rounds" in accept(path)[1][0]


def test_what_a_sweep_measured_again_is_no_part_of_the_campaign(tmp_path: Path, accept: Accept) -> None:
    part = {"effort": "nightly", "part": f"{CASE.id} again"}
    again = records.timed_round(case=CASE, engine=ENGINE["sha256"], seed=9, details=part)
    figure = dataclasses.replace(speed(CASE, value=60.0), details=part)
    best = dataclasses.replace(figure, metric="best_batch")
    ours = [*timed(CASE), *right(CASE)]
    path = write(tmp_path / "run.jsonl", *run("one", *ours, again, figure, best))
    _, lines, _ = accept(path)
    assert "throughput 50 images/s, latency 20 ms; engine" in lines[0]
    (file,) = published(tmp_path)
    assert [entry.record for entry in read(file).entries[1:-2]] == ours


def test_one_quick_round_among_others_is_enough_to_refuse(tmp_path: Path, accept: Accept) -> None:
    quick = records.timed_round(case=CASE, engine=ENGINE["sha256"], details={"effort": "quick"})
    assert accept(write(tmp_path / "run.jsonl", *run("one", *timed(CASE), quick, *right(CASE))))[0] == 1


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ([], "accuracy of engine abababab: not shown; name the evidence of pytest -m accuracy with that engine too"),
        (right(CASE)[:1], "accuracy of engine abababab: not shown"),
        (right(CASE, "refused"), "accuracy of engine abababab: accuracy was refused: 33.91 dB on 8 of 8"),
        (right(CASE, "undecided"), "accuracy of engine abababab: accuracy was undecided"),
        (right(CASE, "failed"), "accuracy failed: 33.91 dB"),
        (right(CASE, "failed", "parity"), "parity failed: 33.91 dB"),
        ([*right(CASE), *right(CASE, "failed", day="2026-01-03")], "accuracy failed"),
        ([*right(CASE, "refused"), *right(CASE, rule="parity")], "accuracy was refused"),
        ([*right(CASE), records.verdict("failed", rule="no_slower_than_accepted")], "no_slower_than_accepted failed"),
        ([*right(CASE), records.verdict("failed", measurements=())], "accuracy failed"),  # NaN: there is no figure
    ],
)
def test_accuracy_must_have_been_shown_and_nothing_may_have_failed(
    tmp_path: Path, accept: Accept, shown: list[Any], why: str
) -> None:
    path = write(tmp_path / "run.jsonl", *run("one", *timed(CASE), *shown))
    status, lines, _ = accept(path)
    assert status == 1
    assert why in lines[0]
    assert not published(tmp_path)


def test_accuracy_of_another_engine_shows_nothing(tmp_path: Path, accept: Accept) -> None:
    figure = records.measurement(engine={**ENGINE, "sha256": "ef" * 32})
    verdict = records.verdict(measurements=(figure.id,))
    path = write(tmp_path / "run.jsonl", *run("one", *timed(CASE)), *run("two", figure, verdict))
    assert "accuracy of engine abababab: not shown" in accept(path)[1][0]


def test_parity_is_enough_where_the_data_have_no_targets(tmp_path: Path, accept: Accept) -> None:
    assert accept(write(tmp_path / "run.jsonl", *run("one", *timed(CASE), *right(CASE, rule="parity"))))[0] == 0


TOOL = {"effort": "nightly", "tool": {"tool": "trtexec"}, "checked_calls": 4, "largest_relative_error": 1e-5}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 0),
        ({"largest_relative_error": 2e-3}, 1),
        ({"largest_relative_error": None}, 1),
        ({"checked_calls": 0}, 1),
        ({"tool": {"tool": "ais_bench"}}, 1),
        ({"tool": "trtexec"}, 1),
    ],
)
def test_outputs_that_were_compared_are_enough_for_a_tool_without_accuracy_of_its_own(
    tmp_path: Path, accept: Accept, changes: dict[str, Any], status: int
) -> None:
    path = write(tmp_path / "run.jsonl", *run("one", *timed(CASE, details={**TOOL, **changes})))
    assert accept(path)[0] == status
    failed = write(tmp_path / "failed.jsonl", *run("two", *right(CASE, "failed")))
    assert accept(path, failed)[0] == 1


def test_a_comparison_that_the_case_is_the_baseline_of_does_not_speak_against_it(
    tmp_path: Path, accept: Accept
) -> None:
    lost = records.verdict("failed", case=OTHER, against=CASE, rule="openvino_over_onnxruntime")
    path = write(tmp_path / "run.jsonl", *run("one", *timed(CASE), *right(CASE), lost))
    assert accept(path)[0] == 0
    (file,) = published(tmp_path)
    assert lost in [entry.record for entry in read(file).entries]


def test_accuracy_is_accepted_by_itself_only_where_the_case_was_not_timed(tmp_path: Path, accept: Accept) -> None:
    path = write(tmp_path / "accuracy.jsonl", *run("one", *right(OTHER)), *run("two", *timed(CASE), *right(CASE)))
    status, lines, _ = accept(path)
    assert status == 0
    assert [line.split(" of run ")[0] for line in lines] == [
        "accepted  edsr-bs1-openvino (sample)",
        "accepted  edsr-bs1-onnxruntime (sample)",
    ]
    assert ": psnr 33.912 dB; engine" in lines[0]


def test_one_that_is_refused_does_not_stop_the_others(tmp_path: Path, accept: Accept) -> None:
    path = write(tmp_path / "run.jsonl", *run("one", *timed(OTHER, "quick"), *timed(CASE), *right(CASE)))
    status, lines, _ = accept(path)
    assert status == 0
    assert [line.split()[0:2] for line in lines] == [["left", "out"], ["accepted", "edsr-bs1-onnxruntime"]]


def test_accepting_again_is_harmless_and_says_so(tmp_path: Path, accept: Accept) -> None:
    path = write(tmp_path / "run.jsonl", *run("one", *timed(CASE), *right(CASE)))
    accept(path, "--release", "1.0")
    (file,) = published(tmp_path)
    before = file.read_bytes()
    status, lines, _ = accept(path, by="grace")
    assert status == 0
    assert "(sample) of run one: already, by ada on 20" in lines[0]
    assert " for release 1.0; engine abababab" in lines[0]
    assert published(tmp_path) == [file]
    assert file.read_bytes() == before


def test_a_damaged_file_is_published_again(tmp_path: Path, accept: Accept) -> None:
    path = write(tmp_path / "run.jsonl", *run("one", *timed(CASE), *right(CASE)))
    accept(path)
    (file,) = published(tmp_path)
    file.write_bytes(file.read_bytes()[:-100])
    accept(path)
    assert published(tmp_path) == [file]
    assert not History(tmp_path / "accepted").problems


def test_the_same_case_on_two_days_is_two_campaigns(tmp_path: Path, accept: Accept) -> None:
    paths = [
        write(tmp_path / f"{name}.jsonl", *run(name, *timed(CASE, day=f"2026-01-0{name}"), *right(CASE)))
        for name in ("3", "2")
    ]
    assert accept(*paths)[0] == 0
    found = History(tmp_path / "accepted").accepted(CASE)
    assert [each.run for each in found] == ["2", "3"]


def test_pins_the_engine_where_it_is_stored(tmp_path: Path, accept: Accept) -> None:
    engine = Store(tmp_path / "engines").get({"n": 1}, "e.bin", lambda target: target.write_bytes(b"x") and None)
    said = {"sha256": engine.sha256, "key": engine.key, "origin": "built"}
    found = [
        dataclasses.replace(record, engine=said if isinstance(record, Measurement) else engine.sha256)
        if isinstance(record, (Measurement, Round))
        else record
        for record in timed(CASE)
    ]
    figure = dataclasses.replace(right(CASE)[0], engine=said)  # type: ignore[type-var]
    verdict = records.verdict(measurements=(figure.id,))  # type: ignore[union-attr]
    path = write(tmp_path / "run.jsonl", *run("one", *found, figure, verdict))
    _, lines, _ = accept(path, "--release", "1.0")
    assert f"engine {engine.sha256[:8]} pinned; " in lines[0]
    assert pins.reason(engine.path.parent) == "accepted for release 1.0 by ada: first night"
    pins.unpin(engine.path.parent)
    assert f"engine {engine.sha256[:8]} pinned; " in accept(path)[1][0]  # one that was killed in between is mended
    engine.path.write_bytes(b"y")
    assert "not pinned, it is damaged in" in accept(path)[1][0]


def test_another_engine_under_the_same_key_is_not_pinned(tmp_path: Path, accept: Accept) -> None:
    engine = Store(tmp_path / "engines").get({"n": 1}, "e.bin", lambda target: target.write_bytes(b"x") and None)
    said = {**ENGINE, "key": engine.key}
    found = [dataclasses.replace(each, engine=said) if isinstance(each, Measurement) else each for each in timed(CASE)]
    path = write(tmp_path / "run.jsonl", *run("one", *found, *right(CASE)))
    assert "not pinned, it is not in" in accept(path)[1][0]
    assert pins.reason(engine.path.parent) == ""


@pytest.mark.parametrize("key", ["../../x", "/etc", 3, None, ["a"], "0" * 20])
def test_a_key_from_evidence_is_no_path(tmp_path: Path, accept: Accept, key: Any) -> None:
    Store(tmp_path / "engines").get({"n": 1}, "e.bin", lambda target: target.write_bytes(b"x") and None)
    said = {**ENGINE, "key": key}
    changed = [
        dataclasses.replace(each, engine=said) if isinstance(each, Measurement) else each for each in timed(CASE)
    ]
    before = sorted((tmp_path / "engines").rglob("*"))
    path = write(tmp_path / "run.jsonl", *run("one", *changed, *right(CASE)))
    assert "not pinned, it is not in" in accept(path)[1][0]
    assert sorted((tmp_path / "engines").rglob("*")) == before


@pytest.mark.parametrize("name", ["../../evil", "a/b", "..", "\x1b[2J", "\ud800", "x" * 500, "", "."])
def test_names_from_evidence_stay_in_the_folder_and_off_the_terminal(tmp_path: Path, accept: Accept, name: str) -> None:
    case = records.case(backend=name, model=name, profile=name)
    path = write(tmp_path / "run.jsonl", *run(name, *timed(case), *right(case), started=name))
    status, lines, _ = accept(path)
    (file,) = published(tmp_path)
    assert status == 0
    assert all(line.isprintable() for line in lines)
    assert file.parent.parent == tmp_path / "accepted"
    assert not file.name.startswith(".")
    assert [each.case for each in map(History(tmp_path / "accepted").oldest, [case]) if each] == [case]


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    path = write(tmp_path / "run.jsonl", *run("one", *timed(CASE), *right(CASE)))
    status, _, errors = accept(path)
    assert status == 2
    assert "expected to write evidence; found: No space left on device; make room" in errors
    assert published(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, accept: Accept) -> None:
    (tmp_path / "accepted").write_text("mine")
    path = write(tmp_path / "run.jsonl", *run("one", *timed(CASE), *right(CASE)))
    status, _, errors = accept(path)
    assert status == 2
    assert "expected a folder for accepted evidence; found: " in errors


def test_who_and_why_must_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "run.jsonl", *run("one", *timed(CASE), *right(CASE)))
    with pytest.raises(SystemExit):
        main(["accept", str(path), "--by", " ", "--why", "x", f"--into={tmp_path / 'accepted'}"])
    assert "--by: expected a text, found an empty one" in capsys.readouterr().err


def test_jobs_at_once_publish_every_campaign_whole(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{name}.jsonl", *run(f"{name}", *timed(CASE, day=f"2026-01-0{name + 1}"), *right(CASE)))
        for name in range(2)
    ]
    command = [sys.executable, "-m", "reports", "accept", "--by=a", "--why=b", f"--into={tmp_path / 'accepted'}"]
    jobs = [
        subprocess.Popen(
            [*command, f"--engine-cache={tmp_path / 'engines'}", str(file)], cwd=CHECKOUT, stdout=subprocess.DEVNULL
        )
        for file in [*files, *files]
    ]
    assert [job.wait() for job in jobs] == [0] * 4
    history = History(tmp_path / "accepted")
    assert history.problems == []
    assert [each.run for each in history.accepted(CASE)] == ["0", "1"]
    assert len(published(tmp_path)) == 2
