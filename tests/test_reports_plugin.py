"""What a user sees of the recording: outcomes, summary, exit status and files; pytest run inside pytest."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reports import outcome
from reports.evidence import Evidence, read
from reports.ledger import Ledger
from tests import records

HEAD = """
import pytest
from tests import records
pytestmark = pytest.mark.accuracy
"""

GRID = (
    HEAD
    + """
@pytest.mark.parametrize("status", ["passed", "failed", "undecided", "refused"])
def test_accuracy(judge, ledger, status):
    measurement = records.measurement(case=records.case(["passed", "failed", "undecided", "refused"].index(status) + 1))
    ledger.add(measurement)
    judge(records.verdict(status, case=measurement.case, measurements=(measurement.id,),
          details={"worst": {"0803.png": 28.1234}, "per_class": {"road": 0.97}, "drop_against_fp32": 0.0002}))
    assert status == "passed"

@pytest.mark.parametrize("case", ["edsr-bs1-openvino", "edsr-bs4-openvino"])
def test_not_run(not_run, case):
    not_run("openvino", "openvino is not installed", "pip install -e '.[openvino]'", named=False)

test_parity_not_run = test_not_run
"""
)

ROUND = "def test_timed(ledger):\n    ledger.add(records.timed_round())\n"
UNFIT = (
    HEAD
    + """
from fixtures.errors import SetupError
@pytest.mark.parametrize("accuracy_case", [records.case(1), records.case(4, "openvino")], ids=lambda case: case.id)
def test_accuracy(accuracy_case):
    raise SetupError("div2k in /data: expected images; found\\n  no such folder\\nnext: run `fetch div2k`")
"""
)
JUDGED = HEAD + "def test_accuracy(judge):\n    judge(records.verdict())\n"
SKIPPED = HEAD + "def test_accuracy(not_run):\n    not_run('t4', 'no GPU', 'run on a T4 host', named=False)\n"
PLAIN = "def test_plain():\n    pass\n"
TIMED = (
    HEAD
    + """
@pytest.mark.perf
def test_throughput(benchmark, ledger):
    ledger.add(records.timed_round())
    benchmark.pedantic(lambda: None, rounds=3)
    benchmark.extra_info["signoff"] = {"samples_per_second": 3.0}
    ledger.add(records.measurement(metric="throughput", unit="images/s", samples={}))
"""
)

XDIST = ("-p", "xdist", "-n", "2")


@pytest.fixture
def run(inside):
    """Return a function that runs one test file with the plugin, in a process of its own where asked."""

    def run_inside(source: str, *arguments: str, apart: bool = False) -> pytest.RunResult:
        inside.makepyfile(test_it=source)
        start = inside.runpytest_subprocess if apart else inside.runpytest_inprocess
        return start("-p", "reports.plugin", *arguments)

    return run_inside


def evidence(inside: pytest.Pytester) -> Evidence:
    (path,) = (inside.path / "reports" / "runs").iterdir()
    return read(path)


def kinds(found: Evidence) -> list[str]:
    return [entry.kind for entry in found.entries]


@pytest.mark.parametrize("workers", [(), XDIST], ids=["alone", "two workers"])
def test_undecided_and_refused_are_outcomes_of_their_own(run, inside, workers):
    result = run(GRID, *workers, apart=bool(workers))
    outcomes = result.parseoutcomes()
    assert outcomes == {"failed": 1, "passed": 1, "skipped": 4, "undecided": 1, "refused": 1}
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = evidence(inside)
    counted = {kind: kinds(found).count(kind) for kind in set(kinds(found))}
    assert counted == {"run": 1, "measurement": 4, "verdict": 4, "skip": 4, "end": 1}
    assert kinds(found)[0] == "run"
    assert kinds(found)[-1] == "end"
    tests = {entry.test for entry in found.entries if entry.kind == "verdict"}
    assert tests == {f"test_it.py::test_accuracy[{s}]" for s in ("passed", "failed", "undecided", "refused")}


@pytest.mark.parametrize("workers", [(), XDIST], ids=["alone", "two workers"])
def test_verbose_names_the_outcomes(run, workers):
    result = run(GRID, "-v", *workers, apart=bool(workers))
    result.stdout.fnmatch_lines_random(["*UNDECIDED*", "*REFUSED*"])


def test_the_summary_has_a_line_per_verdict_and_per_backend_not_run(run):
    result = run(GRID)
    reason = "33.91 dB on 8 of 8 images, 0.02 % below 33.92 dB; at most 1 % allowed"
    result.stdout.fnmatch_lines(
        [
            "=* sign-off =*",
            f"passed     edsr-bs1-onnxruntime  sample  accuracy  {reason}",
            f"failed     edsr-bs2-onnxruntime  sample  accuracy  {reason}",
            f"undecided  edsr-bs3-onnxruntime  sample  accuracy  {reason}",
            f"refused    edsr-bs4-onnxruntime  sample  accuracy  {reason}",
            "not run    openvino  2 cases  openvino is not installed; pip install -e '.[[]openvino[]]'",
            "evidence   reports/runs/*.jsonl (4 measurements, 4 verdicts, 4 skips)",
            "show it    python -m reports show reports/runs/*.jsonl",
        ],
        consecutive=True,
    )


def test_a_failure_tells_figure_limit_margin_worst_images_classes_and_evidence(run):
    result = run(GRID)
    result.stdout.fnmatch_lines(
        [
            "edsr-bs2-onnxruntime (sample): accuracy failed: 33.91 dB on 8 of 8 images*",
            "  must hold          PSNR falls at most 1 % below 33.92 dB",
            "  observed           33.912 dB",
            "  required           33.58 dB",
            "  margin             0.3323 dB",
            "  drop against fp32  0.0002",
            "  evidence           *.jsonl",
            "  worst images (psnr)",
            "    0803.png  28.123",
            "  per class (psnr)",
            "    road  0.97",
        ]
    )
    assert "plugin.py" not in result.stdout.str()


def test_figures_that_no_verdict_speaks_for_have_a_line_per_case(run):
    source = HEAD + (
        "def test_throughput(ledger):\n"
        "    ledger.add(records.measurement(12.3456, metric='throughput', unit='images/s'))\n"
        "    ledger.add(records.measurement(81.2, metric='p50', unit='ms'))\n"
    )
    result = run(source)
    result.stdout.fnmatch_lines(["measured   edsr-bs1-onnxruntime  sample  throughput 12.346 images/s, p50 81.2 ms"])
    assert result.ret == 0


def test_says_nothing_when_no_test_of_the_harness_ran(run, inside):
    result = run(PLAIN)
    assert "sign-off" not in result.stdout.str()
    assert result.ret == 0
    assert not (inside.path / "reports").exists()


@pytest.mark.parametrize("option", [True, False], ids=["named", "in the ini file"])
def test_what_is_damaged_in_the_history_is_said_once(run, inside, option):
    (inside.path / "kept").mkdir()
    (inside.path / "kept" / "night.jsonl").write_text("{")
    if not option:
        ini = inside.path / "tox.ini"
        ini.write_text(ini.read_text() + "\nhistory = kept\n")
    result = run(JUDGED, *(["--history=kept"] if option else []))
    assert result.ret == 0
    found = [line for line in result.outlines if "night.jsonl" in line]
    assert len(found) == 1
    assert found[0].endswith("; left out")


@pytest.mark.parametrize("place", ["", "elsewhere/", "a folder/"])
def test_the_figures_of_the_guides_are_evidence_by_the_bare_word_alone(run, inside, place):
    source = HEAD + "def test_given(ledger):\n    assert {entry.run for entry in ledger.given} == {'guides'}\n"
    if place == "a folder/":  # of that name, which is no file of evidence
        (inside.path / "published").mkdir()
        place = ""
    result = run(source, f"--evidence={place}published")
    if place:
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*published: expected a file of evidence, found none*"])
    else:
        result.assert_outcomes(passed=1)


def test_junit_holds_the_verdict_as_properties(run, inside):
    run(GRID, "--junitxml=junit.xml")
    cases = {case.get("name"): case for case in ElementTree.parse(inside.path / "junit.xml").iter("testcase")}
    properties = {p.get("name"): p.get("value") for p in cases["test_accuracy[undecided]"].iter("property")}
    assert properties == {
        "metric": "psnr",
        "value": "33.9123",
        "unit": "dB",
        "limit": "33.58",
        "margin": "0.3323",
        "verdict": "undecided",
    }
    assert cases["test_accuracy[undecided]"].find("skipped") is not None  # never a pass
    assert cases["test_accuracy[failed]"].find("failure") is not None


def test_naming_a_backend_makes_not_running_it_a_failure(run):
    result = run(SKIPPED.replace("named=False", "named=True"))
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["test_accuracy: t4 is not run here: no GPU; run on a T4 host", "t4 was asked for by name, *is a failure"]
    )


@pytest.mark.parametrize(
    ("source", "status"),
    [
        (JUDGED, 0),
        (JUDGED.replace("verdict()", "verdict('failed')"), 1),
        (JUDGED.replace("verdict()", "verdict('undecided')"), 0),
        (JUDGED.replace("verdict()", "verdict('refused')"), 6),
        (JUDGED.replace("verdict()", "verdict('refused')") + ROUND, 0),
        (SKIPPED, 6),
        (HEAD + "def test_accuracy(): pass\n", 6),
        (PLAIN, 0),
        ("", 5),
    ],
    ids=[
        "held",
        "failed",
        "undecided",
        "refused",
        "refused and timed",
        "all not run",
        "nothing judged",
        "not ours",
        "none collected",
    ],
)
def test_exit_status(run, source, status):
    result = run(source)
    assert result.ret == status
    assert ("nothing was " in result.stdout.str()) == (status == 6)
    assert ("; exit status 6" in result.stdout.str()) == (status == 6)


def test_says_how_many_were_refused_where_nothing_was_judged(run):
    measured = "    found = records.measurement()\n    ledger.add(found)\n"
    source = JUDGED.replace("(judge)", "(judge, ledger)").replace(
        "    judge(records.verdict())", measured + "    judge(records.verdict('refused', measurements=(found.id,)))"
    )
    result = run(source)
    assert result.ret == 6
    result.stdout.fnmatch_lines(["nothing was judged: 1 refused; exit status 6"])


def test_the_last_line_counts_what_was_refused_beside_what_holds(run):
    result = run(GRID)
    result.stdout.fnmatch_lines(
        ["show it *", "refused    1 accuracy verdict: those figures were not judged", "=*"], consecutive=True
    )
    assert "not judged" not in run(JUDGED).stdout.str()


def test_nothing_judged_by_any_worker_is_not_green(run):
    assert run(SKIPPED, *XDIST, apart=True).ret == 6


def test_ctrl_c_keeps_the_evidence_and_ends_it_with_status_2(run, inside):
    source = JUDGED + "def test_interrupted():\n    raise KeyboardInterrupt\n"
    result = run(source, apart=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    found = evidence(inside)
    assert kinds(found) == ["run", "verdict", "end"]
    assert found.entries[-1].record.exitstatus == 2
    result.stdout.fnmatch_lines(["passed     edsr-bs1-onnxruntime  *"])


def test_a_worker_that_dies_leaves_what_it_recorded(run, inside):
    source = (
        "import os\n"
        + HEAD
        + "def test_accuracy(judge, ledger):\n    judge(records.verdict())\n    os.write(ledger._file, b'{\"kind')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    result = run(source, *XDIST, "--max-worker-restart=0", apart=True)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert kinds(evidence(inside)) == ["run", "verdict", "end"]
    result.stdout.fnmatch_lines(["*cut off while it was written; that record is lost*"])


def test_workers_leave_no_files_of_their_own(run, inside):
    run(GRID, *XDIST, "--record=out.jsonl", apart=True)
    assert [path.name for path in inside.path.glob("*.jsonl*")] == ["out.jsonl"]


def test_tests_find_what_other_evidence_holds(run, inside):
    other = Ledger(inside.path / "other.jsonl")
    other.add(records.measurement(12.5))
    source = JUDGED.replace("(judge)", "(judge, ledger)").replace(
        "records.verdict()", "records.verdict(reason=f'found {ledger.find(records.case(), \"psnr\")[0].value}')"
    )
    for workers in ((), XDIST):
        result = run(source, "--evidence=other.jsonl", *workers, apart=bool(workers))
        result.stdout.fnmatch_lines(["passed *found 12.5"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--evidence=missing.jsonl"], "*missing.jsonl: expected a file of evidence, found none*"),
        (["--evidence=test_it.py"], "*test_it.py: expected evidence *"),
        (["--record=missing/out.jsonl"], "*expected to write evidence; found: no folder *missing; *--record"),
        (
            ["--evidence=given.jsonl", "--record=given.jsonl"],
            "*--record *expected a file that --evidence does not name*",
        ),
        (["--evidence=given.jsonl", "--benchmark-json=given.jsonl"], "*--benchmark-json *--evidence does not name*"),
        (["--benchmark-json=."], "*--benchmark-json *found: a folder of that name; *--benchmark-json"),
        (["--benchmark-json=missing/out.json"], "*--benchmark-json *found: no folder *missing; *--benchmark-json"),
    ],
)
def test_files_that_will_not_do_stop_the_run_before_anything_is_measured(run, inside, arguments, message):
    Ledger(inside.path / "given.jsonl").add(records.measurement())
    result = run(JUDGED, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert (inside.path / "given.jsonl").exists()


def test_says_that_a_line_of_given_evidence_is_lost(run, inside):
    other = Ledger(inside.path / "other.jsonl")
    other.add(records.measurement())
    other.path.write_bytes(other.path.read_bytes()[:-9])
    run(JUDGED, "--evidence=other.jsonl").stdout.fnmatch_lines(["other.jsonl, line 2: cut off while it was written*"])


@pytest.mark.parametrize("workers", [(), XDIST], ids=["alone", "two workers"])
def test_what_the_user_can_mend_is_shown_once_recorded_and_has_a_line_in_the_summary(run, inside, workers):
    result = run(UNFIT, *workers, apart=bool(workers))
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "Traceback" not in result.stdout.str()
    reason = "div2k in /data: expected images; found no such folder; run `fetch div2k`"
    (line,) = [line for line in result.stdout.lines if line.startswith("not run")]
    assert line.endswith(f"  2 cases  {reason}")
    assert kinds(evidence(inside)) == ["run", "skip", "skip", "end"]
    if not workers:
        assert result.parseoutcomes() == {"failed": 1, "skipped": 1}
        result.stdout.fnmatch_lines(["not run    onnxruntime, openvino  2 cases  *"])


def test_a_test_outside_the_grid_keeps_its_traceback(run):
    result = run(HEAD + "from fixtures.errors import SetupError\ndef test_a():\n    raise SetupError('no')\n")
    result.stdout.fnmatch_lines(["E *SetupError: no"])


def test_what_cannot_be_recorded_as_not_run_is_said_beside_it(run):
    source = UNFIT.replace(
        "(accuracy_case):", "(accuracy_case, monkeypatch):\n    import os; full = lambda *_: 3"
    ).replace("    raise", "    monkeypatch.setattr(os, 'write', full)\n    raise")
    result = run(source)
    assert result.parseoutcomes() == {"failed": 2}
    result.stdout.fnmatch_lines(["next: run `fetch div2k`", "*the disk is full; make room*"])


@pytest.mark.parametrize(
    ("text", "reason", "next_step"),
    [
        ("a: expected b; found c; do d", "a: expected b; found c", "do d"),
        ("a: expected b; found c", "a: expected b; found c", "see the failure above"),
        ("a went wrong", "a went wrong", "see the failure above"),
        ("a: expected b; found\n  c\nnext: run d;\n  or e", "a: expected b; found c", "run d; or e"),
        ("a; " * 200 + "do d", ("a; " * 65)[:-1] + " ...", "do d"),
    ],
)
def test_a_message_of_many_lines_becomes_reason_and_next_step(text, reason, next_step):
    assert outcome.in_a_line(text) == (reason, next_step)


@pytest.mark.parametrize("where", ["setup", "call"])
def test_an_interrupt_before_anything_was_recorded_says_so(run, where):
    part = "@pytest.fixture\ndef stop():\n    raise KeyboardInterrupt\ndef test_a(stop): pass\n"
    source = HEAD + (part if where == "setup" else "def test_a():\n    raise KeyboardInterrupt\n")
    result = run(source, apart=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["=* sign-off =*", "nothing was recorded"], consecutive=True)


def test_sigterm_ends_the_evidence_as_ctrl_c_does(run, inside):
    source = JUDGED + "def test_stopped():\n    import os, signal\n    os.kill(os.getpid(), signal.SIGTERM)\n"
    assert run(source, apart=True).ret == pytest.ExitCode.INTERRUPTED
    assert kinds(evidence(inside)) == ["run", "verdict", "end"]


def test_the_run_leaves_sigterm_as_it_was(run):
    before = signal.getsignal(signal.SIGTERM)
    run(JUDGED)
    assert signal.getsignal(signal.SIGTERM) is before


FULL = """
import builtins, pytest
@pytest.fixture(autouse=True, scope="session")
def full():
    patch = pytest.MonkeyPatch()
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")
    patch.setattr("pytest_benchmark.session.BenchmarkSession.save_json", refuse)
    patch.setattr("pathlib.Path.write_text", refuse)
    yield
"""


@pytest.mark.parametrize(("source", "status"), [(TIMED, 6), (JUDGED, 6), (TIMED + "    assert False\n", 1)])
def test_a_benchmark_file_that_does_not_fit_is_said_in_a_line(run, inside, source, status):
    inside.makeconftest(FULL)
    result = run(source, "--benchmark-json=out.json", apart=True)
    assert result.ret == status
    said = f"*out.json is not written: No space left on device; what was recorded is in *.jsonl; exit status {status}"
    result.stdout.fnmatch_lines([said])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert not (inside.path / "out.json").exists()
    assert evidence(inside).entries[-1].kind == "end"


def test_a_disk_that_fills_up_fails_the_test_and_is_said(run):
    source = HEAD + "def test_accuracy(judge, monkeypatch):\n    monkeypatch.setattr('os.write', lambda *_: 3)\n"
    source += "    judge(records.verdict())\n"
    result = run(source)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*.jsonl: expected to write evidence; found: 3 of * the disk is full; make room, *--record"]
    )
    assert "EvidenceError" not in result.stdout.str()


def test_evidence_that_cannot_be_ended_is_not_green(run):
    source = "import os\n" + JUDGED + "    os.close(ledger_file())\n"
    source += "def ledger_file():\n    import gc; from reports.ledger import Ledger\n"
    source += "    return next(l._file for l in gc.get_objects() if isinstance(l, Ledger) and l._file)\n"
    result = run(source, apart=True)
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(["*Bad file descriptor*"])


def benchmark_json(path: Path) -> dict:
    return json.loads((path / "out.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))


def test_a_benchmark_carries_its_own_records_and_the_top_the_others(run, inside):
    assert run(TIMED + JUDGED.removeprefix(HEAD), "--benchmark-json=out.json").ret == 0
    document = benchmark_json(inside.path)
    (benchmark,) = document["benchmarks"]
    assert benchmark["extra_info"]["signoff"]["samples_per_second"] == 3.0
    assert [record["kind"] for record in benchmark["extra_info"]["signoff"]["records"]] == ["round", "measurement"]
    top = document["extra_info"]["signoff"]
    assert (top["schema"], [record["kind"] for record in top["records"]]) == (1, ["run", "verdict", "end"])
    carried, kept = read(inside.path / "out.json"), evidence(inside)
    assert len(carried.entries) == len(kept.entries)
    assert all(entry in kept.entries for entry in carried.entries)


@pytest.mark.parametrize("workers", [(), XDIST], ids=["alone", "two workers"])
def test_a_run_without_benchmarks_writes_the_json_it_was_asked_for(run, inside, workers):
    (inside.path / "out.json").write_text("yesterday")
    assert run(JUDGED, "--benchmark-json=out.json", *workers, apart=bool(workers)).ret == 0
    assert benchmark_json(inside.path)["benchmarks"] == []
    assert kinds(read(inside.path / "out.json")) == ["run", "verdict", "end"]


@pytest.mark.parametrize(("source", "status"), [(PLAIN, 6), (HEAD + "def test_a(): pass\n", 6), ("", 5)])
def test_a_json_that_stays_unwritten_is_not_yesterdays_and_the_run_is_not_green(run, inside, source, status):
    (inside.path / "out.json").write_text("yesterday")
    result = run(source, "--benchmark-json=out.json")
    assert result.ret == status
    assert not (inside.path / "out.json").exists()
    if status == 6:
        result.stdout.fnmatch_lines(["--benchmark-json *out.json is not written: no benchmark ran and nothing was *"])


def test_collecting_removes_nothing(run, inside):
    (inside.path / "out.json").write_text("yesterday")
    assert run(JUDGED, "--benchmark-json=out.json", "--collect-only").ret == 0
    assert (inside.path / "out.json").read_text() == "yesterday"


def test_a_failed_benchmark_keeps_its_records(run, inside):
    source = TIMED + "    assert False\n"
    assert run(source, "--benchmark-json=out.json").ret == 1
    assert kinds(read(inside.path / "out.json")).count("measurement") == 1


def test_numbers_that_are_not_finite_fail_the_test_and_stay_out_of_the_json(run, inside):
    source = TIMED + "    benchmark.extra_info['ratio'] = float('nan')\n"
    result = run(source, "--benchmark-json=out.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*EvidenceError: benchmark.extra_info.ratio: expected a finite number, found nan"])
    assert "ratio" not in benchmark_json(inside.path)["benchmarks"][0]["extra_info"]


def test_pytest_benchmark_compares_the_file(run, inside):
    run(TIMED, "--benchmark-json=out.json")
    result = inside.run("pytest-benchmark", "compare", str(inside.path / "out.json"))
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*test_throughput*"])


def test_runs_without_pytest_benchmark(run):
    assert run(JUDGED, "-p", "no:benchmark").ret == 0


def test_record_and_evidence_have_twins(run, inside, monkeypatch):
    monkeypatch.setenv("SIGNOFF_RECORD", "here.jsonl")
    assert run(JUDGED).ret == 0
    assert kinds(read(inside.path / "here.jsonl")) == ["run", "verdict", "end"]


def test_one_file_cannot_be_both_evidence_and_benchmark_json(inside):
    result = inside.runpytest("-p", "reports.plugin", "--record=out.json", "--benchmark-json=out.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*--benchmark-json *out.json: expected another file than --record names; both write it"]
    )
