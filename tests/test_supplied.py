"""Engines of the user's own and of other hosts: read, checked, and never taken for what was built here."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures import backend as backends
from fixtures import catalogue, digest
from fixtures.engines import DamagedEngineWarning, EngineError, Store
from fixtures.runtime import Missing
from fixtures.runtimes.onnxruntime import OnnxRuntime
from fixtures.sources import Sources
from reports.evidence import read
from reports.measurement import Measurement
from tests import tiny

CASE = tiny.case()


@pytest.fixture
def folder(tmp_path):
    with tiny.extended(tiny.write(tmp_path / "catalogue")) as folder:
        yield folder


@pytest.fixture
def supplied(folder, tmp_path):
    """Return an engine of the tiny model, as a user has one."""
    built = Sources(Store(tmp_path / "theirs")).engine(CASE)
    return Path(shutil.copy(built.path, tmp_path / "mine.onnx"))


def judge(tmp_path, *arguments, status=0):
    done = tiny.run_pytest(tmp_path / "home", "-m", "accuracy", "--model=tiny", "--backend=onnxruntime", *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_a_supplied_engine_is_judged_under_its_own_digest(supplied, tmp_path):
    judge(tmp_path, "--batch=1", f"--engine=tiny-bs1-onnxruntime={supplied}")
    found = [e.record for e in read(tmp_path / "home/evidence.jsonl").entries if isinstance(e.record, Measurement)]
    assert {(each.source, each.engine["origin"]) for each in found} == {("supplied", "supplied")}
    assert {each.engine["sha256"] for each in found} == {digest.of_file(supplied)}


def test_a_supplied_engine_of_another_batch_is_refused(folder, tmp_path):
    four = Sources(Store(tmp_path / "theirs")).engine(replace(CASE, batch=4)).path
    said = judge(tmp_path, "--batch=1", f"--engine=tiny-bs1-onnxruntime={four}", status=1)
    assert "expected input x float32 1 x 4; found x float32 4 x 4" in said


def test_an_engine_for_a_case_that_is_not_run_names_the_nearest(tmp_path):
    done = tiny.run_pytest(tmp_path, "-m", "accuracy", "--model=tiny", "--engine=tiny-bs1-onxruntime=x")
    assert done.returncode == 4
    assert "--engine: unknown case 'tiny-bs1-onxruntime'; did you mean 'tiny-bs1-onnxruntime'?" in done.stderr


@pytest.mark.parametrize(("make", "found"), [("mkdir", "a folder"), (None, "nothing")])
def test_an_engine_that_is_no_file_is_said(folder, tmp_path, make, found):
    path = tmp_path / "engine"
    if make:
        path.mkdir()
    with pytest.raises(EngineError, match=rf"expected an engine file; found {found}; name the file"):
        Sources(Store(tmp_path / "store"), supplied={CASE.id: path}).engine(CASE)


@pytest.fixture
def without_compiler(folder, tmp_path, monkeypatch):
    """Return a function: the sources of a host that can run, not build, with an engine of another host in its store."""
    made = Sources(Store(tmp_path / "store"))
    engine = made.engine(CASE)

    class Elsewhere(OnnxRuntime):
        @property
        def compiler(self):
            return Absent()

    class Absent(OnnxRuntime):
        def missing(self, backend, model):
            return Missing("no compiler here", "install one")

    original = catalogue.find
    monkeypatch.setattr(catalogue, "find", lambda k, n: Elsewhere() if k == "runtime" else original(k, n))

    def sources(**recipe):
        sidecar = engine.path.parent / "engine.json"
        said = json.loads(sidecar.read_text())
        said["recipe"] = {**said["recipe"], **recipe}
        place = engine.path.parent.with_name(digest.of_value(said["recipe"])[:20])
        sidecar.write_text(json.dumps(said))
        engine.path.parent.rename(place)
        return Sources(Store(tmp_path / "store"))

    return sources


def test_a_host_without_a_compiler_takes_an_engine_that_was_built_elsewhere(without_compiler):
    sources = without_compiler(toolchain={"onnxruntime": "1.0"}, graph="other bytes of the same network")
    backend = backends.find("onnxruntime")
    assert sources.fitting(sources.asked(CASE, backend), backend, Missing("", ""))
    assert sources.engine(CASE).recipe["toolchain"] == {"onnxruntime": "1.0"}


def test_a_damaged_engine_of_another_host_is_named_and_not_taken(without_compiler):
    sources = without_compiler(toolchain={"onnxruntime": "1.0"})
    stored = next(engine for engine in sources.store.entries() if "compiler" in engine.recipe)
    stored.path.write_bytes(b"x" + stored.path.read_bytes()[1:])
    with (
        pytest.warns(DamagedEngineWarning, match="damaged, and not taken"),
        pytest.raises(EngineError, match="it is damaged; import it again"),
    ):
        sources.engine(CASE)


def test_an_engine_of_another_network_is_not_taken(without_compiler):
    with pytest.raises(
        EngineError,
        match=r"no compiler here, and .* the nearest one stored differs: .*; install one",
    ):
        without_compiler(network="another").engine(CASE)


def test_an_engine_that_does_not_fit_the_host_is_refused_with_the_reason(without_compiler, monkeypatch):
    monkeypatch.setattr(OnnxRuntime, "misfit", lambda *_: "it was built with CANN 9, here is 8")
    with pytest.raises(EngineError, match=r"fits this host; found engine .*: it was built with CANN 9, here is 8"):
        without_compiler(code="another").engine(CASE)


def test_what_does_not_load_is_said_with_the_file_and_without_a_traceback(supplied, tmp_path):
    supplied.write_bytes(b"no engine at all")
    said = judge(tmp_path, "--batch=1", f"--engine=tiny-bs1-onnxruntime={supplied}", status=1)
    assert f"expected onnxruntime to load {supplied}, supplied as it is; found InvalidProtobuf" in said
    assert "Traceback" not in said


def test_the_verdict_on_a_supplied_engine_says_so(supplied, tmp_path):
    said = judge(tmp_path, "--batch=1", f"--engine=tiny-bs1-onnxruntime={supplied}")
    assert f"engine supplied, sha256 {digest.of_file(supplied)[:8]}" in said
