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
