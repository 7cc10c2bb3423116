"""Fixed point: exact sums, proved bounds, no bias."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domicile.errors import UpdateError
from domicile.secure_sum.grid import PIECE_VALUES, WORD_MAX, Encoder, Grid, Quantities, Quantity

GRIDS = st.builds(
    Grid,
    max_norm=st.floats(1e-12, 1e12),
    num_nodes=st.integers(1, 256),
    weight_units=st.integers(1, 2**40),
)


def encode(grid: Grid, values: np.ndarray, units: int | None = None, factor: float = 1.0) -> np.ndarray:
    """As signed integers."""
    encoder = Encoder(grid, factor, grid.weight_units if units is None else units, os.urandom(32))
    out = np.empty(len(values), dtype=np.uint32)
    encoder.encode(values, out)
    return out.view(np.int32).astype(np.int64)


@settings(max_examples=200, deadline=None)
@given(GRIDS)
def test_the_step_is_the_smallest_power_of_two_without_overflow(grid: Grid) -> None:
    assert math.frexp(grid.step)[0] == 0.5
    assert grid.num_nodes * grid.limit <= WORD_MAX
    assert grid.num_nodes * math.ceil(grid.max_norm / (grid.step / 2)) > WORD_MAX
    assert grid.step < 2 * grid.num_nodes * grid.max_norm / (WORD_MAX - grid.num_nodes)


@settings(max_examples=100, deadline=None)
@given(GRIDS, st.data())
def test_each_coordinate_is_less_than_a_step_away_and_within_the_limit(grid: Grid, data: st.DataObject) -> None:
    units = data.draw(st.integers(1, grid.weight_units))
    shares = data.draw(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20))
    largest = np.nextafter(np.float32(grid.max_norm), np.float32(0))
    values = np.array(shares, dtype=np.float32) * largest
    encoded = encode(grid, values, units)
    exact = values.astype(np.float64) * (units / grid.weight_units / grid.step)
    assert np.all(np.abs(encoded - exact) <= 1 + 2.0**-50 * np.abs(exact))
    assert np.all(np.abs(encoded) <= grid.limit)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_sum_of_the_largest_updates_does_not_overflow(sign: int) -> None:
    for max_norm in (1.0, 3.7, 1e-9):
        grid = Grid(max_norm=max_norm, num_nodes=256)
        largest = np.full(1, sign * np.float32(max_norm) * (1 + 2.0**-20), dtype=np.float32)
        words = np.zeros(1, dtype=np.uint32)
        total = 0
        for _ in range(256):
            encoded = encode(grid, largest)
            words += encoded.astype(np.uint32)
            total += int(encoded[0])
        assert int(words.view(np.int32)[0]) == total == sign * 256 * grid.limit


def test_rounding_has_no_bias() -> None:
    grid = Grid(max_norm=1.0, num_nodes=4)
    for fraction in (0.25, 0.5, 0.9):
        values = np.full(PIECE_VALUES, (7 + fraction) * grid.step, dtype=np.float32)
        encoded = encode(grid, values)
        assert set(encoded) == {7, 8}
        # Six standard deviations of a mean of 16,384 coin tosses.
        assert abs(encoded.mean() - 7 - fraction) < 6 * 0.5 / math.sqrt(PIECE_VALUES)


def test_what_lies_on_the_grid_stays_there() -> None:
    grid = Grid(max_norm=1.0, num_nodes=4)
    numbers = np.arange(-1000, 1000)
    assert np.array_equal(encode(grid, (numbers * grid.step).astype(np.float32)), numbers)


def test_the_norm_is_clipped_and_a_smaller_one_left_alone() -> None:
    grid = Grid(max_norm=2.0, num_nodes=4)
    values = np.random.default_rng(1).normal(size=50_000).astype(np.float32)
    norm = float(np.linalg.norm(values.astype(np.float64)))
    assert math.isclose(grid.clip_factor(values) * norm, 2.0, rel_tol=1e-12)
    assert grid.clip_factor(values / np.float32(norm)) == 1.0
    assert grid.clip_factor(np.zeros(3, dtype=np.float32)) == 1.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_update_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(UpdateError, match="NaN or infinite"):
        Grid(max_norm=1.0, num_nodes=4).clip_factor(np.array([0, bad], dtype=np.float32))


@pytest.mark.parametrize(
    "numbers",
    [
        {"max_norm": 0.0},
        {"max_norm": math.nan},
        {"max_norm": math.inf},
        {"max_norm": 1e-40},
        {"num_nodes": 0},
        {"weight_units": 0},
    ],
)
def test_numbers_that_make_no_grid_are_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="max_norm"):
        Grid(**({"max_norm": 1.0, "num_nodes": 4} | numbers))  # type: ignore[arg-type]


def test_weights_are_bounded() -> None:
    grid = Grid(max_norm=1.0, num_nodes=4, weight_units=10)
    assert [grid.units_of(rows) for rows in (0, 1, 9, 10, 11)] == [1, 1, 9, 10, 10]
    for units in (0, 11):
        with pytest.raises(ValueError, match="weight units; 1 to 10"):
            encode(grid, np.zeros(1, dtype=np.float32), units)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20))
def test_sums_of_quantities_are_off_by_half_a_step_a_node(values: list[float]) -> None:
    loss = Quantity(name="loss", step=2.0**-16, maximum=1e9)
    word = sum(loss.encode(value) for value in values) % 2**64
    assert abs(loss.decode(word, len(values)) - sum(values)) <= len(values) * 2.0**-17 * (1 + 1e-6)


def test_a_quantity_beyond_its_maximum_is_refused_and_a_sum_beyond_it_is_none() -> None:
    rows = Quantity(name="rows", maximum=100)
    for bad in (101, -101, math.nan, math.inf):
        with pytest.raises(UpdateError, match=r"rows is .*; a secure sum takes at most 100"):
            rows.encode(bad)
    assert rows.decode(300, 3) == 300
    assert rows.decode(2**64 - 300, 3) == -300
    assert math.isnan(rows.decode(301, 3))
    assert math.isnan(rows.decode(2**63, 3))


def test_quantities_whose_sum_could_overflow_are_refused() -> None:
    wide = Quantity(name="loss", step=2.0**-30, maximum=2.0**30)
    Quantities((wide,), 4, 1)
    with pytest.raises(ValueError, match="the sum of loss overflows"):
        Quantities((wide,), 9, 1)
