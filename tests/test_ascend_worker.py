"""The worker: one file for a Python that is not ours, its frames, and what it refuses before aclruntime sees it."""

from __future__ import annotations

import ast
import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from fixtures.ascend import client, frames, worker
from tests import fake_om

SOURCE = client.WORKER.read_text()
STANDARD = sys.stdlib_module_names | {"pkg_resources"}  # the latter inside a try
ALLOWED = {"numpy", "__future__"}


def test_its_syntax_is_that_of_python_3_7():
    ast.parse(SOURCE, feature_version=(3, 7))


def test_it_imports_the_standard_library_and_numpy_only():
    found = set()
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or ".").partition(".")[0])
    assert found <= STANDARD | ALLOWED
    assert "numpy" not in {
        alias.name for node in ast.parse(SOURCE).body if isinstance(node, ast.Import) for alias in node.names
    }


def test_it_uses_no_argument_that_python_3_7_does_not_have():
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Call):
            assert not (isinstance(node.func, ast.Name) and node.func.id == "zip" and node.keywords)
        assert not isinstance(node, ast.Attribute) or node.attr not in ("removeprefix", "removesuffix", "cache")


@pytest.fixture(autouse=True)
def logs_stay_here(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@functools.cache
def others() -> list[Path]:
    """Return Pythons of this machine that are not the one that runs us, one per version; a device host's own first."""
    named = [os.environ.get("SIGNOFF_ASCEND_PYTHON"), *(shutil.which(f"python3.{minor}") for minor in range(7, 16))]
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob("3.*/bin/python"))
    candidates = [*(Path(path) for path in named if path), Path("/usr/bin/python3"), *pyenv]
    found: dict[str, Path] = {}
    for path in candidates:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            asked = [path, "-c", "import sys; print(sys.prefix != sys.argv[1] and sys.version)", sys.prefix]
            said = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True).stdout
            if said.strip() != "False":
                found.setdefault(said.split()[0], path)
    return [path for version, path in found.items() if tuple(map(int, version.split(".")[:2])) >= (3, 7)]


@pytest.fixture(scope="module")
def other() -> Path:
    """Return the oldest Python beside ours that can stand in for a device host's."""
    found = others()
    if not found:
        pytest.skip("this machine has no second Python from 3.7 on")
    return found[0]


def test_a_second_interpreter_speaks_the_protocol_and_says_what_it_lacks(other, tmp_path):
    with client.started(other, {"PATH": os.environ["PATH"]}, "other", tmp_path / "log") as found:
        assert found.python.startswith("3.")
        lacks = "that it imports numpy and aclruntime"
        with pytest.raises(client.WorkerError, match=r"No module named '(numpy|aclruntime)'.*--ascend-python"):
            found.ask("about", lacks, client.START_SECONDS)


def test_a_second_interpreter_runs_an_om(tmp_path):
    for python in others():
        env = fake_om.environment()
        with contextlib.suppress(subprocess.CalledProcessError):
            if same_abi(python):
                shadow = tmp_path / "numpy-only"
                shadow.mkdir(exist_ok=True)
                for part in Path(np.__file__).parents[1].glob("numpy*"):
                    (shadow / part.name).symlink_to(part)
                env["PYTHONPATH"] += f":{shadow}"
            subprocess.run([python, "-c", "import numpy"], env=env, check=True, capture_output=True)
            break
    else:
        pytest.skip("no second Python of this machine has numpy")
    with client.started(python, env, "other", tmp_path / "log") as found:
        model = str(fake_om.static(tmp_path / "m.om"))
        found.ask("load", "a load", 60, model=model, device=0, mode="")
        image = np.arange(6, dtype=np.float32).reshape(2, 3)
        _, outputs = found.ask("run", "a run", 60, [image], output_bytes=[])
        np.testing.assert_array_equal(outputs[1], (2 * image).astype(np.float16))
        found.ask("hold", "a batch", 60, [image], place=0, output_bytes=[])
        told, figures = found.ask("time", "times", 60, warmup_seconds=0, seconds=0, output_bytes=[])
        assert told["kept"] == [0]
        np.testing.assert_array_equal(figures[5], image)


def same_abi(python: Path) -> bool:
    said = subprocess.run([python, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True)
    return said.stdout.strip() == str(sys.version_info[:2])


# Frames.

KINDS = [np.dtype(name) for name in worker.DTYPES.values()]
ARRAYS = st.lists(
    st.sampled_from(KINDS).flatmap(
        lambda kind: arrays_of.arrays(kind, arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    ),
    max_size=4,
)
HEADERS = st.dictionaries(st.text(max_size=8).filter(lambda name: name != "arrays"), st.integers() | st.text())


@contextlib.contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    try:
        yield read, write
    finally:
        for descriptor in (read, write):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def soon() -> float:
    return time.monotonic() + 60


def same(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return len(found) == len(expected) and all(
        (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
        for one, other in zip(found, expected, strict=True)
    )


@given(header=HEADERS, arrays=ARRAYS)
@settings(max_examples=50)
def test_what_the_worker_writes_the_harness_reads(header, arrays):
    with pipe() as (read, write):
        worker.write(write, header, arrays)
        found, received = frames.receive(read, soon())
    assert {name: value for name, value in found.items() if name != "arrays"} == header
    assert same(received, arrays)


@given(header=HEADERS, arrays=ARRAYS)
@settings(max_examples=50)
def test_what_the_harness_writes_the_worker_reads(header, arrays):
    with pipe() as (read, write):
        frames.send(write, header, arrays, soon())
        os.set_blocking(read, True)
        found, received = worker.read(read)
    assert {name: value for name, value in found.items() if name != "arrays"} == header
    assert same(received, arrays)


def test_an_array_larger_than_any_pipe_arrives_whole():
    array = np.random.default_rng(0).integers(0, 255, 20 << 20, np.uint8)
    with pipe() as (read, write):
        sender = threading.Thread(target=worker.write, args=(write, {}, [array]))
        sender.start()
        _, (found,) = frames.receive(read, soon())
        sender.join()
    assert np.array_equal(found, array)
    assert found.flags.owndata
    assert found.flags.writeable


def test_strides_are_made_contiguous_before_they_are_sent():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)[::-1]
    with pipe() as (read, write):
        worker.write(write, {}, [array])
        _, (found,) = frames.receive(read, soon())
    assert np.array_equal(found, array)


@given(arrays=ARRAYS, data=st.data())
@settings(max_examples=50)
def test_a_truncated_frame_is_the_end_and_never_an_answer(arrays, data):
    with pipe() as (read, write):
        worker.write(write, {"some": "header"}, arrays)
        whole = os.read(read, 1 << 20)
        os.write(write, whole[: data.draw(st.integers(0, len(whole) - 1))])
        os.close(write)
        with pytest.raises(EOFError):
            frames.receive(read, soon())


@given(content=st.binary(max_size=300), magic=st.booleans())
@settings(max_examples=100)
def test_garbage_is_told_from_an_answer(content, magic):
    with pipe() as (read, write):
        os.write(write, (worker.MAGIC if magic else b"") + content)
        os.close(write)
        with pytest.raises((EOFError, frames.FrameError)):
            frames.receive(read, soon())


def test_a_frame_of_another_kind_is_garbage():
    with pipe() as (read, write):
        os.write(write, worker.PREFIX.pack(b"SGNX", 14) + b'{"arrays": []}')
        with pytest.raises(frames.FrameError, match="SGNX"):
            frames.receive(read, soon())


@pytest.mark.parametrize(
    "header",
    [
        *(b"[]", b"{}", b"3", b"{", b"\xff", b'{"arrays": 3}', b'{"arrays": [{"dtype": "float32"}]}'),
        b'{"arrays": [{"dtype": "O", "shape": [1]}]}',
        *(
            b'{"arrays": [{"dtype": "float32", "shape": %s}]}' % shape
            for shape in (b"[-1]", b"3", b"[1.5]", b'"ab"', b"null")
        ),
        b'{"arrays": [{"dtype": "float32", "shape": [99999999999999999999]}]}',
        b'{"arrays": [{"dtype": "float32", "shape": [4611686018427387904]}]}',
        b"[" * 100_000,
    ],
)
def test_a_header_that_makes_no_sense_is_garbage(header):
    with pipe() as (read, write):
        frames_of = worker.PREFIX.pack(worker.MAGIC, len(header)) + header
        threading.Thread(target=os.write, args=(write, frames_of)).start()
        with pytest.raises(frames.FrameError):
            frames.receive(read, soon())


def test_the_harness_waits_no_longer_than_it_is_told():
    with pipe() as (read, write):
        with pytest.raises(TimeoutError):
            frames.receive(read, time.monotonic())
        os.set_blocking(write, False)
        with pytest.raises(TimeoutError):
            frames.send(write, {}, [np.zeros(1 << 20)], time.monotonic())


# What it knows of engines.


def described(shape, size=64, **other):
    return {"shape": list(shape), "largest_bytes": size, "format": 0, **other}


@pytest.mark.parametrize(
    ("inputs", "outputs", "mode"),
    [
        ([described([4, 3, 8, 8])], [described([4])], "static"),
        ([described([-1, 3, 8, 8])], [described([-1])], "dymbatch"),
        ([described([-1, 3]), described([-1, 5]), described([7])], [described([4])], "dymbatch"),
        ([described([1, 3, -1, -1])], [described([4])], "dymhw"),
        ([described([1, -1, -1, 3], format=1)], [described([4])], "dymhw"),
        ([described([1, 3, -1, -1]), described([1, 3, -1, -1])], [described([4])], "dymdims"),
        ([described([-1, 3, -1, -1])], [described([4])], "dymdims"),
        ([described([-1, 3, -1, -1], size=0)], [described([-1], size=0)], "dymshape"),
        ([described([-1, 3, 8, 8])], [described([-1], size=0)], "dymshape"),
    ],
)
def test_the_open_axes_tell_how_shapes_are_set(inputs, outputs, mode):
    assert worker.gear_mode(inputs, outputs, "") == mode


def test_what_is_asked_decides_for_an_engine_with_open_axes_only():
    opened, fixed = [described([-1, 3])], [described([4, 3])]
    assert worker.gear_mode(opened, fixed, "dymdims") == "dymdims"
    assert worker.gear_mode(fixed, fixed, "dymdims") == "static"


def test_both_forms_of_times_are_durations():
    assert worker.duration(0.25) == 0.25
    assert worker.duration((100.0, 100.5)) == 0.5


def test_a_type_that_numpy_lacks_is_refused():
    class Descriptor:
        name, datatype, format, shape, size, realsize = "x", 27, 0, [1], 2, 2

    with pytest.raises(worker.Refused, match="number 27"):
        worker.described([Descriptor()])


def test_its_folder_hides_no_module_from_what_it_imports(tmp_path):
    place = tmp_path / "worker.py"
    place.write_text(SOURCE)
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    read, write = os.pipe()
    request, answer = json.dumps({"do": "about", "arrays": []}).encode(), b""
    with subprocess.Popen(
        [sys.executable, place, str(write)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=fake_om.environment(),
        pass_fds=[write],
    ) as process:
        os.close(write)
        process.communicate(worker.PREFIX.pack(worker.MAGIC, len(request)) + request, timeout=60)
    while part := os.read(read, 4096):
        answer += part
    os.close(read)
    assert b'"generation": "G2"' in answer
    assert process.returncode == 0  # it ended because its input did
