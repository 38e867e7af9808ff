"""The ledger writes each record at once, loses nothing that it said it wrote, and finds what was measured."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reports.evidence import Evidence, read
from reports.ledger import Ledger, check_writable
from reports.schema import EvidenceError
from tests import records

CHECKOUT = Path(__file__).resolve().parents[1]


def kinds(path: Path) -> list[str]:
    return [entry.kind for entry in read(path).entries]


def test_makes_no_file_when_nothing_is_recorded(tmp_path):
    ledger = Ledger(tmp_path / "run.jsonl")
    ledger.close(0)
    assert list(tmp_path.iterdir()) == []


def test_a_line_is_in_the_file_as_soon_as_it_is_added(tmp_path):
    ledger = Ledger(tmp_path / "run.jsonl")
    for count, record in enumerate([records.measurement(), records.verdict(), records.skip()], start=1):
        ledger.add(record)
        assert len(read(ledger.path).entries) == 1 + count
    assert kinds(ledger.path) == ["run", "measurement", "verdict", "skip"]


def test_the_end_line_counts_the_records(tmp_path):
    ledger = Ledger(tmp_path / "run.jsonl")
    ledger.add(records.measurement())
    ledger.add(records.measurement())
    ledger.close(1)
    end = json.loads(ledger.path.read_text().splitlines()[-1])
    assert (end["kind"], end["exitstatus"], end["counts"]) == ("end", 1, {"run": 1, "measurement": 2})


def test_the_header_holds_command_and_environment(tmp_path):
    ledger = Ledger(tmp_path / "run.jsonl", argv=["pytest", "-m", "accuracy"])
    ledger.add(records.skip())
    header = json.loads(ledger.path.read_text().splitlines()[0])
    assert header["argv"] == ["pytest", "-m", "accuracy"]
    assert set(header["environment"]) == {"stable", "recorded", "harness"}


def test_lines_carry_the_test_that_wrote_them(tmp_path):
    ledger = Ledger(tmp_path / "run.jsonl")
    ledger.test = "acceptance/test_accuracy.py::test_accuracy[edsr-bs1-onnxruntime]"
    ledger.add(records.verdict())
    ledger.close(0)
    assert [entry.test for entry in read(ledger.path).entries] == ["", ledger.test, ""]


def test_a_record_that_is_not_sound_leaves_no_trace(tmp_path):
    ledger = Ledger(tmp_path / "run.jsonl")
    with pytest.raises(EvidenceError, match=r"^measurement\.value"):
        ledger.add(records.measurement(float("nan")))
    assert not ledger.path.exists()
    assert ledger.entries == []


def test_refuses_records_after_the_end(tmp_path):
    ledger = Ledger(tmp_path / "run.jsonl")
    ledger.add(records.measurement())
    ledger.close(0)
    with pytest.raises(EvidenceError, match="before the end of the run"):
        ledger.add(records.measurement())


def test_writes_nothing_beside_its_file(tmp_path):
    ledger = Ledger(tmp_path / "run.jsonl")
    ledger.add(records.measurement())
    ledger.close(0)
    assert [path.name for path in tmp_path.iterdir()] == ["run.jsonl"]


def test_finds_figures_of_this_run_and_of_given_evidence_each_once_the_latest_last(tmp_path):
    early, late = records.measurement(1.0, taken="2026-01-01"), records.measurement(3.0, taken="2026-03-01")
    given = []
    for name in ("a", "b"):  # the same measurement in two files: merging it twice is harmless
        other = Ledger(tmp_path / name)
        for record in (late, early, records.measurement(metric="ssim"), records.measurement(case=records.case(4))):
            other.add(record)
        given.append(read(other.path))
    ledger = Ledger(tmp_path / "run.jsonl", given)
    now = records.measurement(2.0, taken="2026-02-01")
    ledger.add(now)
    assert ledger.find(records.case(), "psnr") == [early, now, late]
    assert ledger.given == [entry for evidence in given for entry in evidence.entries]
    assert ledger.measurements == [now]


def test_a_case_is_found_whether_or_not_its_id_shows_the_size(tmp_path):
    ledger = Ledger(tmp_path / "run.jsonl")
    ledger.add(records.measurement(case=records.case(shows_size=True)))
    assert len(ledger.find(records.case(), "psnr")) == 1


def test_a_second_run_is_appended_to_an_existing_file(tmp_path):
    for _ in range(2):
        ledger = Ledger(tmp_path / "run.jsonl")
        ledger.add(records.measurement())
        ledger.close(0)
    assert kinds(tmp_path / "run.jsonl") == ["run", "measurement", "end"] * 2


def test_a_run_after_one_that_was_cut_off_starts_on_a_line_of_its_own(tmp_path):
    first = Ledger(tmp_path / "run.jsonl")
    first.add(records.measurement())
    content = first.path.read_bytes()
    first.path.write_bytes(content[:-20])
    second = Ledger(tmp_path / "run.jsonl")
    second.add(records.verdict())
    evidence = read(tmp_path / "run.jsonl")
    assert [entry.kind for entry in evidence.entries] == ["run", "run", "verdict"]
    assert evidence.lost == ("run.jsonl, line 2: cut off while it was written; that record is lost",)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing/run.jsonl", "no folder .*missing"),
        ("", "a folder of that name"),
        ("file/run.jsonl", "no folder"),
    ],
)
def test_says_where_it_cannot_write(tmp_path, path, message):
    (tmp_path / "file").touch()
    with pytest.raises(EvidenceError, match=f"expected to write evidence; found: {message}.*--record"):
        check_writable(tmp_path / path)
    with pytest.raises(EvidenceError, match=message):
        Ledger(tmp_path / path).add(records.measurement())


def test_says_that_permission_is_denied(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(EvidenceError, match="permission denied"):
        check_writable(tmp_path / "run.jsonl")


def test_a_failing_disk_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path / "run.jsonl")
    ledger.add(records.measurement())

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(EvidenceError, match=r"run\.jsonl: .*; found: No space left on device; make room"):
            ledger.add(records.verdict())
    ledger.close(0)
    assert kinds(ledger.path) == ["run", "measurement", "end"]


def test_a_header_that_does_not_fit_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda *_: 3)
    with pytest.raises(EvidenceError, match=r"3 of .* bytes written, the disk is full"):
        Ledger(tmp_path / "run.jsonl").add(records.measurement())
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_full_stays_where_it_is(tmp_path, monkeypatch):
    device = tmp_path / "device"
    os.mkfifo(device)  # removing it needs no more rights than removing a device
    monkeypatch.setattr(os, "write", lambda *_: 3)
    monkeypatch.setattr(os, "ftruncate", lambda *_: None)
    with pytest.raises(EvidenceError, match="the disk is full"):
        Ledger(device).add(records.measurement())
    assert device.exists()


FILL = """
import resource, sys
from pathlib import Path
from reports.ledger import Ledger
from reports.schema import EvidenceError
from tests import records
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
ledger = Ledger(Path(sys.argv[1]))
try:
    while True:
        ledger.add(records.measurement())
except EvidenceError as error:
    print(len(ledger.entries), error)
"""


def test_a_full_disk_loses_only_the_record_that_did_not_fit(tmp_path):
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path / "run.jsonl")],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    written, message = done.stdout.split(" ", 1)
    assert "the disk is full" in message
    evidence = read(tmp_path / "run.jsonl")
    assert len(evidence.entries) == int(written) > 2
    assert evidence.lost == ()


WRITE = """
import sys
from pathlib import Path
from reports.ledger import Ledger
from tests import records
ledger = Ledger(Path(sys.argv[1]))
while True:
    ledger.add(records.measurement())
    print(len(ledger.entries), flush=True)
"""


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_run_loses_at_most_the_line_being_written(tmp_path, seed):
    path = tmp_path / "run.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for _ in range(random.Random(seed).randint(1, 60)):
            said = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
    evidence = read(path)
    assert len(evidence.entries) >= said
    assert len(evidence.lost) <= 1


def test_evidence_that_was_given_is_not_written_again(tmp_path):
    given = Evidence(tmp_path / "given", ())
    ledger = Ledger(tmp_path / "run.jsonl", [given])
    ledger.close(0)
    assert not ledger.path.exists()


def test_a_run_started_when_it_did_and_not_with_its_first_record(tmp_path):
    ledger = Ledger(tmp_path / "evidence.jsonl")
    measurement = records.measurement()  # taken now, after the run was started
    ledger.add(measurement)
    assert read(ledger.path).entries[0].record.started == ledger.started < measurement.taken
