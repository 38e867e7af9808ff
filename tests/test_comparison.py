from __future__ import annotations

from typing import Any

import pytest

from bench.comparison import comparisons
from bench.rule import ACCEPTED, ANY, Rule, Side
from fixtures import catalogue
from fixtures.selection import Selection

RULES = """
from bench.rule import Rule, Side
RULE = Rule("{name}", "s", candidate=Side("{candidate}"), baseline=Side("{baseline}"), required=1.0)
"""
MODEL = """
from dataclasses import replace
from fixtures.models.edsr import MODEL as EDSR
MODEL = replace(EDSR, name="own", rules={rules!r})
"""


def selection(**changes: Any) -> Selection:
    nothing: dict[str, Any] = dict.fromkeys(("backends", "batches", "sizes", "required", "catalogues"), ())
    known = {"profile": "official", "models": ("edsr",), "data": {}, "weights": {}, "subset": None, "store": None}
    return Selection(**{**nothing, **known, **changes})


def ids(**changes: Any) -> list[str]:
    return [found.id for found in comparisons(selection(**changes))]


def test_a_comparison_is_named_by_model_size_batch_and_rule():
    found = comparisons(selection(batches=(1,)))
    assert [each.id for each in found] == [
        "edsr-256-bs1-ascend310-over-t4",
        "edsr-256-bs1-openvino-over-onnxruntime",
    ]
    first = found[0]
    assert (first.candidate.backend, first.baseline.backend) == ("ascend310", "t4_trtexec")
    assert {(each.candidate.size, each.baseline.size) for each in found} == {(256, 256)}
    assert first.candidate.profile == first.baseline.profile == "official"


def test_at_the_models_own_size_the_size_is_left_out():
    assert "enet-bs1-ascend310-over-t4" in ids(models=("enet",))
    assert ids(batches=(1,), sizes=(1020,)) == ["edsr-bs1-ascend310-over-t4", "edsr-bs1-openvino-over-onnxruntime"]


def test_a_rule_with_batches_of_its_own_is_asked_there_only():
    tuned = [name for name in ids(models=("enet",)) if name.endswith("ascend310p-over-ascend310")]
    assert tuned == ["enet-bs1-ascend310p-over-ascend310", "enet-bs16-ascend310p-over-ascend310"]
    assert ids(models=("enet",), backends=("ascend310p_aoe",), batches=(4, 16)) == [
        "enet-bs16-ascend310p-over-ascend310"
    ]
    assert ids(models=("enet",), backends=("ascend310p_aoe",), batches=(4,)) == []


def test_other_rules_take_the_batches_asked_for_or_those_of_the_model():
    batches = catalogue.find("model", "edsr").batches
    assert len(ids(backends=("t4_trtexec",))) == len(batches)
    assert ids(backends=("t4_trtexec",), batches=(3,)) == ["edsr-256-bs3-ascend310-over-t4"]


@pytest.mark.parametrize("backend", ["ascend310", "t4_trtexec"])
def test_naming_either_side_keeps_a_comparison(backend):
    assert ids(backends=(backend,), batches=(1,)) == ["edsr-256-bs1-ascend310-over-t4"]


def test_naming_neither_side_leaves_it_out():
    assert ids(backends=("torch",)) == []


def test_stand_ins_show_in_both_the_name_and_the_cases():
    (found,) = comparisons(selection(backends=("ascend310",), batches=(1,), emulate=True))
    assert found.id == "edsr-256-bs1-ascend310-over-t4~emulated"
    assert (found.candidate.backend, found.baseline.backend) == ("ascend310~emulated", "t4_trtexec~emulated")
    assert ids(backends=("openvino",), batches=(1,), emulate=True) == ["edsr-256-bs1-openvino-over-onnxruntime"]


def test_every_model_names_rules_that_are_there_and_all_ids_differ():
    found = ids(models=("edsr", "enet"), profile="sample")
    assert len(found) == len(set(found))


def test_a_rule_that_is_not_known_is_an_error_with_the_nearest_name(tmp_path, registries):
    own(tmp_path, ("ascend310_over_t5",))
    with pytest.raises(catalogue.CatalogueError, match="did you mean 'ascend310_over_t4'"):
        ids(models=("own",))


def test_the_rule_of_every_night_is_no_rule_of_a_model(tmp_path, registries):
    own(tmp_path, ("no_slower_than_accepted",))
    with pytest.raises(catalogue.CatalogueError, match="leave it out"):
        ids(models=("own",))


def test_a_rule_of_ones_own_compares_as_those_here_do(tmp_path, registries):
    rules = tmp_path / "bench" / "rules"
    rules.mkdir(parents=True)
    (rules / "mine.py").write_text(RULES.format(name="mine", candidate="openvino", baseline="torch"))
    own(tmp_path, ("mine",))
    assert ids(models=("own",), batches=(1,)) == ["own-256-bs1-mine"]


def test_a_rule_about_a_backend_that_is_not_known_is_an_error(tmp_path, registries):
    rules = tmp_path / "bench" / "rules"
    rules.mkdir(parents=True)
    (rules / "mine.py").write_text(RULES.format(name="mine", candidate="openvino", baseline="t5"))
    own(tmp_path, ("mine",))
    with pytest.raises(catalogue.CatalogueError, match="unknown backend 't5'"):
        ids(models=("own",))


def own(folder, rules: tuple[str, ...]) -> None:
    models = folder / "fixtures" / "models"
    models.mkdir(parents=True)
    (models / "own.py").write_text(MODEL.format(rules=rules))
    catalogue.extend([folder])


# --- the rules themselves --------------------------------------------------------------------------------------------


def test_the_rules_are_those_of_the_guides():
    rules: dict[str, Rule] = dict(catalogue.entries("rule"))
    over_t4, tuned = rules["ascend310_over_t4"], rules["ascend310p_over_ascend310"]
    assert (over_t4.candidate, over_t4.baseline) == (Side("ascend310", per_card=True), Side("t4_trtexec", device="T4"))
    assert (over_t4.must(), over_t4.statistics, over_t4.figure) == ("> 1", ("mean", "median"), "device_compute")
    assert (tuned.must(), tuned.batches) == (">= 1.2", (1, 16))
    assert tuned.baseline == Side("ascend310", per_card=True)
    untuned = rules["ascend310p_over_ascend310_untuned"]
    assert (untuned.candidate.backend, untuned.required) == ("ascend310p", 1.2)
    night = rules["no_slower_than_accepted"]
    assert (night.candidate.backend, night.baseline.backend, night.must()) == (ANY, ACCEPTED, ">= 0.98")
    assert rules["openvino_over_onnxruntime"].figure == "latency"


def test_only_a_rule_of_at_least_is_met_at_its_limit():
    rule: Rule = catalogue.find("rule", "ascend310p_over_ascend310")
    assert rule.applies(1.2, 1.0)
    assert not rule.applies(1.1999, 1.0)
    over: Rule = catalogue.find("rule", "ascend310_over_t4")
    assert not over.applies(85.0, 85.0)
    assert over.applies(89.48, 85.85)


def test_every_rule_says_what_it_is_in_a_sentence_and_names_backends_that_are_there():
    for rule in catalogue.entries("rule").values():
        assert len(rule.sentence.split()) > 5
        for side in (rule.candidate, rule.baseline):
            if side.backend not in (ANY, ACCEPTED):
                catalogue.find("backend", side.backend)
