"""OpenVINO against ONNX Runtime on the same processor: a comparison that every machine can run."""

from bench.rule import Rule, Side

RULE = Rule(
    "openvino_over_onnxruntime",
    "openvino completes more images per second than onnxruntime on the same processor, call by call",
    candidate=Side("openvino"),
    baseline=Side("onnxruntime"),
    required=1.0,
    figure="latency",
    statistics=("median",),
    one_host=True,
)
