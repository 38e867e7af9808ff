"""What was accepted, case by case: the campaigns that tonight's are judged against."""

from __future__ import annotations

import os
import shlex
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from fixtures.case import Case
from reports.acceptance import Acceptance
from reports.entry import Entry
from reports.evidence import read
from reports.measurement import Measurement
from reports.round import Round
from reports.schema import EvidenceError

FOLDER = Path(__file__).resolve().parent / "accepted"
"""Where campaigns are published, and read, unless another folder is named."""
LATEST, OLDEST = "the latest accepted", "the oldest accepted of its release"
"""What a night is held against."""


@dataclass(frozen=True)
class Accepted:
    """One accepted campaign: one case in one run, with its rounds, figures and verdicts, and how accuracy was shown."""

    acceptance: Acceptance
    entries: tuple[Entry, ...]
    path: Path
    run: str
    """The run of the campaign; accuracy may have been shown in another, whose lines stand here too."""

    @property
    def case(self) -> Case:
        """Return what was accepted."""
        return self.acceptance.case

    @property
    def figures(self) -> list[Measurement]:
        """Return the figures of the case, of its own run first."""
        records = [entry.record for entry in sorted(self.entries, key=lambda entry: entry.run != self.run)]
        return [record for record in records if isinstance(record, Measurement) and record.case == self.case]

    @property
    def rounds(self) -> list[Round]:
        """Return the rounds of the campaign; none where accuracy alone was accepted."""
        records = [entry.record for entry in self.entries]
        return [record for record in records if isinstance(record, Round) and record.case == self.case]

    @property
    def taken(self) -> str:
        """Return when its first round began, or its first figure was taken where it has none; UTC."""
        return min([each.started for each in self.rounds] or [each.taken for each in self.figures])


class History:
    """The accepted campaigns below a folder, in which `python -m reports accept` publishes; read once, at the start.

    `problems` has a sentence for each file that is left out because it is not whole, and for a folder that is none. A
    folder that is not there is an empty history. Files that do not end in `.jsonl` are not looked at.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self._accepted: dict[Case, list[Accepted]] = defaultdict(list)
        for path in self._files():
            try:
                found = load(path)
            except EvidenceError as error:
                self.problems.append(f"{error}; left out")
            else:
                self._accepted[found.case].append(found)
        for campaigns in self._accepted.values():
            campaigns.sort(key=lambda each: (each.taken, each.run))

    def _files(self) -> list[Path]:
        if not self.folder.exists():
            return []
        walked = os.walk(self.folder, onerror=self._unread)
        paths = [Path(place, name) for place, _, names in walked for name in names]
        return sorted(path for path in paths if path.suffix == ".jsonl" and not path.name.startswith("."))

    def _unread(self, error: OSError) -> None:
        found = error.strerror
        self.problems.append(f"{error.filename}: expected a folder of accepted evidence, found: {found}; left out")

    def accepting(self, evidence: Path) -> str:
        """Return the command that accepts what a run recorded, into this folder."""
        into = "" if self.folder == FOLDER else f" --into={shlex.quote(str(self.folder))}"
        return f"python -m reports accept {shlex.quote(str(evidence))} --by=NAME --why=TEXT{into}"

    def gone(self, name: str) -> str:
        """Say that what was accepted is in the grid no more, and what to do."""
        return (
            f"accepted as {name}, and there is no such case any more; was it renamed? Accept it under its new name, "
            f"and remove what was accepted under the old one from {self.folder}"
        )

    def cases(self) -> list[Case]:
        """Return every case of which a campaign was accepted, sorted."""
        return sorted(self._accepted)

    def accepted(self, case: Case, metric: str = "") -> list[Accepted]:
        """Return the campaigns of a case, of which a figure of that metric was accepted; the first taken first."""
        found = self._accepted.get(case, [])
        return [each for each in found if not metric or any(figure.metric == metric for figure in each.figures)]

    def oldest(self, case: Case, metric: str = "") -> Accepted | None:
        """Return the first taken of the release of the last one, against which creep shows; None without a history."""
        found = self.accepted(case, metric)
        return next((each for each in found if each.acceptance.release == found[-1].acceptance.release), None)

    def references(self, case: Case, metric: str) -> dict[str, Accepted]:
        """Return what tonight is held against, by name; one entry where the latest accepted is the oldest too."""
        accepted, oldest = self.accepted(case, metric), self.oldest(case, metric)
        if oldest is None:
            return {}
        return {LATEST: accepted[-1], **({OLDEST: oldest} if oldest.path != accepted[-1].path else {})}


def load(path: Path) -> Accepted:
    """Read one accepted campaign; raise EvidenceError for a file that is not one, or not whole.

    Its acceptance is the last line, so that no part of a file is taken for the whole.
    """
    evidence = read(path)
    if evidence.lost:
        raise EvidenceError(f"{path}: expected a whole file, found {evidence.lost[0]}; accept it again")
    last, count = evidence.entries[-1], sum(isinstance(entry.record, Acceptance) for entry in evidence.entries)
    if not isinstance(last.record, Acceptance) or count != 1:
        raise EvidenceError(
            f"{path}: expected the evidence of one accepted campaign, its acceptance last; found {count} acceptances; "
            "publish it with python -m reports accept"
        )
    found = Accepted(last.record, evidence.entries, path, last.run)
    if not found.figures:
        raise EvidenceError(f"{path}: expected figures of {found.case.id}, found none; accept it again")
    return found
