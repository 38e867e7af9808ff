"""`python -m bench import | calibrate`: what is done with figures outside of pytest."""

from __future__ import annotations

import sys

from bench import calibrate, importing
from fixtures import commands

COMMANDS = {"import": importing.main, "calibrate": calibrate.main}
USAGE = """usage: python -m bench COMMAND ...

  import     turn logs of trtexec, ais_bench or benchmark into evidence
  calibrate  time an engine against itself, to learn how noisy this host is

Each has --help. SIGNOFF_CATALOGUE adds your own models and backends."""


def main(argv: list[str]) -> int:
    """Hand the arguments to the command."""
    return commands.run(argv, COMMANDS, USAGE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
