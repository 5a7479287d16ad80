"""Dropout by a hash."""

import numpy as np
from keras import ops

from deeplab_dpc.layers.dropout import hashed_dropout


def _kept(seed, shape=(4, 50, 50, 20), rate=0.1):
    return ops.convert_to_numpy(hashed_dropout(ops.ones(shape), rate, ops.convert_to_tensor(seed, "int32"))) > 0


def test_kept_values_are_scaled_and_the_share_is_right():
    x = ops.convert_to_tensor(np.arange(1.0, 100001.0).astype("float32"))
    y = ops.convert_to_numpy(hashed_dropout(x, 0.25, ops.convert_to_tensor(3, "int32")))
    kept = y != 0
    # Five standard deviations of 100,000 draws.
    assert abs(kept.mean() - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 100000)
    np.testing.assert_allclose(y[kept], np.arange(1.0, 100001.0)[kept] / 0.75, rtol=1e-6)


def test_seeds_and_positions_are_independent():
    first, second = _kept(1), _kept(2)
    np.testing.assert_array_equal(first, _kept(1))
    count = first.size
    tolerance = 5 * np.sqrt(0.1 * 0.9 / count)
    # Of two independent masks, one value in a hundred is dropped in both, also if one of them is shifted.
    for other in (second, *(np.roll(first.ravel(), shift).reshape(first.shape) for shift in (1, 20, 1000))):
        assert abs(np.mean(~first & ~other) - 0.01) < tolerance
    for axis in range(4):
        others = tuple(i for i in range(4) if i != axis)
        share = first.mean(axis=others)
        np.testing.assert_allclose(share, 0.9, atol=5 * np.sqrt(0.09 * len(share) / count))


def test_rate_zero_keeps_all():
    assert _kept(5, rate=0.0).all()
