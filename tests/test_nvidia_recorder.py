"""TensorRT's log: one recorder for ever, errors without their echo."""

from __future__ import annotations

from fixtures.nvidia import recorder
from fixtures.nvidia.recorder import KEPT, Recorder
from tests import fake_nvidia

ECHO = "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (cudaError 35: ...)"


def say(library, heard, severity: str, text: str) -> None:
    heard.logger.log(library.ILogger.Severity[severity], text)


def test_a_library_has_one_logger_for_the_life_of_the_process() -> None:
    library, other = fake_nvidia.tensorrt(), fake_nvidia.tensorrt(name="tensorrt_rtx", version="1.7.1.116")
    assert recorder.of(library) is recorder.of(library)
    assert recorder.of(library) is not recorder.of(other)
    assert library.loggers == [recorder.of(library).logger]
    assert isinstance(recorder.of(library).logger, library.ILogger)


def test_keeps_what_was_said_after_the_mark_each_once_and_by_severity() -> None:
    library = fake_nvidia.tensorrt()
    heard = Recorder(library)
    say(library, heard, "ERROR", "before")
    mark = heard.mark()
    for severity, text in [("WARNING", "small  \n weight"), ("ERROR", "wrong"), ("ERROR", "wrong"), ("INFO", "fine")]:
        say(library, heard, severity, text)
    say(library, heard, "INTERNAL_ERROR", "broken")
    assert heard.errors(mark) == ("wrong", "broken")
    assert heard.warnings(mark) == ("small weight",)
    assert heard.errors(0) == ("before", "wrong", "broken")
    assert heard.errors(heard.mark()) == ()


def test_drops_the_error_that_only_repeats_another_on_a_host_without_a_gpu() -> None:
    library = fake_nvidia.tensorrt()
    heard = Recorder(library)
    say(library, heard, "ERROR", "the cause")
    say(library, heard, "ERROR", ECHO)
    assert heard.errors(0) == ("the cause",)
    mark = heard.mark()
    say(library, heard, "ERROR", ECHO)
    assert heard.errors(mark) == (ECHO,), "where it is all there is, it is told"


def test_tells_all_but_verbose_lines_as_they_come() -> None:
    library, lines = fake_nvidia.tensorrt(), []
    heard = Recorder(library)
    heard.tell = lines.append
    say(library, heard, "INFO", "building")
    say(library, heard, "VERBOSE", "tactic 1")
    assert lines == ["[INFO] building"]
    assert heard.mark() == 0


def test_does_not_grow_for_ever() -> None:
    library = fake_nvidia.tensorrt()
    heard = Recorder(library)
    for number in range(3 * KEPT):
        say(library, heard, "WARNING", f"{number}")
    assert len(heard.warnings(0)) == KEPT
    assert heard.warnings(0)[-1] == str(3 * KEPT - 1)
