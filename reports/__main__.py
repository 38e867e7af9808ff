"""`python -m reports show | merge | accept`: read, join and accept what runs have left."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fixtures import home
from fixtures.store.sidecar import printable
from reports import merge
from reports.accept import Acceptor
from reports.evidence import Evidence, read
from reports.history import FOLDER
from reports.schema import EvidenceError
from reports.show import show, width


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 2 when a file cannot be read or written, 1 when nothing could be accepted."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.do(options))
    except EvidenceError as error:
        print(printable(str(error)), file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reports", description="Read the evidence that runs have left.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    files = argparse.ArgumentParser(add_help=False)
    files.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON Lines or pytest-benchmark's JSON")

    command = commands.add_parser("show", parents=[files], help="show runs, verdicts, figures and what was not run")
    command.set_defaults(do=_show)

    command = commands.add_parser("merge", parents=[files], help="write the evidence of several files to one")
    command.add_argument("--into", "-o", type=Path, required=True, metavar="OUT", help="a new file, as JSON Lines")
    command.set_defaults(do=_merge)

    command = commands.add_parser("accept", parents=[files], help="make campaigns the baseline of later nights")
    command.add_argument("--by", type=_said, required=True, metavar="NAME", help="who accepts")
    command.add_argument("--why", type=_said, required=True, metavar="TEXT", help="one sentence for later readers")
    command.add_argument("--release", default="", metavar="NAME", help="creep shows against the oldest of a release")
    command.add_argument("--into", type=Path, default=FOLDER, metavar="DIR", help="default: reports/accepted")
    command.add_argument(
        "--engine-cache", type=Path, metavar="DIR", help="where engines are pinned; default as in pytest"
    )
    command.set_defaults(do=_accept)
    return parser


def _said(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a text, found an empty one")
    return text.strip()


def _show(options: argparse.Namespace) -> int:
    console = _Console(highlight=False)
    console.width = width(console)
    try:
        for file in options.files:
            show(read(file), console)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it ends
    return 0


def _merge(options: argparse.Namespace) -> int:
    given = _read(options.files)
    entries = merge.merge(given, options.into)
    read_lines = sum(len(one.entries) for one in given)
    runs = len({entry.run for entry in entries})
    again = read_lines - len(entries)
    print(f"{options.into}: {len(entries)} lines, {runs} run{'s' * (runs != 1)}; left out as there already: {again}")
    return 0


def _accept(options: argparse.Namespace) -> int:
    root = (options.engine_cache or home.engines()).expanduser().absolute()
    acceptor = Acceptor(options.by, options.why, options.release.strip(), options.into, root)
    count = acceptor.accept(_read(options.files), print)
    if not count:
        print("nothing was accepted")
    return int(not count)


def _read(files: Sequence[Path]) -> list[Evidence]:
    """Read all before anything is written; what was cut off is said."""
    given = [read(file) for file in files]
    for sentence in (lost for one in given for lost in one.lost):
        print(printable(f"lost: {sentence}"))
    return given


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the caller; `show ... | head` is no failure."""
        raise


if __name__ == "__main__":
    sys.exit(main())
