"""An Ascend 310P as it comes against an Ascend 310 card: what tuning is needed for."""

from bench.rule import Rule, Side

RULE = Rule(
    "ascend310p_over_ascend310_untuned",
    "a 310P without tuning computes at least 1.2 times the images per second of an Ascend 310 card (four devices)",
    candidate=Side("ascend310p"),
    baseline=Side("ascend310", per_card=True),
    required=1.2,
    at_least=True,
    second="throughput",
    batches=(1, 16),
)
