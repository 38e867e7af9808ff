"""The published figures are as their authors printed them; what is concluded from them is worked out, not copied."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import NormalDist

import pytest

from bench import published
from bench.statistics import two_hosts
from fixtures import catalogue
from fixtures.case import Case
from reports.entry import Entry
from reports.evidence import read
from reports.published import figures as module
from reports.published.claims import accuracy_claims, claims
from reports.published.doubts import by_statistic, doubts
from reports.published.entries import RUN, entries
from reports.published.figures import GUIDES, figures, find
from reports.verdict import Verdict

CHECKOUT = Path(__file__).resolve().parents[1]
REFERENCE = CHECKOUT.parent / "shared" / "reference" / "ascend.md"
CLAIMS = {published.name(claim): claim for claim in claims()}
QUANTITIES = {
    "throughput": {"images/s"},
    "device_compute": {"ms"},
    "latency": {"ms"},
    "total_compute": {"s"},
    "ratio": {""},
    "psnr": {"dB"},
    "miou": {"%"},
}


def of(backend: str, batch: int, metric: str, model: str = "enet"):
    found = [
        e.record
        for e in entries()
        if (e.record.case.model, e.record.case.backend, e.record.case.batch, e.record.metric)
        == (model, backend, batch, metric)
    ]
    assert len(found) == 1
    return found[0]


def test_every_figure_is_named_once():
    names = [figure.id for figure in figures()]
    assert len(names) == len(set(names)) == 218


def test_no_figure_stands_in_two_rows():
    keys = [(f.path, f.revision, f.section, f.model, f.input, f.batch, f.best, f.column) for f in figures()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("figure", figures(), ids=lambda figure: figure.id)
def test_a_figure_says_what_it_is_of_and_where_it_stands(figure):
    assert figure.unit in QUANTITIES[figure.quantity]
    assert re.fullmatch(r"\d+(\.\d+)?", figure.printed)
    assert math.isfinite(figure.value)
    assert figure.value > 0
    assert figure.batch is None or figure.batch > 0
    assert figure.path.startswith("ACL_PyTorch/")
    assert figure.revision == "unknown" or re.fullmatch(r"[0-9a-f]{9,40}", figure.revision)
    assert figure.guide not in GUIDES or len(figure.revision) == 40
    assert all((figure.section, figure.tool, figure.estimator, figure.hardware))
    assert figure.tuning in ("none", "AOE", "unknown")
    assert figure.mode in ("whole data set", "pure inference", "unknown")
    assert figure.per in ("device", "card", "chip", "model", "ratio")
    assert figure.extrapolated == (figure.per == "card")
    date.fromisoformat(f"{figure.dated}-01"[:10])
    assert bool(figure.formula) == bool(figure.of)
    assert figure.formula in ("", *module.FORMULAS)


def test_what_follows_from_others_does_so_to_the_last_digit():
    derived = [figure for figure in figures() if figure.formula]
    assert [figure.id for figure in derived if not figure.holds] == []
    assert len([figure for figure in derived if figure.formula == "ratio"]) == 16


def test_four_ratios_are_those_of_figures_before_they_were_rounded():
    ratios = [figure for figure in figures() if figure.formula == "ratio"]
    off = {figure.printed: figure.derived() for figure in ratios if figure.derived() != figure.printed}
    assert off == {
        "14.43480971": "14.43480970",
        "1.485486396": "1.485486395",
        "13.81221129": "13.81221130",
        "1.147796669": "1.147796670",
    }


@pytest.mark.parametrize("figure", [f for f in figures() if f.formula], ids=lambda figure: figure.id)
@pytest.mark.parametrize("direction", [-1, 1])
def test_a_digit_that_was_mistyped_is_noticed(figure, direction):
    """In a ratio only by some units: the rounding of its figures leaves up to two of them open."""
    places = len(figure.printed.partition(".")[2])
    wrong = figure.value + direction * (4 if figure.formula == "ratio" else 1) * 10**-places
    assert not replace(figure, printed=f"{wrong:.{places}f}").holds


def test_a_figure_without_parts_is_not_derived():
    with pytest.raises(ValueError, match="found one that was measured"):
        find("edsr", 1, "310 device").derived()


def test_what_is_not_printed_is_not_a_figure():
    with pytest.raises(LookupError, match="found 0"):
        find("enet", 32, "310")


def test_the_table_of_other_models_is_the_one_that_was_collected():
    """Each printed number of the collection is a figure here, with the batch of its row."""
    if not REFERENCE.is_file():
        pytest.skip("the collection of published figures is not beside this checkout")
    text = REFERENCE.read_text(encoding="utf-8").partition("## 11.")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    known = {(f.batch, f.printed) for f in figures()}
    checked = 0
    for name, batches, *cells, _ in rows[1:]:
        if name == "ENet 480" and "/" not in batches:
            continue  # to two decimals there, in full here
        for cell in cells:
            parts = cell.split(" / ") if " / " in cell else [cell]
            for batch, part in zip(batches.split(" / "), parts, strict=False):
                if (number := re.match(r"[\d.]+", part)) and name != "PSPNet (2022 page)":
                    assert (int(batch), number[0]) in known, (name, batch, part)
                    checked += 1
    assert checked == 159
    enet = [row for row in rows if row[0] == "ENet 480" and "/" not in row[1]]
    for _, batch, *cells, _ in enet:
        for column, cell in zip(("310", "310P3", "310P3 (aoe)", "T4"), cells, strict=True):
            if cell[0].isdecimal():
                assert f"{find('enet', int(batch), column).value:.2f}" == cell


def test_at_least_thirty_rows_of_other_pages_are_here():
    assert len({(f.path, f.revision, f.input, f.batch) for f in figures() if f.guide == "others"}) >= 60


def test_the_claims_are_those_of_the_rules_of_the_same_name():
    known = catalogue.entries("rule")
    shared = [claim for claim in claims() if claim.rule in known]
    assert len(shared) == 5
    for claim in shared:
        rule = catalogue.find("rule", claim.rule)
        assert (rule.required, rule.at_least) == (claim.required, claim.at_least)
        case, other = published.as_printed(claim).case, published.as_printed(claim).against
        assert (case.backend, other.backend) == (rule.candidate.backend, rule.baseline.backend)
        assert rule.baseline.per_card == (claim.other.per == "card")
        assert rule.candidate.per_card == (claim.better.per == "card")


@pytest.mark.parametrize(
    ("name", "printed", "status", "ratio"),
    [
        ("edsr-256-bs1-ascend310-over-t4", "passed", "undecided", 1.0424),
        ("enet-bs1-ascend310p-over-ascend310", "passed", "undecided", 1.2617),
        ("enet-bs16-ascend310p-over-ascend310", "passed", "passed", 1.5175),
        ("enet-bs1-ascend310p-over-ascend310-untuned", "failed", "failed", 0.8867),
        ("enet-bs16-ascend310p-over-ascend310-untuned", "failed", "failed", 0.9169),
        ("enet-bs1-ascend310p-over-t4", "passed", "passed", 11.7245),
    ],
)
def test_a_claim_and_its_evidence_are_judged_as_the_protocol_states(name, printed, status, ratio):
    claim = CLAIMS[name]
    found, judged = published.as_printed(claim), published.opinion(claim)
    assert (found.status, judged.status) == (printed, status)
    assert round(found.observed, 4) == round(judged.observed, 4) == ratio
    assert found.subject == f"{name}-as-printed"
    assert judged.subject == name
    half = (judged.details["upper"] - judged.details["lower"]) / 2
    assert half == pytest.approx(0.139, abs=5e-4)


def test_edsr_is_undecided_even_at_the_deviation_of_a_locked_clock():
    half = NormalDist().inv_cdf(0.975) * math.hypot(0.02, 0.02)
    assert half == pytest.approx(0.055, abs=5e-4)
    beyond = math.log(CLAIMS["edsr-256-bs1-ascend310-over-t4"].ratio)
    assert beyond == pytest.approx(0.0415, abs=5e-5)
    assert 0 < beyond < half
    excess = math.log(CLAIMS["enet-bs1-ascend310p-over-ascend310"].ratio / 1.2)
    assert excess == pytest.approx(0.0501, abs=5e-5)
    assert 0 < excess < half
    assert two_hosts.UNREPLICATED_C0 == 0.05


def test_a_claim_of_other_digits_fails():
    claim = CLAIMS["edsr-256-bs1-ascend310-over-t4"]
    wrong = replace(claim, better=replace(claim.better, printed="89.4825"))
    verdict = published.as_printed(wrong)
    assert verdict.status == "failed"
    assert "prints 89.4825, its parts give 89.4824" in verdict.reason
    assert published.as_printed(replace(claim, required=1.1)).status == "failed"


def test_the_t4_wins_by_the_fastest_execution_of_its_log():
    told = by_statistic(find("edsr", 1, "T4"))
    assert {name: round(told[name], 2) for name in ("minimum", "mean", "median")} == {
        "minimum": 89.61,
        "mean": 85.32,
        "median": 85.85,
    }
    assert told["minimum"] > find("edsr", 1, "310").value > told["median"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "edsr-256-bs1-ascend310-over-t4",
            [
                "no raw samples, one copied figure each",
                "a mean of 20 rounds against a median of 258 executions",
                "by its own mean T4 has 85.325",
                "by its minimum 89.611, and wins",
                "310 x4 from one device",
                "accuracy at 1020 px, speed at 256 px",
            ],
        ),
        (
            "enet-bs1-ascend310p-over-ascend310",
            ["no raw samples, one copied figure each", "310 x4 from one device", "tuned (AOE) against untuned"],
        ),
        (
            "enet-bs16-ascend310p-over-ascend310-untuned",
            ["no raw samples, one copied figure each", "310 x4 from one device"],
        ),
        (
            "enet-bs1-ascend310p-over-t4",
            [
                "no raw samples, one copied figure each",
                "a mean against one that is not told",
                "tuned (AOE) against untuned",
                "T4 flat in batch: 88.81 at 1, 76.634 at 32, as a model that does not batch",
            ],
        ),
    ],
)
def test_the_doubts_are_found_in_the_data(name, expected):
    claim = CLAIMS[name]
    assert list(doubts(claim.better, claim.other)) == expected
    assert all(doubt in published.opinion(claim).reason for doubt in expected)


def test_a_t4_that_gains_from_batches_is_not_doubted():
    gains = [f for f in figures() if (f.guide, f.model, f.input, f.column) == ("others", "RDN", "114", "T4")]
    assert not any("flat" in doubt for doubt in doubts(gains[0], gains[0]))


def test_accuracy_is_within_one_percent_in_both_guides():
    found = [(claim.found.printed, f"{100 * claim.drop:.4f}") for claim in accuracy_claims()]
    assert found == [("34.606869807078574", "0.0090"), ("54.115", "0.9373"), ("54.115", "0.9373")]
    assert all(published.accuracy(claim).passed for claim in accuracy_claims())
    assert not published.accuracy(replace(accuracy_claims()[1], limit=0.009)).passed


def test_no_verdict_on_a_guide_can_be_taken_for_one_on_an_engine():
    """A comparison asks for a passed verdict called accuracy."""
    rules = {published.accuracy(claim).rule for claim in accuracy_claims()}
    assert rules == {"accuracy_as_printed"}


def test_best_batches_are_refused_and_named():
    assert published.best_batch().status == "refused"
    assert "310 to batch 16, 310P3 to batch 32" in published.best_batch().reason
    assert "310 at batch 1, 310P3 at batch 4, 310P3 (aoe) at batch 4, T4 at batch 1" in published.row(None).reason


def test_the_figures_are_sound_evidence_of_a_run_without_an_environment():
    assert {entry.run for entry in entries()} == {RUN}
    again = [Entry.from_dict(json.loads(json.dumps(entry.as_dict()))) for entry in entries()]
    assert [entry.as_dict() for entry in again] == [entry.as_dict() for entry in entries()]
    assert {entry.record.source for entry in entries()} == {"published"}
    assert not any(entry.record.engine or entry.record.data for entry in entries())
    assert all(entry.record.details["provenance"]["revision"] for entry in entries())


def test_what_a_guide_does_not_tell_is_left_out_and_never_alike():
    assert not [e for e in entries() if "unknown" in (e.record.details.get(n) for n in ("mode", "statistic", "tuning"))]
    assert "mode" not in of("t4_trtexec", 1, "throughput").details
    assert of("ascend310", 1, "throughput").details["mode"] == "whole data set"


def test_every_verdict_on_a_guide_says_that_it_is_of_published_figures():
    verdicts = [judge(claim) for claim in claims() for judge in (published.as_printed, published.opinion)]
    verdicts += [published.accuracy(claim) for claim in accuracy_claims()]
    verdicts += [published.best_batch(), published.row(None), published.row(1)]
    assert {verdict.details["source"] for verdict in verdicts} == {"published"}


def test_the_figures_are_the_same_evidence_every_time():
    before = [entry.record.id for entry in entries()]
    entries.cache_clear()
    assert [entry.record.id for entry in entries()] == before
    assert len(set(before)) == len(before)


def test_every_case_has_one_figure_of_a_kind():
    keys = [(entry.record.case, entry.record.metric) for entry in entries()]
    assert len(keys) == len(set(keys))
    cases = {case for case, _ in keys}
    assert Case("official", "edsr", 256, 1, "ascend310") in cases
    assert {case.id for case in cases} >= {"edsr-256-bs1-t4_trtexec", "enet-bs32-ascend310p_aoe"}
    assert "enet-bs32-ascend310" not in {case.id for case in cases}
    assert len(cases) == 2 + 4 + 3 * 5


def test_a_card_is_given_as_one_of_its_devices():
    card = of("ascend310", 1, "throughput", "edsr")
    assert card.value == pytest.approx(22.3706)
    assert card.details["per_card_extrapolated"] == 89.4824
    compute = of("ascend310", 1, "device_compute", "edsr")
    assert compute.value == pytest.approx(44.7015, abs=5e-5)
    assert {name: compute.details[name] for name in ("per", "devices_per_card", "extrapolated")} == {
        "per": "device",
        "devices_per_card": 4,
        "extrapolated": True,
    }
    assert "statistics_ms" not in compute.details


def test_compute_is_of_a_whole_batch_and_gives_the_rate_back():
    for backend, column, devices in (("ascend310", "310", 4), ("ascend310p", "310P3", 1)):
        compute = of(backend, 16, "device_compute")
        assert devices * 16 / (compute.value / 1000) == pytest.approx(find("enet", 16, column).value)


def test_the_t4_log_gives_all_its_statistics():
    compute = of("t4_trtexec", 1, "device_compute", "edsr")
    assert compute.value == 11.7199
    assert compute.details["statistics_ms"] == {
        "min": 11.1594,
        "max": 16.341,
        "mean": 11.7199,
        "median": 11.6487,
        "p99": 15.5259,
    }
    assert of("t4_trtexec", 1, "throughput", "edsr").value == 85.8465


def test_a_t4_whose_estimator_is_not_told_has_no_compute():
    assert not [e for e in entries() if e.record.case.id == "enet-bs1-t4_trtexec" and e.record.metric != "throughput"]


def test_the_page_has_the_verdicts_as_they_come_out():
    page = (CHECKOUT / "docs" / "published.md").read_text(encoding="utf-8")
    for claim in claims():
        judged = published.opinion(claim)
        low, high = (math.exp(judged.details[end]) for end in ("lower", "upper"))
        row = f"| {claim.ratio:.4f} | {claim.limit} | {judged.status}, [{low:.3f}, {high:.3f}] |"
        assert row in page, row


def test_every_figure_on_the_page_is_a_published_or_a_derived_one():
    page = (CHECKOUT / "docs" / "published.md").read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    opinions = [published.opinion(claim) for claim in claims()]
    known = {figure.printed for figure in figures()} | {figure.derived() for figure in figures() if figure.formula}
    known |= {f"{value:.{n}f}" for figure in figures() for value in [figure.value] for n in (2, 3, 4)}
    known |= {f"{value:.{n}f}" for v in by_statistic(find("edsr", 1, "T4")).values() for value in [v] for n in (2, 4)}
    known |= {f"{claim.ratio:.{n}f}" for claim in claims() for n in (3, 4)}
    known |= {f"{math.exp(v.details[end]):.3f}" for v in opinions for end in ("lower", "upper")}
    known |= {f"{100 * claim.drop:.4f}" for claim in accuracy_claims()}
    known |= {f"{claim.reference.value - claim.found.value:.3f}" for claim in accuracy_claims()}
    known |= {f"{NormalDist().inv_cdf(0.975) * math.hypot(c0, c0):.3f}" for c0 in (0.02, 0.05)}
    known |= {f"{math.log(claim.ratio / claim.required):.4f}" for claim in claims()}
    known |= {"44.7015", "32.76", "1.2", f"{89.4824 / by_statistic(find('edsr', 1, 'T4'))['mean']:.4f}"}
    versions = {"7.2.3", "7.2", "7.3", "7.1", "6.2", "5.2", "5.1"}
    found = set(re.findall(r"(?<![\w.])\d+\.\d+(?:\.\d+)*", prose))
    assert found - known - versions == set()


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in the checkout; evidence goes to `published.jsonl`."""
    known = {key: value for key, value in os.environ.items() if not key.startswith(("SIGNOFF_", "PYTEST_"))}
    record = f"--record={folder / 'published.jsonl'}"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", record, *arguments],
        cwd=CHECKOUT,
        env=known,
        capture_output=True,
        text=True,
        check=False,
    )


AS_EVIDENCE = (
    *("bench/test_comparison.py", "--judge-only", "--profile=official"),
    *("--model=edsr,enet", "--batch=1", "--evidence=published"),
)
EVERYWHERE = {"model", "precision", "data", "protocol", "exclusivity", "versions", "accuracy"}


def compared(folder: Path) -> dict[str, Verdict]:
    found = [entry.record for entry in read(folder / "published.jsonl").entries]
    return {each.subject: each for each in found if isinstance(each, Verdict)}


def test_as_evidence_the_figures_are_refused_for_what_no_page_tells(tmp_path):
    done = run(tmp_path, *AS_EVIDENCE)
    assert done.returncode == 1, done.stdout + done.stderr
    expected = {
        "edsr-256-bs1-ascend310-over-t4": {"statistic", "graph"},
        "enet-bs1-ascend310-over-t4": {"statistic", "mode", "section"},
        "enet-bs1-ascend310p-over-ascend310": {"statistic"},
        "enet-bs1-ascend310p-over-ascend310-untuned": {"statistic"},
    }
    found = compared(tmp_path)
    assert found.keys() == expected.keys()
    page = (CHECKOUT / "docs" / "published.md").read_text(encoding="utf-8")
    for name, verdict in found.items():
        assert verdict.status == "refused"
        told = verdict.reason.partition("; host wall with transfers not compared")[0]
        axes = set(verdict.details["refused"])
        grouped = "a published figure: no engine, no data, no rounds (model, precision, data, "
        assert told.startswith(f"candidate and baseline: {grouped}")
        assert all(axis in told for axis in axes)
        assert axes == EVERYWHERE | expected[name], told
        assert all(f"`{axis}`" in page for axis in axes)
        assert [verdict.details[side]["source"] for side in ("candidate", "baseline")] == ["published"] * 2
    assert "judged by no test: the given evidence of " in done.stdout
    assert "enet-bs32-ascend310p_aoe (official)" in done.stdout


def test_what_is_let_through_is_judged_by_the_rule_for_unreplicated_figures(tmp_path):
    allowed = [f"--allow={axis}=no page tells" for axis in sorted(EVERYWHERE | {"statistic", "graph"})]
    done = run(tmp_path, *AS_EVIDENCE, *allowed)
    assert done.returncode == 1, done.stdout + done.stderr
    found = compared(tmp_path)
    assert found.pop("enet-bs1-ascend310-over-t4").status == "refused"  # nobody knows its compute time
    for name, verdict in found.items():
        opinion = published.opinion(CLAIMS[name])
        assert verdict.status == opinion.status
        assert "; unreplicated: candidate published, baseline published; " in verdict.reason
        (decided,) = verdict.details["decided_by"].values()  # by the mean alone
        half = math.log(decided["high"] / decided["low"]) / 2
        assert half == pytest.approx((opinion.details["upper"] - opinion.details["lower"]) / 2, rel=1e-3)


def test_a_run_of_the_claims_is_green_and_shows_what_the_rules_think(tmp_path):
    done = run(tmp_path, "-m", "published", "bench/test_published.py")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    subject = "edsr-256-bs1-ascend310-over-t4"
    assert any(line.split()[:2] == ["undecided", subject] and "by interval: 1.0424" in line for line in lines)
    passed = [line for line in lines if line.split()[:2] == ["passed", f"{subject}-as-printed"]]
    assert "89.4824 > 85.8465 images/s, as the guide prints it" in passed[0]
