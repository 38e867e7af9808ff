"""`python -m bench import FILE...`: what is done with figures outside of pytest."""

from __future__ import annotations

import sys

from bench import importing
from fixtures import commands

COMMANDS = {"import": importing.main}
USAGE = """usage: python -m bench COMMAND ...

  import    turn logs of trtexec, ais_bench or benchmark into evidence

Each has --help. SIGNOFF_CATALOGUE adds your own models and backends."""


def main(argv: list[str]) -> int:
    """Hand the arguments to the command."""
    return commands.run(argv, COMMANDS, USAGE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
