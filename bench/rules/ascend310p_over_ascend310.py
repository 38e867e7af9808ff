"""A tuned Ascend 310P against an Ascend 310 card: ENet's guide asks for 1.2 at batch 1 and 16."""

from bench.rule import Rule, Side

RULE = Rule(
    "ascend310p_over_ascend310",
    "a 310P with AOE computes at least 1.2 times the images per second of an Ascend 310 card (four devices)",
    candidate=Side("ascend310p_aoe"),
    baseline=Side("ascend310", per_card=True),
    required=1.2,
    at_least=True,
    second="throughput",
    batches=(1, 16),
)
