"""`python -m reports show FILE...`: read what runs have left."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from reports.evidence import read
from reports.schema import EvidenceError
from reports.show import show, width


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 2 when a file cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m reports", description="Read the evidence that runs have left.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("show", help="show runs, verdicts, figures and what was not run")
    command.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON Lines or pytest-benchmark's JSON")
    files = parser.parse_args(arguments).files
    console = _Console(highlight=False)
    console.width = width(console)
    for file in files:
        try:
            show(read(file), console)
        except EvidenceError as error:
            print(error, file=sys.stderr)
            return 2
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it ends
            break
    return 0


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the caller; `show ... | head` is no failure."""
        raise


if __name__ == "__main__":
    sys.exit(main())
