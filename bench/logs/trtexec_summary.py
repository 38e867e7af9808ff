"""The summary that trtexec prints, in each layout: blocks of 7.x, lines of 8.0 on, and what copying does to them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bench.logs.reading import NUMBER, number
from bench.logs.statistics import Statistics

SECTIONS = {
    "Latency": "latency",
    "End-to-End Host Latency": "end_to_end",
    "Enqueue Time": "enqueue",
    "H2D Latency": "h2d",
    "GPU Compute Time": "gpu_compute",
    "D2H Latency": "d2h",
}
"""Of 8.0 and later: one line each, matched from its start, so that `H2D Latency` is not `Latency`."""

BLOCKS = {"Host Latency": "latency", "Enqueue Time": "enqueue", "GPU Compute": "gpu_compute"}
"""Of 7.x: a line of its own, one line per figure below it."""

NAMES = {"min": "minimum", "max": "maximum", "mean": "mean", "median": "median"}

_SECTION = re.compile(rf"({'|'.join(SECTIONS)}):(.*)")
_PART = re.compile(
    rf"(?<!\w)(min|max|mean|median|percentile\(([0-9]{{1,3}}(?:\.[0-9]{{1,9}})?)%\))[ \t]{{0,4}}(=?)[ \t]{{0,4}}"
    rf"(?:({NUMBER})[ \t]{{0,4}}ms\b)?"
)
_BLOCK_PART = re.compile(
    rf"(min|max|mean|median|percentile):[ \t]{{0,4}}(?:({NUMBER})[ \t]{{0,4}}ms\b"
    rf"(?:[ \t]{{1,4}}at ([0-9]{{1,3}}(?:\.[0-9]{{1,9}})?)%)?)?"
)
_THROUGHPUT = re.compile(rf"([Tt])hroughput:[ \t]{{0,4}}({NUMBER})[ \t]{{0,4}}qps\b")
_TOTALS = {
    "walltime_s": re.compile(rf"(?:Total Host Walltime|^walltime):[ \t]{{0,4}}({NUMBER})[ \t]{{0,4}}s\b"),
    "gpu_total_s": re.compile(rf"(?:Total GPU Compute Time|^total compute time):[ \t]{{0,4}}({NUMBER})[ \t]{{0,4}}s\b"),
}


@dataclass
class Section:
    """One block of figures while it is read."""

    title: str
    values: dict[str, float] = field(default_factory=dict)
    percentiles: dict[float, float] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    """What it names, with a whole value or without."""
    twice: bool = False
    """Whether a figure came a second time: two blocks have run into one, and cannot be told apart."""
    heading_alone: bool = False
    reflowed: bool = False
    mangled: bool = False
    cut: list[str] = field(default_factory=list)

    def put(self, name: str, percent: str | None, text: str | None) -> None:
        """Keep a figure; one without its unit is cut off, and no figure."""
        name = f"percentile({percent}%)" if percent else name
        self.twice |= name in self.seen
        self.seen.add(name)
        value = number(text) if text else None
        if value is None or name == "percentile":
            self.cut.append(name)
        elif percent:
            self.percentiles[float(percent)] = value
        else:
            self.values[NAMES[name]] = value

    def read(self, text: str) -> bool:
        """Read `min = A ms, max = B ms, ...`; tell whether there was any of it."""
        found = False
        for part in _PART.finditer(text):
            name, percent, sign, value = part.groups()
            if not (sign or value or percent):
                continue  # a word of a sentence
            found = True
            self.mangled |= bool(value) and not sign
            self.put(name, percent, value)
        return found

    def statistics(self) -> Statistics:
        """Return what is whole and cannot be mistaken."""
        return Statistics() if self.twice else Statistics(**self.values, percentiles=dict(self.percentiles))

    def unread(self) -> list[str]:
        """Say what is not."""
        if self.twice:
            return [f"{self.title}: a figure stands there twice, so none of them is taken"]
        return [f"{self.title}: {name} has no value in ms" for name in self.cut]


@dataclass
class Summary:
    """One summary while it is read."""

    blocks: bool = False
    """Whether it is of 7.x."""
    sections: dict[str, Section] = field(default_factory=dict)
    throughput: float | None = None
    totals: dict[str, float] = field(default_factory=dict)
    open: Section | None = None
    cut: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.sections) or self.throughput is not None

    def starts_another(self, line: str) -> bool:
        """Tell whether a line belongs to the next summary: what a summary has already, or another layout's."""
        if line.startswith("=== Performance summary") or (line == "Host Latency" and bool(self)):
            return True
        if (line in BLOCKS and not self.blocks) or (_heads(line) and self.blocks):
            return bool(self)
        key = BLOCKS.get(line) or _heads(line)
        again = (found := _THROUGHPUT.match(line)) and (
            self.throughput is not None or (bool(self) and self.blocks != (found[1] == "t"))
        )
        return key in self.sections or bool(again)

    def read(self, line: str) -> bool:
        """Take one line; tell whether it says anything of a summary."""
        for name, pattern in _TOTALS.items():
            if (total := pattern.search(line)) and (value := number(total[1])) is not None:
                self.totals[name] = value
        if line in BLOCKS:
            self.blocks = True
            self.open = self.sections[BLOCKS[line]] = Section(line)
        elif key := _heads(line):
            title, _, rest = line.partition(":")
            self.open = self.sections[key] = Section(title)
            self.open.heading_alone = not self.open.read(rest)
        elif rate := _THROUGHPUT.match(line):
            self.throughput = number(rate[2])
            self.blocks |= rate[1] == "t"
        elif line[:11] == "Throughput:" and line[11:].strip()[:1].isdigit():
            self.cut.append("Throughput: has no value in qps")
        elif self.open is not None and self.blocks and (part := _BLOCK_PART.match(line)):
            self.open.put(part[1], part[3], part[2])
        elif self.open is not None and self.open.heading_alone and line.startswith((*NAMES, "percentile(")):
            self.open.reflowed |= self.open.read(line)
        else:
            return False
        return True

    def layout(self, version: tuple[int, ...]) -> str:
        """Return the name of the layout; `-reflowed` and `-mangled` say what a copy did to it."""
        if self.blocks:
            return "block7"
        sections = self.sections.values()
        several = any(sum(name.startswith("percentile") for name in section.seen) > 1 for section in sections)
        name = "summary85" if several or version >= (8, 5) else "summary8"
        return name + (
            "-reflowed" if any(s.reflowed for s in sections) else "-mangled" if any(s.mangled for s in sections) else ""
        )

    def unread(self) -> list[str]:
        """Say what is there and cannot be taken."""
        return [*self.cut, *(sentence for section in self.sections.values() for sentence in section.unread())]


def _heads(line: str) -> str | None:
    """Return the section that a line opens; the verbose log explains each under the same name, in a sentence."""
    found = _SECTION.fullmatch(line)
    if not found or (found[2].strip() and not Section("").read(found[2])):
        return None
    return SECTIONS[found[1]]
