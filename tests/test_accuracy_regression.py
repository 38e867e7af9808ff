"""Tonight's figure is held against the accepted one image by image; what fell, changed or is gone is named."""

from __future__ import annotations

import dataclasses
import math
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from acceptance import nights
from acceptance.nights import Gone, tonight
from acceptance.regression import RULE, Baseline, judge, pair
from fixtures import catalogue
from fixtures.case import Case
from fixtures.selection import Selection
from reports.__main__ import main as reports
from reports.acceptance import Acceptance
from reports.entry import Entry
from reports.evidence import read
from reports.history import History
from reports.ledger import Ledger
from reports.measurement import Measurement
from reports.verdict import Verdict
from tests import campaigns, records, tiny
from tests.test_digits import DIGITS, Run, judged

LATEST = "the latest accepted"
decibels = st.dictionaries(st.text(min_size=1, max_size=4), st.floats(10, 60), min_size=1, max_size=30)
shares = st.floats(0.0012, 0.5)


def figure(samples: dict[str, float], value: float | None = None, **changes: Any) -> Measurement:
    """Return a PSNR: the mean of its images, or a value of its own as where pixels are pooled."""
    finite = [each for each in samples.values() if math.isfinite(each)]
    mean = math.fsum(finite) / len(finite) if finite else 30.0
    return records.measurement(mean if value is None else value, samples=samples, **changes)


def verdict(now: Measurement, then: Measurement, times: int = 1, *remarks: str) -> Verdict:
    return judge(now, Baseline(then, LATEST, "by ada on 2026-01-02", times), remarks)


@settings(deadline=None)  # the first example imports scipy
@given(decibels)
def test_equal_figures_pass_as_equal_on_every_image(samples):
    found = verdict(figure(samples), figure(samples))
    assert found.status == "passed"
    assert "equal on every image to the latest accepted, by ada on 2026-01-02" in found.reason
    assert found.details == {"fell_most_from_accepted": "no image fell"}


@settings(deadline=None)
@given(decibels, shares, st.booleans(), st.sampled_from([1, 2]))
def test_a_fall_of_all_images_by_more_than_the_tolerance_fails_though_the_pooled_figure_hides_it(
    samples, share, pooled, times
):
    then = figure(samples)
    shift = times * share * then.value
    fell = {name: value - shift for name, value in samples.items()}
    now = figure(fell, then.value if pooled and len(samples) > 1 else None)
    found = verdict(now, then, times)
    assert found.status == "failed"
    assert found.margin < 0
    assert ("which the figure of all hides" in found.reason) == (pooled and len(samples) > 1)


@settings(deadline=None)
@given(decibels, st.floats(0, 0.0009), st.sampled_from([1, 2]))
def test_a_fall_within_the_tolerance_passes_and_twice_that_against_the_oldest(samples, share, times):
    then = figure(samples)
    now = figure({name: value - times * share * then.value for name, value in samples.items()})
    assert verdict(now, then, times).passed


@settings(deadline=None)
@given(decibels, st.lists(st.floats(-3, 3), min_size=30, max_size=30), st.randoms())
def test_the_order_of_the_images_does_not_matter(samples, changes, shuffler: random.Random):
    now = {name: value + change for (name, value), change in zip(samples.items(), changes, strict=False)}
    names = list(samples)
    shuffler.shuffle(names)
    one = verdict(figure(now), figure(samples))
    other = verdict(figure({name: now[name] for name in names}), figure(samples))
    assert replace(one, measurements=()) == replace(other, measurements=())


@settings(deadline=None)
@given(decibels, st.floats(0, 20))
def test_what_did_not_fall_never_fails(samples, gain):
    then = figure(samples)
    now = figure({name: value + gain for name, value in samples.items()})
    found = verdict(now, then)
    assert found.passed
    assert ("find out why" in found.reason) == (now.value - then.value > 0.01 * then.value)


def test_one_image_that_fell_alone_is_named_and_fails_nothing():
    samples = {f"{number:02}.png": 60.0 + number for number in range(20)}
    fell = {**samples, "07.png": 40.0}
    found = verdict(figure(fell, value=55.0), figure(samples, value=55.0))
    assert found.passed
    assert "1 of 20 images fell and 0 rose, most 07.png by 27 dB" in found.reason
    assert found.details["fell_most_from_accepted"] == {"07.png": "27 dB (67 -> 40)"}
    assert found.details["worst"] == {"07.png": 40.0}


def test_the_pooled_figure_fails_by_itself_though_images_rose():
    samples = {"a": 50.0, "b": 60.0}
    found = verdict(figure({"a": 51.0, "b": 61.0}, value=54.9), figure(samples, value=55.0))
    assert found.status == "failed"
    assert found.required == pytest.approx(54.945)
    assert found.margin == pytest.approx(-0.045)
    assert "0.182 % below the latest accepted, by ada on 2026-01-02: 55.000 dB" in found.reason


def test_the_interval_is_that_of_paired_differences():
    scipy = pytest.importorskip("scipy.stats")
    then, now = [31.0, 32.5, 30.2, 35.1], [30.8, 32.6, 30.0, 34.6]
    named = [{str(place): value for place, value in enumerate(values)} for values in (now, then)]
    expected = scipy.ttest_rel(now, then).confidence_interval(0.99)
    assert pair(*map(figure, named)).interval == pytest.approx((expected.low, expected.high))


def test_a_single_image_has_no_interval():
    assert pair(figure({"a": 30.0}), figure({"a": 31.0})).interval is None


def test_an_image_that_no_longer_equals_its_target_does_not_lift_the_figure():
    then, now = {"a": 30.0, "b": 32.0, "c": math.inf}, {"a": 28.9, "b": 32.1, "c": 90.0}
    found = verdict(figure(now), figure(then))
    assert pair(figure(now), figure(then)).interval[1] > 0  # so that it is the figure that fails
    assert figure(now).value > figure(then).value
    assert found.status == "failed"
    assert "left out, as they equal their target on one night only: c" in found.reason
    assert found.required is None
    assert found.as_dict()


def test_an_image_that_always_equals_its_target_is_no_difference():
    samples = {"a": 30.0, "b": math.inf}
    assert "equal on every image" in verdict(figure(samples), figure(samples)).reason
    assert verdict(figure({**samples, "a": 29.0}), figure(samples)).status == "failed"


DATA = records.DATA


@pytest.mark.parametrize(
    ("now", "then", "said"),
    [
        ({"data": {**DATA, "digest": "ef" * 32}}, {}, f"digest {'cd' * 8} then, {'ef' * 8} now"),
        ({"data": {**DATA, "digest": f"{'cd' * 32}@4of8"}}, {}, f"digest {'cd' * 8} then, {'cd' * 8}@4of8 now"),
        ({"data": {**DATA, "dataset": "set5"}}, {}, "data set div2k then, set5 now"),
        ({"case": records.case(profile="official")}, {}, "profile sample then, official now"),
        ({"case": records.case(size=256)}, {}, "size 1020 then, 256 now"),
        ({"data": {}}, {"data": {}}, "does not tell on which data"),
        ({"samples": {"a": 30.0}}, {}, "not the same images: missing: b"),
        ({"samples": {"a": 30.0, "b": 31.0, "c": 1.0}}, {}, "not the same images: not accepted: c"),
        ({"samples": {"a": math.nan, "b": 31.0}}, {}, "tonight's figures of a are no numbers"),
        ({}, {"samples": {"a": -math.inf, "b": 31.0}}, "the accepted figures of a are no numbers"),
        ({"value": math.nan}, {}, "tonight's figure is nan"),
        ({}, {"value": 0.0}, "nothing is a fraction of that"),
        ({"samples": {"a": math.inf, "b": 1.0}}, {"samples": {"a": 1.0, "b": math.inf}}, "no image has a finite"),
        ({"samples": {}}, {"samples": {}}, "no image has a finite"),
    ],
)
def test_what_cannot_be_paired_is_refused_and_both_sides_named(now, then, said):
    samples = {"a": 30.0, "b": 31.0}
    figures = [dataclasses.replace(figure(samples), **changes) for changes in (now, then)]
    found = verdict(*figures)
    assert found.status == "refused"
    assert said in found.reason
    assert LATEST in found.reason


@settings(deadline=None)
@given(decibels, decibels)
def test_figures_of_other_images_are_refused(now, then):
    assume(now.keys() != then.keys())
    assert verdict(figure(now), figure(then)).status == "refused"


def test_what_changed_is_named():
    recipe = {"checkpoint": "c" * 64, "network": "n" * 64, "toolchain": {"onnxruntime": "1.30.0"}}
    then = figure({"a": 1.0}, engine={**records.ENGINE, "recipe": recipe})
    recipe = {**recipe, "checkpoint": "d" * 64, "toolchain": {"onnxruntime": "1.31.1"}}
    now = figure({"a": 1.0}, engine={**records.ENGINE, "sha256": "ef" * 32, "recipe": recipe})
    stable = {"os": "x", "kernel": "y", "python": "3.11", "packages": {"onnxruntime": "1.30.0"}, "variables": {}}
    before = {"stable": stable, "harness": {"revision": "1" * 40}}
    after = {
        "stable": {**stable, "kernel": "z", "packages": {"onnxruntime": "1.31.1"}},
        "harness": {"revision": "2" * 40},
    }
    assert nights.changed(now, then, after, before) == [
        "engine abababab -> efefefef",
        "checkpoint cccccccc -> dddddddd",
        "harness 11111111 -> 22222222",
        "kernel y -> z",
        "onnxruntime 1.30.0 -> 1.31.1",
    ]
    assert nights.changed(then, then, before, before) == []


def night_of(tmp_path: Path, value: float) -> list[Verdict]:
    """Judge a night with every image at a value, by what was accepted below `tmp_path`."""
    case = tiny.case()
    ledger = Ledger(tmp_path / "evidence.jsonl")
    ledger.add(records.measurement(value, case=case, metric="top1", samples={"a": value, "b": value}))
    taken = SimpleNamespace(measurements=(ledger.measurements[0].id,))
    evaluations: Any = SimpleNamespace(ledger=ledger, take=lambda case: taken, advised=lambda case, verdict: verdict)
    return nights.Nights(History(tmp_path / "accepted"), evaluations, lambda case: None).verdicts(case)


def test_creep_is_found_against_the_oldest_accepted_of_the_release(grid, tmp_path):
    for day, value, release in (("01", 60.0, "1"), ("02", 50.0, "2"), ("03", 49.955, "2"), ("04", 49.91, "2")):
        accept(tmp_path / "accepted", tiny.case(), day=day, value=value, release=release)
    passed = night_of(tmp_path, 49.901)
    assert [found.status for found in passed] == ["passed", "passed"]
    failed, latest = night_of(tmp_path, 49.899)
    assert (failed.status, failed.required) == ("failed", pytest.approx(49.9))
    assert "0.202 % below the oldest accepted of its release, by ada on" in failed.reason
    assert failed.gate.startswith("at most 0.2 % below the oldest accepted of its release, 50.000 dB")
    assert latest.status == "passed"
    assert latest.gate.startswith("at most 0.1 % below the latest accepted, 49.910 dB")


@pytest.fixture
def grid(tmp_path):
    """Return a selection of the tiny model, whose catalogue this process knows for a while."""
    with tiny.extended(tiny.write(tmp_path / "catalogue")) as folder:
        yield Selection("sample", ("tiny",), ("onnxruntime",), (), (), (), {}, {}, None, None, (folder,))


def accept(folder: Path, case: Case, metric: str = "top1", day: str = "01", value: float = 50.0, release="") -> None:
    """Publish a figure of a case."""
    taken, samples = f"2026-01-{day}T00:00:00+00:00", {"a": value, "b": value}
    found = records.measurement(value, case=case, metric=metric, samples=samples, taken=taken)
    entries = [*campaigns.run(day, found), Entry(day, Acceptance(case, "ada", "why", release))]
    folder.mkdir(exist_ok=True)
    campaigns.write(folder / f"{case.id}-{metric}-{day}.jsonl", *entries)


def test_what_was_accepted_is_compared_and_at_night_everything_is(grid, tmp_path):
    accepted = tmp_path / "accepted"
    assert tonight(grid, History(accepted), every_night=False) == []
    accept(accepted, tiny.case(batch=4))
    assert tonight(grid, History(accepted), every_night=False) == [tiny.case(batch=4)]
    assert tonight(grid, History(accepted), every_night=True) == [tiny.case(batch=1), tiny.case(batch=4)]


def test_what_was_accepted_for_its_speed_alone_has_nothing_to_compare(grid, tmp_path):
    accept(tmp_path / "accepted", tiny.case(), metric="throughput")
    accept(tmp_path / "accepted", replace(tiny.case(), model="gone"), metric="throughput")
    history = History(tmp_path / "accepted")
    assert tonight(grid, history, every_night=False) == []
    assert tonight(grid, history, every_night=True) == [tiny.case(batch=1), tiny.case(batch=4)]


@pytest.mark.parametrize(
    "changes", [{"model": "gone"}, {"backend": "gone"}, {"batch": 3}, {"size": 5}, {"backend": "gone~emulated"}]
)
def test_a_case_that_is_gone_is_noticed_at_night(grid, tmp_path, changes):
    case = replace(tiny.case(), **changes)
    accept(tmp_path / "accepted", case)
    found = tonight(replace(grid, backends=()), History(tmp_path / "accepted"), every_night=True)
    assert [each for each in found if isinstance(each, Gone)] == [Gone(case)]


def test_a_model_that_has_the_profile_no_more_is_gone(grid, tmp_path):
    case = replace(tiny.case(), profile="official")
    accept(tmp_path / "accepted", case)
    official = replace(grid, profile="official", models=())
    assert tonight(official, History(tmp_path / "accepted"), every_night=True) == [Gone(case)]


@pytest.mark.parametrize(
    "changes",
    [{"backends": ("openvino",)}, {"batches": (1,)}, {"data": {"vectors": Path("other")}}, {"profile": "official"}],
)
def test_a_case_that_was_not_asked_for_is_not_gone(grid, tmp_path, monkeypatch, changes):
    if "data" in changes:  # of another size than the profile's
        monkeypatch.setattr(catalogue.find("data set", "vectors"), "size", lambda folder: 5, raising=False)
    accept(tmp_path / "accepted", tiny.case(batch=4))
    if "profile" in changes:
        accept(tmp_path / "accepted", replace(tiny.case(), model="gone"))
        grid = replace(grid, models=())
    found = tonight(replace(grid, **changes), History(tmp_path / "accepted"), every_night=True)
    assert not [each for each in found if isinstance(each, Gone)]


@pytest.fixture
def digits(tmp_path, capsys):
    """Return a function that runs a night of the digits, and one that accepts its evidence."""
    folder = tmp_path / "copied"
    shutil.copytree(DIGITS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    accepted, count = tmp_path / "accepted", iter(range(9))
    accepted.mkdir()

    def run(*arguments: str, model: str = "digits") -> Run:
        options = (f"--catalogue={folder}", f"--history={accepted}", f"--model={model}", "--batch=1", "-m", "accuracy")
        return judged(tmp_path / f"night{next(count)}", *options, "--backend=onnxruntime", *arguments)

    def accept(number: int, *arguments: str) -> None:
        evidence = str(tmp_path / f"night{number}" / "evidence.jsonl")
        places = [f"--into={accepted}", f"--engine-cache={tmp_path / 'home' / 'engines'}"]
        assert reports(["accept", evidence, "--by=ada", "--why=first", *places, *arguments]) == 0, capsys.readouterr()

    return folder, run, accept


def of_the_rule(run: Run) -> list[Verdict]:
    return [found for found in run.kind("Verdict") if found.rule == RULE]


def test_nights_from_the_first_to_one_with_a_fault(digits):
    folder, run, accept = digits
    first = run("--effort=nightly")
    assert first.status == 7, first.output
    (found,) = of_the_rule(first)
    assert (found.status, found.observed) == ("undecided", 97.8)
    assert re.search(r"python -m reports accept \S+ --by=NAME --why=TEXT", found.reason)

    accept(0)
    same = run("--effort=nightly")
    assert same.status == 0, same.output
    (found,) = of_the_rule(same)
    assert found.status == "passed"
    assert "equal on every image to the latest accepted, by ada on" in found.reason
    assert found.reason.endswith("nothing changed since")
    (measured,) = same.kind("Measurement")  # one pass for the three of them
    assert found.measurements[0] == measured.id
    assert list(dict.fromkeys(re.findall(r"::(test_\w+)\[digits-bs1-onnxruntime\] ", same.output))) == [
        "test_accuracy",
        "test_parity",
        "test_accuracy_regression",
    ]

    dataset = folder / "fixtures" / "datasets" / "digits.py"
    text = dataset.read_text()
    assert text.count("(images[int(name)],)") == 1
    dataset.write_text(text.replace("(images[int(name)],)", "(images[int(name)].clip(0, 13),)"))
    faulty = run()
    assert faulty.status == 1, faulty.output
    assert faulty.verdicts("accuracy") == {"digits-bs1-onnxruntime": "passed"}  # its gate is ten times as wide
    (found,) = of_the_rule(faulty)
    assert (found.status, found.observed) == ("failed", 97.2)
    assert "0.613 % below the latest accepted, by ada on" in found.reason
    assert "must hold at most 0.1 % below the latest accepted, 97.800 points" in " ".join(faulty.output.split())
    assert "fell most from accepted" in faulty.output


def test_a_renamed_model_is_refused_at_night_and_its_accepted_figure_named(digits, tmp_path):
    folder, run, _ = digits
    accept(tmp_path / "accepted", Case("sample", "digits", 8, 1, "onnxruntime"))
    models = folder / "fixtures" / "models"
    text = (models / "digits.py").read_text()
    (models / "figures.py").write_text(text.replace('name="digits"', 'name="figures"'))
    (models / "digits.py").unlink()
    renamed = run("--effort=nightly", model="figures")
    assert renamed.status == 1, renamed.output
    found = {verdict.case.id: verdict for verdict in of_the_rule(renamed)}
    assert {name: each.status for name, each in found.items()} == {
        "digits-bs1-onnxruntime": "refused",
        "figures-bs1-onnxruntime": "undecided",
    }
    assert "there is no such case any more; was it renamed?" in found["digits-bs1-onnxruntime"].reason


def test_what_cannot_run_tonight_and_was_accepted_is_refused(tmp_path):
    accept(tmp_path / "accepted", tiny.case("absent"))
    options = ("-m", "accuracy", "--model=tiny", "--batch=1", "--effort=nightly", f"--history={tmp_path / 'accepted'}")
    done = tiny.run_pytest(tmp_path, *options, "-k", "absent")
    assert done.returncode == 1, done.stdout + done.stderr
    (found,) = [e.record for e in read(tmp_path / "evidence.jsonl").entries if isinstance(e.record, Verdict)]
    assert found.status == "refused"
    assert "accepted before, and not run tonight: its driver is not installed; install the driver" in found.reason


def test_outputs_that_are_not_finite_fail(tmp_path):
    accept(tmp_path / "accepted", tiny.case("faulty"))
    options = ("-m", "accuracy", "--model=tiny", "--backend=faulty", "--batch=1", f"--history={tmp_path / 'accepted'}")
    tiny.run_pytest(tmp_path, *options, FAULT="", OFFSET="nan")
    entries = read(tmp_path / "evidence.jsonl").entries
    (found,) = [e.record for e in entries if isinstance(e.record, Verdict) and e.record.rule == RULE]
    assert (found.status, found.reason) == (
        "failed",
        "NaN or infinity in the output of 12 of 12 images of vectors, first 00.json",
    )
