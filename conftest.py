"""Wiring only: the plugins that make `pytest -m accuracy` and `pytest -m perf` work here."""

pytest_plugins = ["fixtures.plugin", "reports.plugin", "acceptance.plugin", "bench.plugin"]
