"""Probes that are written to a file and read back, and files that are damaged or hostile."""

import io
import json
import pickle
import tracemalloc
import zipfile

import ml_dtypes
import numpy as np
import pytest

from keras_saliency import ProbeSet
from keras_saliency.data.annotations import DefaultNames
from keras_saliency.data.inputs import AssumedKind

RNG = np.random.default_rng(0)
IMAGES = RNG.random((4, 6, 5, 3)).astype("float32")
MASKS = RNG.random((4, 6, 5)) > 0.5
TAG = np.zeros((6, 5), bool)
TAG[:2, :3] = True
TEXTS = np.array(["a", "", "longer", "é"])

EVERYTHING = {
    "images": {"images": IMAGES, "targets": [1, 0, 2, 1]},
    "annotated": {
        "images": IMAGES,
        "targets": [1, 0, 2, 1],
        "masks": MASKS,
        "regions": {"tag": TAG, "own/../part": MASKS},
        "groups": ["north", "south", "north", "east"],
        "class_names": ["cat", "dog", "żaba"],
        "names": ["one", "two", "three", "four"],
        "indices": [7, 3, 10**12, 0],
    },
    "boxes": {
        "images": IMAGES,
        "boxes": [[0, 0, 5, 6], [1, 1, 2, 2], [0, 1.5, 4, 2], [3, 3, 4, 6]],
    },
    "boxes and masks": {"images": IMAGES, "boxes": [[0, 0, 5, 6]] * 4, "masks": MASKS},
    "several inputs": {
        "images": IMAGES,
        "targets": [0, 0, 1, 1],
        "held": {1: TEXTS, 2: TEXTS[:, None] == "a", 0: np.array([b"x", b"yz", b"", b"q"])},
        "input_name": 3,
        "groups": [3, 1, 3, 2],
    },
    "named inputs": {"images": IMAGES, "held": {"age": [1.5, 2, 3, 4]}, "input_name": "photo"},
    "gray": {"images": IMAGES[..., 0]},
    "channels first": {"images": IMAGES, "data_format": "channels_first"},
    "tokens": {
        "images": np.array([[1, 2, 0], [2, 2, 1]]),
        "targets": [0, 1],
        "kind": "tokens",
        "vocabulary": ["", "the", "cat"],
    },
    "volume": {"images": np.zeros((2, 3, 4, 5, 1), "uint8"), "kind": "volume"},
    "one probe": {"images": IMAGES[:1], "regions": {"tag": TAG}},
}


def saved(path, **fields):
    probes = ProbeSet(**fields)
    probes.save(path)
    return probes


def assert_same(one, other):
    assert (type(one), getattr(one, "dtype", None)) == (type(other), getattr(other, "dtype", None))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_field_is_read_as_it_was_written(tmp_path, name):
    probes = saved(tmp_path / "probes.npz", **EVERYTHING[name])
    loaded = ProbeSet.load(str(tmp_path / "probes.npz"))
    assert loaded.fingerprint == probes.fingerprint
    assert vars(loaded).keys() == vars(probes).keys()
    for field, value in vars(probes).items():
        if field != "kind" and not isinstance(value, dict):
            assert_same(getattr(loaded, field), value)
    assert loaded.kind == probes.kind
    for field in ("regions", "held"):
        assert list(getattr(loaded, field)) == list(getattr(probes, field))
        for key, value in getattr(probes, field).items():
            assert_same(getattr(loaded, field)[key], value)
    assert [path.name for path in tmp_path.iterdir()] == ["probes.npz"]


@pytest.mark.parametrize(
    "dtype", ["uint8", ">i2", "float16", ">f8", "bool", ml_dtypes.bfloat16, ml_dtypes.float8_e5m2]
)
def test_the_dtype_and_the_bytes_are_kept(tmp_path, dtype):
    images = (IMAGES * 9).astype(dtype)
    probes = saved(tmp_path / "probes.npz", images=images)
    loaded = ProbeSet.load(tmp_path / "probes.npz")
    assert loaded.images.dtype == probes.images.dtype == np.dtype(dtype)
    assert loaded.images.tobytes() == images.tobytes()
    assert loaded.fingerprint == probes.fingerprint


def test_default_names_follow_new_targets_also_when_loaded(tmp_path):
    saved(tmp_path / "probes.npz", images=IMAGES, targets=[0, 1, 0, 1])
    assert isinstance(ProbeSet.load(tmp_path / "probes.npz").names, DefaultNames)


def test_equal_probes_are_equal_files_and_numpy_reads_them(tmp_path):
    for name in ("a.npz", "b.npz"):
        saved(tmp_path / name, **EVERYTHING["annotated"])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:  # not the time, which is the same here
        assert {member.date_time[0] for member in archive.infolist()} == {1980}
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["images"], IMAGES)
        np.testing.assert_array_equal(arrays["regions_0"], TAG)  # once, not for each probe
        assert json.loads(arrays["header"].tobytes())["format"] == 2


def test_a_region_of_all_probes_takes_the_space_of_one(tmp_path):
    saved(tmp_path / "without.npz", images=IMAGES)
    saved(tmp_path / "with.npz", images=IMAGES, regions={"tag": TAG})
    sizes = [(tmp_path / name).stat().st_size for name in ("without.npz", "with.npz")]
    assert sizes[1] - sizes[0] < 2 * TAG.size + 300


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"path: expected the name of a \.npz file, received"):
        ProbeSet(IMAGES).save(tmp_path / "probes.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="probes.npz"):
        ProbeSet.load(tmp_path / "probes.npz")


def test_a_file_that_cannot_be_replaced_stays(tmp_path):
    probes = saved(tmp_path / "probes.npz", images=IMAGES)
    (tmp_path / "probes.npz.new").mkdir()
    with pytest.raises(OSError, match="probes.npz.new"):
        ProbeSet(IMAGES * 2).save(tmp_path / "probes.npz")
    assert ProbeSet.load(tmp_path / "probes.npz").fingerprint == probes.fingerprint


# ---------------------------------------------------------------- damaged and hostile files


def npy(array, **how):
    buffer = io.BytesIO()
    np.save(buffer, array, **how)
    return buffer.getvalue()


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path, *, compression=zipfile.ZIP_STORED, **changed):
    """A file with other members; one that is `None` is left out."""
    members = {**members_of(path), **{f"{name}.npy": data for name, data in changed.items()}}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            if data is not None:
                archive.writestr(name, data)


def with_header(path, change, **changed):
    """A file with another header, whose hash is right."""
    from keras_saliency.data.probe_files import _hash

    members = {name[:-4]: data for name, data in members_of(path).items()} | changed
    text = np.load(io.BytesIO(members.pop("header"))).tobytes()
    header = json.loads(text)
    change(header)
    content = header["content"]
    header["hash"] = _hash(content, {name: members[name] for name in content["dtypes"]})
    rewritten(path, header=npy(np.frombuffer(json.dumps(header).encode(), "uint8")), **changed)


def refused(path):
    """The message for a file, which is refused without much memory."""
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"^path: ") as raised:
        ProbeSet.load(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert "probes.npz" in str(raised.value)
    return str(raised.value)


@pytest.fixture
def path(tmp_path):
    saved(tmp_path / "probes.npz", **EVERYTHING["annotated"])
    return tmp_path / "probes.npz"


def test_a_changed_byte_of_an_array_is_seen(path):
    changed = IMAGES.copy()
    changed[0, 0, 0, 0] += 1
    rewritten(path, images=npy(changed))
    assert refused(path).endswith(
        "it is damaged: its content does not have the hash that it states."
    )


def test_a_changed_byte_of_the_file_is_seen(path):
    data = bytearray(path.read_bytes())
    data[data.index(IMAGES.tobytes()) + 5] ^= 1
    path.write_bytes(data)
    assert "Bad CRC-32" in refused(path)


def test_a_changed_word_of_the_header_is_seen(path):
    members = members_of(path)
    text = members["header.npy"].replace(b'"dog"', b'"cow"')
    assert text != members["header.npy"]
    rewritten(path, header=text)
    assert "does not have the hash" in refused(path)


@pytest.mark.parametrize("size", [0, 10, 200, -1])
def test_a_file_that_is_cut_off_is_refused(path, size):
    path.write_bytes(path.read_bytes()[:size])
    assert "File is not a zip file" in refused(path)


def test_another_format_is_refused(path):
    with_header(path, lambda header: header.update(format=3))
    message = "it has format 3, and this version of keras_saliency reads formats 1, 2."
    assert message in refused(path)


def test_whether_a_kind_was_assumed_is_kept_for_every_input(path):
    series, ids = np.zeros((4, 5, 3)), np.arange(8).reshape(4, 2)
    mixed = ProbeSet({"a": series, "b": ids, "c": series}, kind={"c": "series"})
    for probes, assumed in [
        (ProbeSet(series), ["image"]),
        (ProbeSet(series, kind="image"), []),
        (ProbeSet(ids), ["tokens"]),
        (ProbeSet(IMAGES), []),
        (mixed, ["image", "tokens"]),
    ]:
        probes.save(path)
        loaded = ProbeSet.load(path)
        kinds = [one.kind for one in loaded.explained.values()]
        assert kinds == [one.kind for one in probes.explained.values()]
        assert [kind for kind in kinds if isinstance(kind, AssumedKind)] == assumed


def test_files_of_format_1_are_read(path):
    ProbeSet(np.zeros((4, 5, 3)), [0, 1, 2, 3]).save(path)

    def as_before(header):
        header["format"] = 1
        del header["content"]["kind_is_assumed"]

    with_header(path, as_before)
    loaded = ProbeSet.load(path)
    assert (loaded.kind, loaded.targets.tolist()) == ("image", [0, 1, 2, 3])
    assert not isinstance(loaded.kind, AssumedKind)


def test_pickled_arrays_are_refused_and_never_run(path, tmp_path):
    class Harm:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    harm = npy(np.array([Harm()], dtype=object), allow_pickle=True)
    with_header(path, lambda header: None, images=harm)
    assert "an array has dtype object, which is neither numbers nor text." in refused(path)
    rewritten(path, header=harm)
    assert "an array has dtype object, which is neither numbers nor text." in refused(path)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ValueError, match="File is not a zip file"):
        (path.write_bytes(pickle.dumps(1)), ProbeSet.load(path))


def test_integers_do_not_become_objects(path):
    number = npy(np.zeros(8, "uint64"))
    with_header(path, lambda h: h["content"]["dtypes"].update(images="object"), images=number)
    assert "an array has dtype uint64 instead of object." in refused(path)


def test_a_header_that_claims_a_huge_array_takes_no_memory(path):
    small = npy(np.zeros((1, 1, 1, 1), "float32"))
    huge = small.replace(b"(1, 1, 1, 1), }" + b" " * 21, b"(99999, 99999, 9, 1), }" + b" " * 13)
    assert len(huge) == len(small)
    assert huge != small
    with_header(path, lambda header: None, images=huge)
    assert "buffer is too small for requested array" in refused(path)


def test_compressed_parts_are_refused(path):
    rewritten(path, compression=zipfile.ZIP_DEFLATED, images=npy(np.zeros(10**7, "float32")))
    assert refused(path).endswith("a part of it is compressed.")


def test_parts_that_claim_to_be_larger_than_the_file_are_refused(path):
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02", data.rindex(b"images.npy") - 60)
    data[entry + 24 : entry + 28] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)
    assert refused(path).endswith("its parts are larger than the file.")


def test_a_large_header_is_refused(path, monkeypatch):
    monkeypatch.setattr("keras_saliency.data.probe_files.MAX_HEADER", 100)
    assert "its header has more than 0 MB" in refused(path)


@pytest.mark.parametrize(
    "text", [b"[]", b"{}", b"{", b"\xff", b"[" * 100_000, b'{"format": 1}', b"null"]
)
def test_a_header_that_is_something_else_is_refused(path, text):
    rewritten(path, header=npy(np.frombuffer(text, "uint8")))
    refused(path)


def test_a_file_of_other_arrays_is_refused(path):
    np.savez(path, images=IMAGES)
    assert refused(path).endswith("it has no header.")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kind", "smell", "kind: expected one of"),
        ("names", ["one"], "names: expected 4 names, received 1."),
        ("class_names", 3, "class_names: expected a list of strings"),
        ("input_name", 1.5, "input_name, held: expected either names"),
        ("colour", "red", "unexpected keyword argument 'colour'"),
    ],
)
def test_fields_are_checked_as_those_of_any_probes(path, field, value, message):
    with_header(path, lambda header: header["content"].update({field: value}))
    assert message in refused(path)


def test_arrays_are_checked_as_those_of_any_probes(path):
    with_header(path, lambda header: None, targets=npy(np.arange(3)))
    assert "targets: expected" in refused(path)
    with_header(path, lambda header: None, targets=npy(np.arange(4)), images=npy(IMAGES[:0]))
    assert "images: expected at least one probe" in refused(path)


def test_an_array_that_is_missing_is_named(path):
    rewritten(path, masks=None)
    assert "masks.npy" in refused(path)
