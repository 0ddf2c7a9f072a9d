"""The checksums in event files: masked CRC-32C, as in TensorFlow's TFRecord format."""

from __future__ import annotations

import numpy as np
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow

from keras_saliency.data.reports import Array

_TABLE = np.array(pywrap_tensorflow.CRC_TABLE, np.uint32)
_BITS = np.arange(32, dtype=np.uint32)
_SHORT = 4096
"""TensorBoard's function needs 0.2 ms for 1 KB. For more bytes than this, NumPy is faster."""


def checksum(content: bytes) -> int:
    """The masked CRC-32C of some bytes."""
    if len(content) < _SHORT:
        return int(pywrap_tensorflow.masked_crc32c(content))
    return int(_masked(np.array([_crc_of_long(content)], np.uint32))[0])


def checksums(rows: Array) -> Array:
    """The masked CRC-32C of each row of a few bytes: uint8 `(n, bytes)` in, uint32 `(n,)` out."""
    states = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in rows.T:
        states = _next(states, column)
    return _masked(~states)


def _next(states: Array, column: Array) -> Array:
    """The states after one more byte each."""
    result: Array = _TABLE[(states ^ column) & 255] ^ (states >> 8)
    return result


def _masked(crc: Array) -> Array:
    return ((crc >> 15) | (crc << 17)) + np.uint32(0xA282EAD8)


def _crc_of_long(content: bytes) -> int:
    """CRC-32C of many bytes, cut into pieces that are computed at the same time.

    A CRC without its first and last inversion is linear: that of two pieces is that of the first,
    followed by as many zeros as the second is long, XOR that of the second. What these zeros do to
    a state is a matrix of 32 x 32 bits, computed as 32 more pieces; its square is for two pieces.
    """
    pieces = 1 << (len(content).bit_length() // 2)
    length = -(-len(content) // pieces)
    rows = np.zeros((pieces + 32, length), np.uint8)
    used = rows[:pieces].reshape(-1)[-len(content) :]  # zeros at the start change nothing
    used[:] = np.frombuffer(content, np.uint8)
    used[:4] ^= 255  # the first inversion
    states: Array = np.zeros(pieces + 32, np.uint32)
    states[pieces:] = 1 << _BITS
    for column in np.ascontiguousarray(rows.T):
        states = _next(states, column)
    states, matrix = states[:pieces], states[pieces:]
    while len(states) > 1:
        states = _product(matrix, states[::2]) ^ states[1::2]
        matrix = _product(matrix, matrix)
    return int(~states[0])


def _product(matrix: Array, states: Array) -> Array:
    """A matrix of bits, as 32 columns, times states."""
    bits = (states[:, np.newaxis] >> _BITS) & 1
    result: Array = np.bitwise_xor.reduce(bits * matrix, axis=1)
    return result
