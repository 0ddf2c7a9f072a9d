import io
import json
import zlib

import numpy as np
import pytest

from keras_saliency.log import tags
from keras_saliency.log.blobs import codes, packed, unpacked, values
from keras_saliency.log.headers import BlobError, read_header


def test_a_code_is_the_share_of_the_limit_in_252_levels():
    maps = np.array([[[0.0, 0.5], [1.0, 2.0]], [[0.0, 1e-20], [2e-20, 4e-20]]])
    found = codes(maps, limits=np.array([2.0, 4e-20]))
    assert found.dtype == np.uint8
    assert found.tolist() == [[[0, 63], [126, 252]], [[0, 63], [126, 252]]]


def test_signed_codes_have_zero_in_the_middle():
    found = codes(np.array([[-2.0, -1.0, 0.0, 1.0, 2.0]]), limits=np.array([2.0]), signed=True)
    assert found.tolist() == [[0, 63, 126, 189, 252]]


def test_what_is_not_finite_has_a_code_of_its_own_and_comes_back_as_nan():
    maps = np.array([[np.nan, np.inf, -np.inf, 1.0]])
    found = codes(maps, limits=np.array([1.0]), signed=True)
    assert found.tolist() == [[255, 255, 255, 252]]
    back = values(found, limits=np.array([1.0]), signed=True)
    assert np.isnan(back[0, :3]).all()
    assert back[0, 3] == 1


@pytest.mark.parametrize(("signed", "error"), [(False, 1 / 504), (True, 1 / 252)])
def test_values_are_off_by_half_a_level_at_most(signed, error):
    maps = np.random.default_rng(0).normal(size=(3, 40, 50))
    maps = maps if signed else np.abs(maps)
    ends = np.abs(maps).max(axis=(1, 2))
    back = values(codes(maps, limits=ends, signed=signed), limits=ends, signed=signed)
    off = np.abs(back - maps).max(axis=(1, 2)) / ends
    assert (off <= error * (1 + 1e-5)).all()
    assert off.max() > error / 2  # no finer than that: the bound is not idle


def test_a_zero_map_comes_back_as_zeros():
    found = codes(np.zeros((1, 2, 2)), limits=np.zeros(1))
    assert values(found, limits=np.zeros(1)).tolist() == [[[0, 0], [0, 0]]]


def test_blobs_are_a_header_and_deflated_npy_files():
    """Read without the package, as docs/log_format.md says."""
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    header, left_out, kept = packed({"step": 3}, {"small": None, "maps": array})
    assert json.loads(header) == {"format": tags.FORMAT, "step": 3, "arrays": ["small", "maps"]}
    assert left_out == b""
    back = np.load(io.BytesIO(zlib.decompress(kept)))
    assert back.dtype == np.uint8
    assert back.tolist() == array.tolist()


def test_what_is_packed_is_unpacked():
    array = np.arange(4, dtype=np.int32).reshape(1, 4)[:, ::-1]  # not contiguous
    header, arrays = unpacked(packed({"name": "Ж ✓ <b>"}, {"places": array, "none": None}))
    assert header["name"] == "Ж ✓ <b>"
    assert list(arrays) == ["places"]
    assert arrays["places"].dtype == np.int32
    assert arrays["places"].tolist() == [[3, 2, 1, 0]]


def test_headers_are_strict_json_with_null_for_what_is_not_finite():
    row = np.array([0.1, np.nan, np.inf], np.float32)
    told = {"row": row, "one": np.float64(0.25), "count": np.int64(3), "nested": {"a": (np.nan,)}}
    text = packed(told, {})[0].decode()
    assert '"row":[0.1,null,null]' in text  # not 0.10000000149011612
    assert json.loads(text) == {
        "format": tags.FORMAT,
        "row": [0.1, None, None],
        "one": 0.25,
        "count": 3,
        "nested": {"a": [None]},
        "arrays": [],
    }


def test_float32_survive_their_few_digits():
    row = np.random.default_rng(0).normal(size=100).astype(np.float32)
    header, _ = unpacked(packed({"row": row}, {}))
    assert np.array_equal(np.array(header["row"], np.float32), row)


@pytest.mark.parametrize(
    ("blobs", "said"),
    [
        ([], "not valid JSON"),
        ([b"{"], "not valid JSON"),
        ([b"\xff\xfe"], "not valid JSON"),
        ([b"[]"], "no format"),
        ([b'{"format": "1", "arrays": []}'], "no format"),
        ([b'{"format": true, "arrays": []}'], "no format"),
        ([b'{"format": 1}'], "has no list of arrays"),
        ([b'{"format": 1, "arrays": [1]}'], "has no list of arrays"),
        ([b'{"format": 1, "arrays": ["maps"]}'], "expected 1 arrays, received 0"),
        ([b'{"format": 1, "arrays": ["maps"]}', b"junk"], "'maps' cannot be read"),
        ([b'{"format": 1, "arrays": ["maps"]}', zlib.compress(b"junk")], "'maps' cannot be read"),
    ],
)
def test_broken_blobs_are_refused_in_words(blobs, said):
    with pytest.raises(BlobError, match=said):
        unpacked(blobs)


def test_a_truncated_array_is_refused():
    blobs = packed({}, {"maps": np.zeros((9, 9), np.uint8)})
    whole = zlib.decompress(blobs[1])
    with pytest.raises(BlobError, match="'maps' cannot be read"):
        unpacked([blobs[0], zlib.compress(whole[:-1])])
    with pytest.raises(BlobError, match="'maps' cannot be read"):
        unpacked([blobs[0], blobs[1][:-3]])


def test_pickled_objects_are_never_loaded():
    file = io.BytesIO()
    np.save(file, np.array([{}], object), allow_pickle=True)
    blobs = [*packed({}, {"maps": None})[:1], zlib.compress(file.getvalue())]
    with pytest.raises(BlobError, match="cannot be read"):
        unpacked(blobs)


def test_a_newer_format_is_refused_and_says_what_to_do():
    with pytest.raises(BlobError, match="newer version of .*format 2.*Upgrade keras_saliency"):
        read_header(json.dumps({"format": tags.FORMAT + 1, "arrays": []}).encode())


@pytest.mark.parametrize("header", [b'{"format": 1, "arrays": [], "a": NaN}', b"[" * 100_000])
def test_what_strict_json_has_not_is_refused(header):
    with pytest.raises(BlobError, match="its header is not valid JSON"):
        read_header(header)
