"""`python -m reports show` tells what a file of evidence holds, in a terminal and in a pipe."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from reports.entry import Entry, Record
from reports.evidence import read
from reports.ledger import Ledger
from reports.run import End, Run
from reports.show import PIPED
from reports.show import show as show_evidence
from tests import records
from tests.campaigns import write

CHECKOUT = Path(__file__).resolve().parents[1]

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnxruntime", "cv2", "scipy", "PIL", "openvino", "hypothesis", "numpy"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Block())
from reports.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def show(*files: object, code: str = "") -> subprocess.CompletedProcess[str]:
    program = ["-c", code] if code else ["-m", "reports"]
    command = [sys.executable, *program, "show", *map(str, files)]
    environment = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "COLUMNS")}
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def ledger(tmp_path):
    """Return the evidence of a run that judged, measured and left out."""
    ledger = Ledger(tmp_path / "run.jsonl", argv=["pytest", "-m", "accuracy"])
    ledger.add(records.measurement(notes=("[bold]one[/bold] image is identical",)))
    for status in ("passed", "failed", "undecided", "refused"):
        ledger.add(records.verdict(status, reason="a reason that is long enough to be cut where rows are " * 4))
    for case in ("edsr-bs1-openvino", "edsr-bs4-openvino"):
        ledger.add(records.skip(case))
    ledger.add(records.timed_round())
    return ledger


def test_shows_run_verdicts_figures_and_what_was_not_run(ledger):
    ledger.close(1)
    done = show(ledger.path)
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout
    assert f"run {ledger.run[:8]}: started 20" in text
    assert "UTC with exit status 1" in text
    assert "  command  pytest -m accuracy\n" in text
    assert "  host     " in text
    assert "  signoff  " in text
    for status in ("passed", "failed", "undecided", "refused"):
        assert (
            f"\n{status:<9}  edsr-bs1-onnxruntime  sample   accuracy  33.912 dB  33.58 dB  0.3323 dB  a reason" in text
        )
    assert "measured  edsr-bs1-onnxruntime  sample   psnr    33.912 dB  abababab built  div2k 8/8 cdcdcdcd" in text
    assert "note       edsr-bs1-onnxruntime psnr: [bold]one[/bold] image is identical" in text
    assert "rounds     1 of edsr-bs1-onnxruntime (sample) on cpu" in text
    assert "not run    openvino  2 cases  openvino is not installed; pip install -e '.[openvino]'" in text


def test_says_once_what_had_to_hold_and_how_far_outputs_lie_from_fp32(tmp_path):
    ledger = Ledger(tmp_path / "run.jsonl")
    for batch in (1, 4):
        ledger.add(records.verdict(case=records.case(batch)))
    ledger.add(
        records.verdict(rule="parity", gate="near fp32", details={"cosine": 0.999999876, "worst_image": "7.png"})
    )
    text = show(ledger.path).stdout
    assert text.count("must hold  accuracy of edsr: PSNR falls at most 1 % below 33.92 dB\n") == 1
    assert text.count("must hold  parity of edsr: near fp32\n") == 1
    assert "outputs    edsr-bs1-onnxruntime (sample): cosine to fp32 0.9999999, worst image 7.png\n" in text


def test_a_figure_taken_in_turn_says_beside_whom_and_a_note_of_which_figures_it_is(tmp_path):
    ledger = Ledger(tmp_path / "run.jsonl")
    for metric, details in (("latency", {}), ("throughput", {}), ("latency", {"pair": {"arm": 0, "other": "other"}})):
        ledger.add(records.measurement(9.0, metric=metric, unit="ms", details=details, notes=("5 rounds",)))
    text = show(ledger.path).stdout
    assert [line.split("  ")[3].strip() for line in text.splitlines() if line.startswith("measured")] == [
        "latency",
        "throughput",
        "latency in turn with other",
    ]
    (note,) = [line for line in text.splitlines() if line.startswith("note")]
    assert note == "note       edsr-bs1-onnxruntime latency, throughput, latency in turn with other: 5 rounds"


def test_a_reader_that_has_seen_enough_is_no_failure(ledger):
    command = [sys.executable, "-u", "-m", "reports", "show", *[str(ledger.path)] * 20]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        errors = child.stderr.read()
    assert (child.returncode, errors) == (0, "")


def test_a_pipe_gets_whole_rows_without_colour(ledger):
    text = show(ledger.path).stdout
    assert "\x1b" not in text
    assert text.count("a reason that is long enough to be cut where rows are " * 3) == 4


def test_reasons_stand_in_one_column_even_where_there_is_no_figure(tmp_path):
    ledger = Ledger(tmp_path / "run.jsonl")
    ledger.add(records.verdict(reason="because"))
    ledger.add(records.verdict("refused", observed=None, required=None, margin=None, reason="because"))
    rows = [line for line in show(ledger.path).stdout.splitlines() if "because" in line]
    assert len(rows) == 2
    assert len({row.index("because") for row in rows}) == 1


def test_says_that_a_run_was_cut_off_and_where_lines_were_lost(ledger):
    content = ledger.path.read_bytes()
    ledger.path.write_bytes(content[:-9])
    text = show(ledger.path).stdout
    assert "no end: cut off while it ran" in text
    assert "lost: run.jsonl, line 9: cut off while it was written; that record is lost" in text


def test_shows_every_run_of_every_file(ledger, tmp_path):
    other = Ledger(tmp_path / "other.jsonl")
    other.add(records.measurement(taken="another day"))
    text = show(ledger.path, other.path).stdout
    assert f"run {ledger.run[:8]}" in text
    assert f"run {other.run[:8]}" in text


def test_needs_none_of_the_libraries_that_are_measured(ledger):
    done = show(ledger.path, code=BLOCK)
    assert (done.returncode, done.stderr) == (0, "")
    assert "measured  edsr-bs1-onnxruntime" in done.stdout


def test_evidence_cannot_steer_the_terminal(tmp_path):
    ledger = Ledger(tmp_path / "run.jsonl", argv=["pytest", "\x1b[2J"])
    ledger.add(records.verdict(reason="clear\x1b[2Jed"))
    text = show(ledger.path).stdout
    assert "\x1b" not in text
    assert "clear?[2Jed" in text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.jsonl", "missing.jsonl: expected a file of evidence, found none (No such file or directory)"),
        ("notes.txt", "notes.txt: expected evidence (JSON Lines, or pytest-benchmark's JSON), found"),
    ],
)
def test_a_wrong_file_is_an_error_with_exit_status_2(tmp_path, name, message):
    (tmp_path / "notes.txt").write_text("hello\nworld\n")
    done = show(tmp_path / name)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def shown(tmp_path: Path, *found: Record, run: str = "r") -> str:
    """Show records of one run, in this process, and return what a pipe would get."""
    path = write(tmp_path / "shown.jsonl", *(Entry(run, record) for record in found))
    console = Console(file=io.StringIO(), width=PIPED)
    show_evidence(read(path), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_line_of_rounds_tells_effort_mode_flags_and_the_worst_guards(tmp_path):
    details = {"effort": "signoff", "mode": "pure inference"}
    taken = [
        records.timed_round(
            seed=n,
            flags=("not_steady",) if n == 2 else (),
            details={**details, "guards": {"cpu_pressure_share": n / 100, "steal_share": 0.0, "cpu_share": 1 - n / 50}},
        )
        for n in range(5)
    ]
    assert (
        "\nrounds     5 of edsr-bs1-onnxruntime (sample) on cpu, signoff, pure inference; flags: not steady (1); "
        "guards: processor pressure up to 4 %, steal up to 0 %, processor share from 92 %\n"
    ) in shown(tmp_path, *taken)


def test_rounds_that_were_taken_in_different_ways_stand_in_lines_of_their_own(tmp_path):
    alone = records.timed_round(details={"effort": "quick"})
    arms = [
        records.timed_round(engine=digit * 64, details={"effort": "quick", "pair": {"arm": 0, "other": "that one"}})
        for digit in "ab"
    ]
    text = shown(tmp_path, alone, *arms)
    assert "rounds     1 of edsr-bs1-onnxruntime (sample) on cpu, quick\n" in text
    for digit in "ab":
        of = f"engine {digit * 8}, quick, in turns with that one\n"
        assert f"rounds     1 of edsr-bs1-onnxruntime (sample) on cpu, {of}" in text


def test_shows_who_accepted_what_and_that_a_campaign_is_a_part_of_its_run(tmp_path):
    end = End(0, {"run": 1, "measurement": 7})
    text = shown(tmp_path, records.measurement(), end, records.acceptance(accepted="2026-01-02T03:04:05+00:00"))
    assert "with exit status 0; 1 of its 8 lines are here\n" in text
    assert (
        "accepted   edsr-bs1-onnxruntime (sample) for release 1.0 by ada on 2026-01-02 03:04:05 UTC: first night\n"
    ) in text


def test_a_whole_run_is_not_called_a_part(tmp_path):
    assert "lines are here" not in shown(tmp_path, records.measurement(), End(0, {"measurement": 1}))


def test_a_comparison_is_shown_under_its_own_name(tmp_path):
    against = records.case(backend="t4")
    text = shown(tmp_path, records.verdict(rule="ascend310_over_t4", against=against))
    assert "passed   edsr-bs1-ascend310-over-t4  " in text


HOSTILE = (None, 3, "x", [], {"stable": 3}, {"stable": {"cpu": []}}, {"harness": {"clean": []}}, {"recorded": "\x1b"})


@pytest.mark.parametrize("odd", HOSTILE)
def test_whatever_evidence_holds_is_shown_and_steers_nothing(tmp_path, odd):
    environment = odd if isinstance(odd, dict) else {"stable": odd, "recorded": odd, "harness": odd}
    details = {"effort": odd, "mode": odd, "pair": odd, "guards": odd, "cosine": odd, "worst_image": odd}
    text = shown(
        tmp_path,
        Run(("\x1b[2J",), environment, "\x1b[31m[bold]"),
        records.timed_round(details=details),
        records.timed_round(details={"guards": {"steal_share": odd, "cpu_share": True}, "pair": {"other": odd}}),
        records.verdict(details=details),
        records.acceptance(by="\x1b[2J", why="[bold]\n", accepted="\x1b[2J"),
        End(0, {"x": 1}, "\x1b[2J"),
        run="\x1b[2J[b]",
    )
    assert "\x1b" not in text
