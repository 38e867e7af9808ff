"""`python -m bench import FILE...`: what is done with figures outside of pytest."""

from __future__ import annotations

import sys

from bench import importing
from fixtures import catalogue
from fixtures.errors import SetupError

COMMANDS = {"import": importing.main}
USAGE = """usage: python -m bench COMMAND ...

  import    turn logs of trtexec, ais_bench or benchmark into evidence

Each has --help. SIGNOFF_CATALOGUE adds your own models and backends."""


def main(argv: list[str]) -> int:
    """Hand the arguments to the command."""
    if not argv or argv[0] not in COMMANDS:
        asked_for_help = argv[:1] in (["-h"], ["--help"])
        print(USAGE, file=sys.stdout if asked_for_help else sys.stderr)
        return 0 if asked_for_help else 2
    try:
        catalogue.extend_from_environment()
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    return COMMANDS[argv[0]](argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
