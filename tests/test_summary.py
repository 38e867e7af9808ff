"""The lines at the end of a run: one per case, and what a figure is said of."""

from __future__ import annotations

from reports import summary
from tests import records


def line(*measurements):
    (found,) = summary.measurement_lines(measurements, ())
    return " ".join(found.split())


def timed(value, metric="throughput", unit="images/s", **details):
    return records.measurement(
        value, metric=metric, unit=unit, samples={}, data={**records.DATA, "described": "8 crops"}, details=details
    )


def test_figures_of_one_case_share_a_line_and_name_their_data_once():
    found = line(timed(10.0), timed(2.5, "device_compute", "ms"))
    assert found.endswith("throughput 10 images/s, device_compute 2.5 ms, 8 crops")


def test_what_a_card_would_reach_is_said_to_be_extrapolated():
    found = line(timed(22.3706, per="device", devices_per_card=4, per_card_extrapolated=89.4824))
    assert "throughput 22.371 images/s (a card: 89.482 images/s, x4, extrapolated from one device)" in found


def test_the_figure_of_a_driven_card_is_said_to_be_one():
    assert "throughput 80 images/s of a card, 4 devices at once" in line(timed(80.0, per="card", devices=4))


def test_what_a_sweep_measured_again_is_told_apart():
    found = line(timed(30.0), timed(24.0, part="edsr-bs1-onnxruntime again"))
    assert "throughput 30 images/s, throughput 24 images/s (measured again), 8 crops" in found


def test_figures_say_once_how_many_rounds_they_are_of_and_what_was_wrong_with_how_many():
    told = {"rounds": 5, "flagged": {"host_busy": 5, "not_steady": 2}}
    found = line(timed(40.3, **told), timed(24.0, "latency", "ms", **told))
    assert found.endswith(
        "throughput 40.3 images/s, latency 24 ms (5 rounds; flags: host busy (5), not steady (2)), 8 crops"
    )


def test_rounds_that_the_budget_cut_short_are_said_of_their_figures():
    told = {"rounds": 2, "cut": "2 of 5 rounds: the budget of 3 min ended"}
    found = line(timed(40.3, **told), timed(24.0, "latency", "ms", **told))
    assert found.endswith("throughput 40.3 images/s, latency 24 ms (2 of 5 rounds: the budget of 3 min ended), 8 crops")


def test_figures_of_other_rounds_are_told_apart():
    again = {"rounds": 4, "part": "edsr-bs1-onnxruntime again"}
    found = line(timed(30.0, rounds=5), timed(24.0, **again), timed(3.0, "latency", "ms", rounds=5))
    assert found.endswith(
        "throughput 30 images/s, latency 3 ms (5 rounds), throughput 24 images/s (measured again; 4 rounds), 8 crops"
    )


def test_figures_on_other_data_name_each():
    whole = records.measurement(33.5, samples={}, data={**records.DATA, "described": "100 images"})
    assert line(timed(30.0), whole).endswith("throughput 30 images/s, 8 crops, psnr 33.5 dB, 100 images")
