from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from acceptance.reference import BrokenReferenceError, References, reference_backend
from fixtures import catalogue
from fixtures.runtime import Missing
from fixtures.runtimes.onnxruntime import OnnxRuntime, OnnxRuntimeSession
from tests import tiny


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGNOFF_LOCKS", str(tmp_path / "locks"))
    with tiny.extended(tiny.write(tmp_path / "catalogue")) as folder:
        yield folder


@pytest.fixture
def session(folder, tmp_path):
    """Return what starts a session of the harness on one store, like another run of pytest."""
    workshops = []

    def end():
        for workshop in workshops:
            workshop.pool.close()

    def start(subset=None):
        end()
        workshops.append(tiny.workshop(folder, tmp_path / "store", subset))
        workshop = workshops[-1]
        return References(workshop.sources, workshop.pool, workshop.progress), workshop.feed(tiny.case())

    yield start
    end()


@pytest.fixture
def runs(monkeypatch):
    """Count what goes through an engine."""
    counted = []
    run = OnnxRuntimeSession.run
    monkeypatch.setattr(OnnxRuntimeSession, "run", lambda self, inputs: counted.append(1) or run(self, inputs))
    return counted


def test_computes_figure_and_outputs_of_every_image(session, runs):
    references, feed = session()
    found = references.get(tiny.case(), feed)
    assert found.result.value == pytest.approx(tiny.FIGURE)
    assert found.origin.startswith("onnxruntime ")
    assert sorted(found.outputs) == list(feed.names)
    for name in feed.names:
        np.testing.assert_array_equal(found.outputs[name], feed.load(name).inputs[0][:3])
    assert len(runs) == tiny.IMAGES


def test_is_computed_once_for_all_batches_and_backends(session, runs):
    references, feed = session()
    first = references.get(tiny.case(), feed)
    assert references.get(tiny.case("faulty", 5), feed) is first
    assert len(runs) == tiny.IMAGES


def test_is_kept_and_found_by_a_second_session(session, runs):
    references, feed = session()
    first = references.get(tiny.case(), feed)
    again, feed = session()
    second = again.get(tiny.case(), feed)
    assert len(runs) == tiny.IMAGES
    assert second.result == first.result
    assert again.fresh == {}
    np.testing.assert_array_equal(second.outputs["00.json"], first.outputs["00.json"])


def test_other_data_have_a_reference_of_their_own(session, folder, runs):
    references, feed = session()
    references.get(tiny.case(), feed)
    image = folder / "vectors" / "00.json"
    image.write_text(json.dumps({"x": [0, 9, 0, 0], "label": 0}))
    references, feed = session()
    assert references.get(tiny.case(), feed).result.value < tiny.FIGURE
    assert len(runs) == 2 * tiny.IMAGES


def test_a_subset_has_a_reference_of_its_own(session, runs):
    references, feed = session(subset=3)
    assert len(references.get(tiny.case(), feed).outputs) == 3
    assert len(runs) == 3


def test_an_interrupted_reference_leaves_nothing(session, tmp_path, monkeypatch):
    run, calls = OnnxRuntimeSession.run, []

    def interrupted(self, inputs):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return run(self, inputs)

    references, feed = session()
    with monkeypatch.context() as patch:
        patch.setattr(OnnxRuntimeSession, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            references.get(tiny.case(), feed)
    left = [path for path in (tmp_path / "store").rglob("*") if "reference" in path.name or ".building" in path.name]
    assert left == []
    references, feed = session()
    assert references.get(tiny.case(), feed).result.value == pytest.approx(tiny.FIGURE)


def test_a_damaged_reference_is_computed_again(session, tmp_path, runs):
    references, feed = session()
    references.get(tiny.case(), feed)
    (kept,) = (tmp_path / "store").glob("[!.]*/reference.safetensors")
    damaged = bytearray(kept.read_bytes())
    damaged[-1] ^= 1
    kept.write_bytes(damaged)
    references, feed = session()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert references.get(tiny.case(), feed).result.value == pytest.approx(tiny.FIGURE)
    assert any("damaged" in str(warning.message) for warning in caught)
    assert len(runs) == 2 * tiny.IMAGES


def test_a_reference_that_is_not_finite_is_refused_and_not_kept(session, tmp_path, monkeypatch):
    run = OnnxRuntimeSession.run
    monkeypatch.setattr(OnnxRuntimeSession, "run", lambda self, inputs: (run(self, inputs)[0] * np.nan,))
    references, feed = session()
    with pytest.raises(BrokenReferenceError, match=r"found NaN or infinity in 12 of 12 images.*first 00.json.*weights"):
        references.get(tiny.case(), feed)
    assert list((tmp_path / "store").glob("*/reference.safetensors")) == []


@pytest.fixture
def poor_host(monkeypatch, folder, tmp_path):
    """Have no runtime for the reference, but a pack that was made elsewhere."""

    def missing(self, backend, model):
        return Missing("not here", "bring a pack") if backend.name == "onnxruntime_plain" else None

    monkeypatch.setattr(OnnxRuntime, "missing", missing)
    pack = tmp_path / "home" / "packs" / "tiny-sample"
    pack.mkdir(parents=True)
    return pack / "pack.json"


def test_a_pack_gives_the_figure_only(session, poor_host, runs):
    references, feed = session()
    figures = {"value": 91.5, "unit": "points", "per_image": {"00.json": 100.0}, "per_class": {}, "notes": []}
    poor_host.write_text(json.dumps({"references": {feed.digest: figures}, "outputs": {}}))
    found = references.get(tiny.case(), feed)
    assert {**asdict(found.result), "notes": []} == figures
    assert (found.outputs, found.origin, runs) == (None, "a pack of tiny", [])


def test_a_pack_that_does_not_know_the_data_gives_no_figure(session, poor_host):
    references, feed = session()
    poor_host.write_text(json.dumps({"references": {"of other data": {}}, "outputs": {}}))
    assert references.get(tiny.case(), feed).result is None


def test_the_reference_is_torch_where_the_model_has_a_torch_network(folder):
    assert reference_backend(catalogue.find("model", "edsr")).name == "torch"
    plain = reference_backend(catalogue.find("model", "tiny"))
    assert plain.options["graph_optimization"] == "disable"
    assert plain.name not in catalogue.entries("backend")


def test_the_store_holds_the_figures_where_a_pack_takes_them_from(session, tmp_path):
    references, feed = session()
    references.get(tiny.case(), feed)
    (sidecar,) = [
        path for path in Path(tmp_path / "store").glob("*/engine.json") if "reference" in path.read_text()[:40]
    ]
    recipe = json.loads(sidecar.read_text())["recipe"]
    assert (recipe["runtime"], recipe["data"]) == ("reference", feed.digest)
