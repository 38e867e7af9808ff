"""An Ascend 310 card against one T4 measured by trtexec: the claim of both guides."""

from bench.rule import Rule, Side

RULE = Rule(
    "ascend310_over_t4",
    "an Ascend 310 card (four devices) computes more images per second than one T4 under trtexec",
    candidate=Side("ascend310", per_card=True),
    baseline=Side("t4_trtexec", device="T4"),
    required=1.0,
    second="throughput",
)
