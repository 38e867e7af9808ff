"""Tonight against what was accepted: the nightly gate of every backend."""

from bench.rule import ACCEPTED, ANY, Rule, Side

RULE = Rule(
    "no_slower_than_accepted",
    "the engine is not slower than the accepted one by more than the margin: 2 % where both run in turn on one host",
    candidate=Side(ANY),
    baseline=Side(ACCEPTED),
    required=0.98,
    at_least=True,
    otherwise="latency",
    statistics=("median",),
)
