import itertools

import numpy as np
import pytest

from keras_saliency.detection.edits import (
    BANDS,
    HIGH_FREQUENCY,
    swap_high_frequency,
    swap_region,
    swap_spectrum,
    swap_tint,
)

SIZES = [(6, 6), (7, 7), (6, 9), (5, 8), (1, 6), (1, 1), (12, 3)]
EDITS = {
    "tint": swap_tint,
    "high frequency": swap_high_frequency,
    "spectrum": swap_spectrum,
}


def images(seed, *shape, dtype=np.float64):
    return np.random.default_rng(seed).random(shape).astype(dtype)


def pair(*shape, dtype=np.float64):
    return images(1, *shape, dtype=dtype), images(2, *shape, dtype=dtype)


# ---------------------------------------------------------------- regions


def test_a_region_by_hand():
    recipients = np.arange(8.0).reshape(1, 2, 2, 2)
    mask = np.array([[True, False], [False, True]])
    expected = [[[[-0.0, -1.0], [2.0, 3.0]], [[4.0, 5.0], [-6.0, -7.0]]]]
    np.testing.assert_array_equal(swap_region(recipients, -recipients, mask), expected)


def test_each_pair_has_its_own_mask():
    recipients, donors = pair(3, 4, 5, 2)
    masks = images(3, 3, 4, 5) < 0.4
    made = swap_region(recipients, donors, masks)
    for i in range(3):
        np.testing.assert_array_equal(made[i][masks[i]], donors[i][masks[i]])
        np.testing.assert_array_equal(made[i][~masks[i]], recipients[i][~masks[i]])


def test_exchanging_the_roles_exchanges_the_complement():
    recipients, donors = pair(3, 4, 5, 2)
    for masks in (images(3, 4, 5) < 0.4, images(4, 3, 4, 5) < 0.4):
        made = swap_region(donors, recipients, masks)
        np.testing.assert_array_equal(made, swap_region(recipients, donors, ~masks))


def test_nothing_and_everything():
    recipients, donors = pair(3, 4, 5, 2)
    np.testing.assert_array_equal(
        swap_region(recipients, donors, np.zeros((4, 5), bool)), recipients
    )
    np.testing.assert_array_equal(swap_region(recipients, donors, np.ones((4, 5), bool)), donors)


# ---------------------------------------------------------------- tint


def test_a_tint_by_hand():
    """Two pixels: the mean and half their difference are replaced."""
    recipient = np.array([[[[0.3, 10.0], [0.1, 10.0]]]])
    donor = np.array([[[[0.5, 1.0], [0.9, 3.0]]]])
    # Channel 0: 0.2 +- 0.1 becomes 0.7 +- 0.2; channel 1 is flat, and becomes 2.
    expected = [[[[0.9, 2.0], [0.5, 2.0]]]]
    np.testing.assert_allclose(swap_tint(recipient, donor), expected, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_channel_gets_the_mean_and_contrast_of_the_donor(dtype):
    """Of images whose extremes lie in a channel of their own, so that nothing is clipped."""
    recipients, donors = pair(3, 9, 8, 4, dtype=dtype)
    for batch, scale in ((recipients, (0.1, 0.3, 0.02)), (donors, (0.2, 0.05, 0.3))):
        batch[..., :3] = batch[..., :3] * np.array(scale, dtype) + np.array([0.4, 0.5, 0.3], dtype)
        batch[:, 0, 0, 3], batch[:, 0, 1, 3] = -9, 9
    made = swap_tint(recipients, donors)
    for metric in (np.mean, np.std):
        found, wanted = (metric(x[..., :3].astype(np.float64), axis=(1, 2)) for x in (made, donors))
        np.testing.assert_allclose(found, wanted, rtol=1e-6 if dtype is np.float32 else 1e-12)
    # All else is kept: the correlation with the recipient is 1.
    for i, channel in np.ndindex(3, 3):
        flat = made[i, ..., channel].ravel(), recipients[i, ..., channel].ravel()
        assert np.corrcoef(*flat)[0, 1] == pytest.approx(1, abs=1e-6)


def test_an_image_keeps_its_own_tint():
    recipients = images(1, 3, 9, 8, 2)
    np.testing.assert_allclose(swap_tint(recipients, recipients), recipients, rtol=1e-13)
    turned = np.rot90(recipients, 2, axes=(1, 2))
    np.testing.assert_allclose(swap_tint(recipients, turned), recipients, rtol=1e-13)


def test_a_brighter_and_a_duller_copy_are_made_of_one_another():
    recipients = images(1, 3, 9, 8, 2)
    donors = 0.5 * recipients + np.array([0.1, 0.4])
    np.testing.assert_allclose(swap_tint(recipients, donors), donors, rtol=1e-13)
    np.testing.assert_allclose(swap_tint(donors, recipients), recipients, rtol=1e-13)


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 123.45])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_flat_channel_stays_flat_and_gets_the_mean(value, dtype):
    """Though a sum of many float32 is not a multiple of one."""
    recipients = np.full((1, 32, 33, 2), value, dtype)
    donors = images(2, 1, 32, 33, 2, dtype=dtype)
    made = swap_tint(recipients, donors)
    wanted = donors.astype(np.float64).mean(axis=(1, 2), keepdims=True)
    tolerance = 2e-3 if dtype is np.float16 else 1e-6
    np.testing.assert_allclose(made, np.broadcast_to(wanted, made.shape), rtol=tolerance)


def test_a_flat_donor_flattens():
    made = swap_tint(images(1, 1, 4, 5, 2), np.full((1, 4, 5, 2), [0.25, 0.5]))
    np.testing.assert_allclose(made, np.full((1, 4, 5, 2), [0.25, 0.5]), rtol=1e-14)


def test_nothing_leaves_the_range_of_the_two_images():
    """The recipient's one bright pixel, 3 standard deviations out, does not fit the donor's 1."""
    recipient = np.zeros((1, 2, 5, 1))
    recipient[0, 0, 0] = 1  # mean 0.1, standard deviation 0.3
    donor = np.tile([0.0, 1.0], 5).reshape(1, 2, 5, 1)  # mean 0.5, standard deviation 0.5
    expected = np.full((1, 2, 5, 1), 0.5 - 0.5 / 3)
    expected[0, 0, 0] = 1  # 2 without the limit
    np.testing.assert_allclose(swap_tint(recipient, donor), expected, rtol=1e-14)


def test_the_range_is_that_of_each_pair():
    recipients = np.concatenate([images(1, 1, 4, 4, 1) ** 8, 100 * images(2, 1, 4, 4, 1)])
    donors = np.concatenate([images(3, 1, 4, 4, 1) > 0.5, 100 * images(4, 1, 4, 4, 1)])
    made = swap_tint(recipients, donors.astype(float))
    assert made[0].max() == 1.0  # of the pair's own two images, not of the batch
    alone = swap_tint(recipients[:1], donors[:1].astype(float))
    np.testing.assert_array_equal(made[:1], alone)


# ---------------------------------------------------------------- the finest detail


def high(height, width):
    """Which waves of `np.fft.fft2` are high, by the definition."""
    frequencies = [np.fft.fftfreq(size) for size in (height, width)]
    return np.hypot(frequencies[0][:, np.newaxis], frequencies[1]) >= HIGH_FREQUENCY


def waves(batch):
    return np.fft.fft2(batch, axes=(1, 2))


@pytest.mark.parametrize("size", SIZES)
def test_each_wave_comes_from_the_one_or_the_other(size):
    recipients, donors = pair(3, *size, 2)
    expected = np.where(high(*size)[..., np.newaxis], waves(donors), waves(recipients))
    made = swap_high_frequency(recipients, donors)
    np.testing.assert_allclose(waves(made), expected, atol=1e-12 * np.prod(size))


@pytest.mark.parametrize("size", SIZES)
def test_the_roles_exchange_the_bands(size):
    """What two images give and get is what they had."""
    recipients, donors = pair(3, *size, 2)
    one, other = swap_high_frequency(recipients, donors), swap_high_frequency(donors, recipients)
    np.testing.assert_allclose(one + other, recipients + donors, rtol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_it_is_linear(size):
    (a, b), (c, d) = pair(2, *size, 1), (images(3, 2, *size, 1), images(4, 2, *size, 1))
    made = swap_high_frequency(2 * a - 3 * c, 2 * b - 3 * d)
    expected = 2 * swap_high_frequency(a, b) - 3 * swap_high_frequency(c, d)
    np.testing.assert_allclose(made, expected, atol=1e-12)


def test_waves_of_three_pixels_are_exchanged_and_those_of_four_are_not():
    columns = np.arange(12)
    slow, fast = (
        np.tile(np.cos(2 * np.pi * columns / period), (1, 5, 1))[..., np.newaxis]
        for period in (4, 3)
    )
    zero = np.zeros_like(slow)
    for turned in (False, True):
        if turned:
            slow, fast, zero = (np.swapaxes(x, 1, 2) for x in (slow, fast, zero))
        np.testing.assert_allclose(swap_high_frequency(zero, slow), zero, atol=1e-14)
        np.testing.assert_allclose(swap_high_frequency(zero, fast), fast, atol=1e-14)
        np.testing.assert_allclose(swap_high_frequency(fast, slow), zero, atol=1e-14)
        np.testing.assert_allclose(swap_high_frequency(slow, fast), slow + fast, atol=1e-14)


def test_the_mean_of_each_channel_stays():
    recipients, donors = pair(3, 7, 6, 3)
    made = swap_high_frequency(recipients, 100 + donors)
    np.testing.assert_allclose(made.mean(axis=(1, 2)), recipients.mean(axis=(1, 2)), rtol=1e-12)


# ---------------------------------------------------------------- the spectrum


def wide_pair(*shape):
    """Noise, and coarser donors with two pixels far out, so that nothing is clipped."""
    recipients, donors = pair(*shape)
    donors = donors + np.roll(donors, 1, axis=1)
    donors[:, 0, 0], donors[:, -1, -1] = -1, 3
    return recipients, donors


def band_shares(batch):
    """The share of energy in each band of the full transform, without the mean; by the definition.

    Band k, from 1 on, is of frequencies above (k - 1) / 16 and up to k / 16; the last has all
    beyond 1/2, too.
    """
    height, width = batch.shape[1:3]
    frequencies = [np.fft.fftfreq(size) for size in (height, width)]
    distance = np.hypot(frequencies[0][:, np.newaxis], frequencies[1])
    edges = np.append(np.arange(BANDS) / 16, 1.0) + 1e-9
    energies = (np.abs(waves(batch)) ** 2).sum(axis=-1)
    found = [
        energies[:, (low < distance) & (distance <= high)].sum(axis=1)
        for low, high in itertools.pairwise(edges)
    ]
    return np.stack(found, axis=1) / np.sum(found, axis=0)[:, np.newaxis]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (17, 17), (16, 21), (21, 16), (9, 14)])
def test_each_band_has_the_share_of_energy_that_it_has_in_the_donor(size, channels):
    recipients, donors = wide_pair(3, *size, channels)
    wanted = band_shares(donors)
    assert np.abs(band_shares(recipients) - wanted).max() > 0.02
    made = swap_spectrum(recipients, donors)
    np.testing.assert_allclose(band_shares(made), wanted, rtol=1e-9)


@pytest.mark.parametrize("size", [(16, 16), (17, 21)])
def test_phases_mean_and_contrast_are_kept(size):
    recipients, donors = wide_pair(3, *size, 2)
    made = swap_spectrum(recipients, 3 * donors - 2)
    gains = waves(made) / waves(recipients)
    np.testing.assert_allclose(gains.imag, 0, atol=1e-9)
    assert (gains.real > 0).all()
    # A gain is that of a band, in all channels.
    np.testing.assert_allclose(gains[..., 0], gains[..., 1], rtol=1e-9)
    np.testing.assert_allclose(made.mean(axis=(1, 2)), recipients.mean(axis=(1, 2)), rtol=1e-11)
    contrast = [
        (x - x.mean(axis=(1, 2), keepdims=True)).std(axis=(1, 2, 3)) for x in (made, recipients)
    ]
    np.testing.assert_allclose(*contrast, rtol=1e-11)


def test_the_spectrum_does_not_depend_on_the_donor_s_contrast_mean_or_place():
    recipients, donors = wide_pair(2, 12, 13, 1)
    made = swap_spectrum(recipients, donors)
    np.testing.assert_allclose(swap_spectrum(recipients, 5 * donors - 2), made, atol=1e-11)
    moved = np.roll(donors, (3, 4), axis=(1, 2))
    np.testing.assert_allclose(swap_spectrum(recipients, moved), made, atol=1e-11)


@pytest.mark.parametrize("size", SIZES)
def test_an_image_keeps_its_own_spectrum(size):
    recipients = images(1, 3, *size, 2)
    np.testing.assert_allclose(swap_spectrum(recipients, recipients), recipients, atol=1e-13)
    turned = np.rot90(recipients, 2, axes=(1, 2))
    np.testing.assert_allclose(swap_spectrum(recipients, turned), recipients, atol=1e-13)


def test_a_spectrum_by_hand():
    """Waves of 16 and of 4 pixels with energies 16 : 9 become 9 : 16, with their own phases."""
    columns = 2 * np.pi * np.arange(16) / 16

    def mixed(slow, fast, phase):
        line = slow * np.cos(columns + phase) + fast * np.sin(4 * columns - phase)
        return np.tile(line, (1, 5, 1))[..., np.newaxis]

    made = swap_spectrum(mixed(4, 3, 0.4), mixed(3, 4, 0.0))
    np.testing.assert_allclose(made, mixed(3, 4, 0.4), atol=1e-12)
    # A wave that the recipient has not got can't be made louder.
    made = swap_spectrum(mixed(4, 0, 0.4), mixed(3, 4, 0.0))
    np.testing.assert_allclose(made, mixed(4 * 0.6, 0, 0.4), atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.3, 0.1, 123.45])
@pytest.mark.parametrize("size", [(8, 8), (7, 7), (1, 1)])
def test_a_flat_donor_or_recipient_changes_nothing(size, value):
    """A flat donor has no shares; rounding errors of its transform are not taken for them."""
    recipients = images(1, 2, *size, 3)
    flat = np.full((2, *size, 3), value)
    wide = np.concatenate([recipients, flat])  # of a range that clips neither
    low, high = wide.min(), wide.max()
    made = swap_spectrum(recipients, flat)
    np.testing.assert_allclose(made, recipients.clip(low, high), atol=1e-13)
    np.testing.assert_allclose(swap_spectrum(flat, recipients), flat, rtol=1e-13)


def test_a_spectrum_is_clipped_to_the_range_of_the_pair():
    """Noise whose energy all goes to the slowest waves would leave the range."""
    recipients = images(1, 2, 16, 16, 1) ** 6
    donors = np.tile(np.linspace(0, 1, 16), (2, 16, 1))[..., np.newaxis]
    recipients[1], donors[1] = 100 * recipients[1], 100 * donors[1]
    made = swap_spectrum(recipients, donors)
    for i in range(2):
        low = min(recipients[i].min(), donors[i].min())
        high = max(recipients[i].max(), donors[i].max())
        assert (made[i].min(), made[i].max()) == (pytest.approx(low), pytest.approx(high, rel=0.5))
        assert low <= made[i].min()
        assert made[i].max() <= high
    np.testing.assert_array_equal(swap_spectrum(recipients[:1], donors[:1]), made[:1])


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", EDITS)
def test_the_dtype_stays_and_the_values_are_those_of_float64(name, dtype):
    recipients, donors = pair(3, 6, 5, 2, dtype=dtype)
    made = EDITS[name](recipients, donors)
    assert made.dtype == dtype
    exact = EDITS[name](recipients.astype(np.float64), donors.astype(np.float64))
    np.testing.assert_allclose(made, exact, atol=4 * np.finfo(dtype).eps)
    mask = images(4, 6, 5) < 0.5
    assert swap_region(recipients, donors, mask).dtype == dtype


def test_bfloat16():
    import tensorflow as tf

    recipients, donors = (tf.cast(x, tf.bfloat16).numpy() for x in pair(3, 6, 5, 2))
    for edit in EDITS.values():
        made = edit(recipients, donors)
        assert made.dtype == recipients.dtype
        exact = edit(recipients.astype(np.float64), donors.astype(np.float64))
        np.testing.assert_allclose(made.astype(np.float64), exact, atol=2**-7)


@pytest.mark.parametrize("name", EDITS)
def test_a_batch_equals_its_pairs_one_by_one(name):
    recipients, donors = pair(4, 6, 5, 2, dtype=np.float32)
    together = EDITS[name](recipients, donors)
    for i in range(4):
        alone = EDITS[name](recipients[i : i + 1], donors[i : i + 1])
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("edit", [*EDITS.values(), lambda a, b: swap_region(a, b, np.eye(6) > 0)])
def test_the_images_themselves_are_not_changed(edit):
    recipients, donors = pair(3, 6, 6, 2)
    for batch in (recipients, donors):
        batch.setflags(write=False)
    before = recipients.tobytes(), donors.tobytes()
    made = edit(recipients, donors)
    made += 1
    assert (recipients.tobytes(), donors.tobytes()) == before
