"""Merging keeps every line once, whatever overlaps, and never touches what is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports import merge
from reports.__main__ import main
from reports.entry import Entry
from reports.evidence import Evidence, read
from reports.run import End, Run
from reports.schema import EvidenceError, UnwritableError
from tests import records

CHECKOUT = Path(__file__).resolve().parents[1]


def lines(path: Path, *entries: Entry) -> Path:
    path.write_text("".join(json.dumps(entry.as_dict()) + "\n" for entry in entries))
    return path


def run(name: str, day: str = "2026-01-02") -> list[Entry]:
    """Return a whole run: first line, round, two figures, verdict, skip, acceptance, last line."""
    header, *rest = records.every_kind()
    assert isinstance(header, Run)
    header = Run(header.argv, header.environment, f"{day}T00:00:00+00:00")
    first = records.measurement(taken=f"{day} {name} a")
    second = records.measurement(taken=f"{day} {name} b")
    kept = [record for record in rest if not hasattr(record, "taken")]
    return [Entry(name, record) for record in (header, first, second, *kept)]


def given_as(*parts: list[Entry]) -> list[Evidence]:
    return [Evidence(Path(f"{number}.jsonl"), tuple(part)) for number, part in enumerate(parts)]


def test_keeps_every_line_of_all_runs_in_the_order_read() -> None:
    one, two = run("one"), run("two")
    assert merge.union(given_as(two, one)) == [*two, *one]


@settings(deadline=None)
@given(st.data())
def test_overlapping_parts_of_runs_give_the_runs_whatever_is_merged_how_often(data: st.DataObject) -> None:
    whole = [*run("one"), *run("two", "2026-01-03")]
    parts = data.draw(st.lists(st.lists(st.sampled_from(whole), max_size=12), min_size=1, max_size=4))
    merged = merge.union(given_as(*parts, whole))
    assert sorted(map(merge.canonical, merged)) == sorted(map(merge.canonical, whole))
    assert merge.union(given_as(merged, merged, *parts)) == merged
    for name in ("one", "two"):
        own = [entry for entry in merged if entry.run == name]
        assert isinstance(own[0].record, Run)
        assert isinstance(own[-1].record, End)
    assert [entry.run for entry in merged] == sorted((entry.run for entry in merged), key=merged[0].run.__ne__)


def test_a_measurement_is_the_same_whichever_run_carries_it() -> None:
    figure = records.measurement()
    merged = merge.union(given_as([Entry("one", figure)], [Entry("two", figure), Entry("two", records.skip())]))
    assert merged == [Entry("one", figure), Entry("two", records.skip())]


@pytest.mark.parametrize(
    ("changed", "which"), [(Run(("other",), {}, "2026"), "first"), (End(1, {"measurement": 1}, "2026"), "last")]
)
def test_a_run_whose_frame_is_told_in_two_ways_is_refused(changed: Run | End, which: str) -> None:
    with pytest.raises(EvidenceError, match=rf"1\.jsonl: expected one {which} line of run one, found another"):
        merge.union(given_as(run("one"), [Entry("one", changed)]))


def test_reads_both_forms_and_writes_one_that_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = run("one")
    path = lines(tmp_path / "one.jsonl", *whole)
    carried = [entry.as_dict() for entry in whole]
    document = {"benchmarks": [{"name": "a", "extra_info": {"signoff": {"records": carried}}}]}
    (tmp_path / "one.json").write_text(json.dumps(document))
    out = tmp_path / "all.jsonl"
    assert main(["merge", str(path), str(tmp_path / "one.json"), str(path), "--into", str(out)]) == 0
    assert list(read(out).entries) == whole
    said = f"{out}: {len(whole)} lines, 1 run; left out as there already: {2 * len(whole)}\n"
    assert capsys.readouterr().out == said
    assert sorted(tmp_path.iterdir()) == sorted([path, tmp_path / "one.json", out])


def test_two_runs_that_share_one_file_stay_two(tmp_path: Path) -> None:
    path = lines(tmp_path / "both.jsonl", *run("one"), *run("two"))
    assert main(["merge", str(path), "-o", str(tmp_path / "out.jsonl")]) == 0
    assert (tmp_path / "out.jsonl").read_bytes() == path.read_bytes()


def test_says_what_was_cut_off_and_keeps_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = run("one")
    path = lines(tmp_path / "cut.jsonl", *whole)
    path.write_bytes(path.read_bytes()[:-9])
    out = tmp_path / "all.jsonl"
    assert main(["merge", str(path), "--into", str(out)]) == 0
    assert f"lost: cut.jsonl, line {len(whole)}: cut off while it was written" in capsys.readouterr().out
    assert list(read(out).entries) == whole[:-1]


def test_a_part_and_its_whole_give_the_whole_with_its_end(tmp_path: Path) -> None:
    whole = run("one")
    assert merge.union(given_as(whole[:3], whole)) == whole
    joined = merge.union(given_as(whole[4:], whole[:5]))
    assert (joined[0], joined[-1]) == (whole[0], whole[-1])
    assert sorted(map(merge.canonical, joined)) == sorted(map(merge.canonical, whole))


@pytest.mark.parametrize("there", ["evidence", "other", "link", "dangling", "folder"])
def test_never_writes_over_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str) -> None:
    path = lines(tmp_path / "one.jsonl", *run("one"))
    out = tmp_path / "out.jsonl"
    if there == "evidence":
        out = path
    elif there == "folder":
        out.mkdir()
    elif there == "other":
        out.write_text("mine")
    else:
        out.symlink_to(path if there == "link" else tmp_path / "nowhere")
    before = path.read_bytes(), sorted(tmp_path.iterdir())
    assert main(["merge", str(path), "--into", str(out)]) == 2
    assert f"{out}: expected a new file to write to; found one; name another" in capsys.readouterr().err
    assert (path.read_bytes(), sorted(tmp_path.iterdir())) == before


def test_a_file_that_cannot_be_read_stops_it_before_anything_is_written(tmp_path: Path) -> None:
    path = lines(tmp_path / "one.jsonl", *run("one"))
    (tmp_path / "bad.jsonl").write_text('{"kind": "skip", "schema": 2, "run": "r"}\n')
    assert main(["merge", str(path), str(tmp_path / "bad.jsonl"), "--into", str(tmp_path / "out.jsonl")]) == 2
    assert not (tmp_path / "out.jsonl").exists()


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnwritableError, match="No space left on device"):
        merge.merge(given_as(run("one")), tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnwritableError, match="expected to write evidence; found: No such file or directory"):
        merge.merge(given_as(run("one")), tmp_path / "nowhere" / "out.jsonl")


def test_the_command_needs_none_of_the_libraries_that_are_measured(tmp_path: Path) -> None:
    path = lines(tmp_path / "one.jsonl", *run("one"))
    code = (
        "import sys; from reports.__main__ import main; status = main(sys.argv[1:]); "
        "print([n for n in ('torch', 'onnxruntime', 'cv2', 'scipy', 'numpy') if n in sys.modules]); sys.exit(status)"
    )
    command = [sys.executable, "-c", code, "merge", str(path), "-o", str(tmp_path / "out.jsonl")]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
