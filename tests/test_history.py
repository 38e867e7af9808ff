"""The history holds what was accepted, oldest first, and names what it cannot read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures.case import Case
from reports.acceptable import Campaign, judge
from reports.acceptance import Acceptance
from reports.history import History, load
from reports.schema import EvidenceError
from tests import records
from tests.campaigns import right, run, timed, write

CASE = records.case()


def put(folder: Path, day: str, release: str = "", case: Case = CASE, name: str = "") -> Path:
    """Publish a campaign that was taken on a day of January."""
    ((_, _, found),) = judge(run(day, *timed(case, day=f"2026-01-{day}"), *right(case)))
    assert isinstance(found, Campaign)
    folder.mkdir(parents=True, exist_ok=True)
    acceptance = Acceptance(case, "ada", "why", release, f"2026-02-{day}")
    return write(folder / f"{name or day}.jsonl", *found.accepted(acceptance))


def test_no_folder_is_an_empty_history(tmp_path: Path) -> None:
    history = History(tmp_path / "nowhere")
    assert (history.cases(), history.accepted(CASE), history.oldest(CASE), history.problems) == ([], [], None, [])


def test_tells_campaigns_by_the_time_they_were_taken_not_by_name(tmp_path: Path) -> None:
    for day, name in (("05", "a"), ("03", "b"), ("04", "c")):
        put(tmp_path, day, name=name)
    found = History(tmp_path).accepted(CASE)
    assert [each.taken[:10] for each in found] == ["2026-01-03", "2026-01-04", "2026-01-05"]
    assert [each.acceptance.by for each in found] == ["ada"] * 3
    assert [len(each.rounds) for each in found] == [5] * 3
    assert [figure.metric for figure in found[0].figures] == ["throughput", "latency", "psnr"]


def test_the_oldest_is_that_of_the_release_of_the_last_one(tmp_path: Path) -> None:
    for day, release in (("02", "1.0"), ("03", "2.0"), ("04", "1.0"), ("05", "2.0")):
        put(tmp_path, day, release)
    oldest = History(tmp_path).oldest(CASE)
    assert oldest is not None
    assert (oldest.run, oldest.acceptance.release) == ("03", "2.0")


def test_cases_are_told_apart_by_what_they_are_not_by_their_id(tmp_path: Path) -> None:
    small = records.case(size=256)  # an id may leave the size out, and so be the same
    assert small.id == CASE.id
    put(tmp_path / small.id, "02", case=small)
    put(tmp_path / small.id, "03")
    history = History(tmp_path)
    assert history.cases() == [small, CASE]
    assert [each.run for each in history.accepted(CASE)] == ["03"]
    assert [each.run for each in history.accepted(records.case(size=256, shows_size=True))] == ["02"]


def test_is_asked_for_a_metric(tmp_path: Path) -> None:
    put(tmp_path, "02")
    ((_, _, accuracy),) = judge(run("right", *right(CASE, day="2026-01-01")))
    assert isinstance(accuracy, Campaign)
    write(tmp_path / "right.jsonl", *accuracy.accepted(Acceptance(CASE, "ada", "why")))
    history = History(tmp_path)
    assert [each.run for each in history.accepted(CASE)] == ["right", "02"]
    assert [each.run for each in history.accepted(CASE, "psnr")] == ["right", "02"]
    assert [each.run for each in history.accepted(CASE, "throughput")] == ["02"]
    assert history.accepted(CASE, "device_compute") == []
    assert [oldest.run for oldest in (history.oldest(CASE, "throughput"), history.oldest(CASE)) if oldest] == [
        "02",
        "right",
    ]


def test_no_part_of_a_file_is_taken_for_the_whole(tmp_path: Path) -> None:
    ((_, _, found),) = judge(run("r", *right(CASE)))
    assert isinstance(found, Campaign)
    path = write(tmp_path / "small.jsonl", *found.accepted(records.acceptance()))
    content = path.read_bytes()
    ends = [place for place, byte in enumerate(content) if byte == ord("\n")]
    cuts = {*range(0, len(content) - 1, 13), *(end + near for end in ends[:-1] for near in (-1, 0, 1)), ends[-1] - 1}
    for cut in sorted(cuts):
        path.write_bytes(content[:cut])
        with pytest.raises(EvidenceError):
            load(path)
    path.write_bytes(content[:-1])
    assert load(path).case == CASE


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "bad.jsonl: expected evidence, found no whole line"),
        (b"hello\nworld\n", "bad.jsonl: expected evidence"),
        (b'{"kind": "skip", "schema": 2, "run": "r"}\n', "line 1: written by a newer signoff: schema 2"),
        (b"\xff\xfe\n\n", "expected UTF-8 text"),
        (None, "bad.jsonl: expected the evidence of one accepted campaign, its acceptance last; found 0"),
    ],
)
def test_a_damaged_file_is_named_and_left_out(tmp_path: Path, content: bytes | None, problem: str) -> None:
    put(tmp_path, "02")
    if content is None:
        write(tmp_path / "bad.jsonl", *run("r", *timed(CASE)))
    else:
        (tmp_path / "bad.jsonl").write_bytes(content)
    history = History(tmp_path)
    assert [each.run for each in history.accepted(CASE)] == ["02"]
    (said,) = history.problems
    assert problem in said
    assert said.endswith("; left out")


def test_an_acceptance_that_is_not_the_last_line_is_named(tmp_path: Path) -> None:
    lines = put(tmp_path, "02").read_text().splitlines(keepends=True)
    (tmp_path / "02.jsonl").write_text("".join([lines[-1], *lines[:-1]]))
    (said,) = History(tmp_path).problems
    assert "its acceptance last; found 1" in said


def test_a_line_that_is_lost_in_the_middle_is_named(tmp_path: Path) -> None:
    ((_, _, found),) = judge([*run("right", *right(CASE)), *run("fast", *timed(CASE))])
    assert isinstance(found, Campaign)
    path = write(tmp_path / "two.jsonl", *found.accepted(records.acceptance()))
    assert not History(tmp_path).problems
    lines = path.read_text().split("\n")
    (header,) = [place for place, line in enumerate(lines) if '"kind": "run"' in line and '"fast"' in line]
    lines[header - 1] = lines[header - 1][:50]
    path.write_text("\n".join(lines))
    (said,) = History(tmp_path).problems
    assert "two.jsonl: expected a whole file, found two.jsonl, line 4: cut off while it was written" in said


def test_two_campaigns_in_one_file_are_named(tmp_path: Path) -> None:
    one, two = put(tmp_path, "02"), put(tmp_path, "03")
    (tmp_path / "both.jsonl").write_bytes(one.read_bytes() + two.read_bytes())
    (said,) = History(tmp_path).problems
    assert "both.jsonl: expected the evidence of one accepted campaign, its acceptance last; found 2" in said


def test_an_acceptance_without_figures_is_named(tmp_path: Path) -> None:
    write(tmp_path / "bad.jsonl", *run("r", *timed(records.case(batch=4)), records.acceptance())[:-1])
    (said,) = History(tmp_path).problems
    assert "bad.jsonl: expected figures of edsr-bs1-onnxruntime, found none" in said


def test_foreign_files_are_ignored(tmp_path: Path) -> None:
    put(tmp_path / "case", "02")
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / "case" / ".03.jsonl.0123456789ab.part").write_text("{")
    (tmp_path / "case" / ".03.jsonl").write_text("{")
    history = History(tmp_path)
    assert (len(history.accepted(CASE)), history.problems) == (1, [])


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "accepted").touch()
    (said,) = History(tmp_path / "accepted").problems
    assert said == f"{tmp_path / 'accepted'}: expected a folder of accepted evidence, found: Not a directory; left out"


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "case", "02")
    scan = os.scandir

    def denied(place: str) -> object:
        if str(place).endswith("case"):
            raise PermissionError(13, os.strerror(13), str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", denied)
    (said,) = History(tmp_path).problems
    assert "case: expected a folder of accepted evidence, found: Permission denied" in said
