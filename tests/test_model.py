from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalogue import entries
from fixtures.model import Gate, Model, Tensor

figures = st.floats(1e-3, 1e3)
limits = st.floats(0, 0.5)
kinds = st.sampled_from(["relative", "absolute"])


def test_a_tensor_takes_the_batch_and_the_size_of_a_case():
    assert Tensor("image", ("N", "S", "S", 1), "uint8").at(batch=4, size=28) == (4, 28, 28, 1)
    assert Tensor("", ("N", 3, "2S", "2S")).at(batch=1, size=256) == (1, 3, 512, 512)
    assert Tensor("tokens", ("N", "S"), "int64").at(batch=2, size=128) == (2, 128)


def test_an_axis_that_is_no_axis_is_refused():
    with pytest.raises(KeyError, match="H"):
        Tensor("image", ("N", 3, "H", "W")).at(batch=1, size=8)


def test_a_relative_gate_takes_its_part_of_the_reference():
    gate = Gate(0.01)
    assert gate.floor(34.61) == pytest.approx(34.2639)
    assert gate.drop(34.61, 34.2639) == pytest.approx(0.01)


def test_an_absolute_gate_takes_its_limit_in_the_figures_own_unit():
    gate = Gate(1.0, "absolute")
    assert gate.floor(97.8) == pytest.approx(96.8)
    assert gate.drop(97.8, 97.0) == pytest.approx(0.8)


@given(limits, kinds, figures)
def test_the_floor_is_where_the_drop_reaches_the_limit(limit, kind, reference):
    gate = Gate(limit, kind)
    assert gate.drop(reference, gate.floor(reference)) == pytest.approx(limit, abs=1e-9)
    assert gate.drop(reference, reference) == 0


@given(kinds, figures, figures)
def test_what_is_better_than_the_reference_has_a_negative_drop(kind, reference, gain):
    assert Gate(0.01, kind).drop(reference, reference + gain) < 0


def test_parity_of_a_precision_that_is_not_named_is_that_of_fp32():
    model = Model("m", "d", "top1", (), (), {}, Gate(0.01), parity={"fp32": Gate(0.005), "int8": Gate(0.02)})
    assert model.parity_gate("int8") == Gate(0.02)
    assert model.parity_gate("fp16") == Gate(0.005)


@pytest.mark.parametrize("model", entries("model").values(), ids=lambda model: model.name)
def test_what_ships_has_both_profiles_in_one_unit_and_a_gate_of_one_per_cent(model):
    assert set(model.profiles) == {"sample", "official"}
    assert len({profile.reference.unit for profile in model.profiles.values()}) == 1
    assert model.gate == Gate(0.01)
    assert model.profiles["official"].official
    assert not model.profiles["sample"].official
    for profile in model.profiles.values():
        assert profile.reference.source
