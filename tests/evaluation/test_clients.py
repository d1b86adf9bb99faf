"""Lists of clients and embeddings from untrusted files: read correctly, or refused in one line."""

import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ubp_platform.client_list import read_clients
from ubp_platform.errors import UBPError
from ubp_platform.evaluation.embeddings import read_embeddings

CLIENTS = np.array([7, 2**62, 3, 0])
VECTORS = np.arange(12, dtype=np.float16).reshape(4, 3)


def bytes_of(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_header(header: str) -> bytes:
    """Make an .npy file with an arbitrary header."""
    text = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(80)


def zipped() -> bytes:
    file = io.BytesIO()
    np.savez(file, CLIENTS)
    return file.getvalue()


def refusal(read: Callable[[], object]) -> str:
    """Return the message of a refusal, which is one line."""
    with pytest.raises(UBPError) as raised:
        read()
    text = str(raised.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("kind", ["<i8", ">i8", "<i4", "u1", "<u8"])
def test_clients_keep_their_order(tmp_path: Path, kind: str) -> None:
    ids = np.array([7, 200, 3, 0])
    np.save(tmp_path / "some.npy", ids.astype(kind))
    found = read_clients(tmp_path / "some.npy")
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, ids)


def test_clients_of_parquet_files(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    pq.write_table(pa.table({"label": [0, 1, 0, 1], "client_id": CLIENTS}), path, row_group_size=2)
    np.testing.assert_array_equal(read_clients(path), CLIENTS)
    assert read_clients(path).dtype == np.int64


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(bytes_of(np.ones(3)), "integers or of text, not float64 of", id="float"),
        pytest.param(bytes_of(np.array([True])), "integers or of text, not bool", id="bool"),
        pytest.param(bytes_of(np.array(5)), r"of shape \(\)", id="a number"),
        pytest.param(bytes_of(np.ones((2, 2), int)), r"of shape \(2, 2\)", id="two dimensions"),
        pytest.param(bytes_of(np.array([1, 2**63], np.uint64)), "signed 64-bit", id="uint64"),
        pytest.param(bytes_of(np.empty(0, int)), "names no client", id="no client"),
        pytest.param(b"", "numpy's format", id="empty"),
        pytest.param(bytes_of(CLIENTS)[:-1], "numpy's format", id="cut off"),
        pytest.param(bytes_of(CLIENTS)[:50], "numpy's format", id="cut off in the header"),
        pytest.param(bytes_of(np.array([1, None])), "numpy's format", id="objects"),
        pytest.param(pickle.dumps([1, 2]), "numpy's format", id="pickle"),
        pytest.param(zipped(), "numpy's format", id="npz"),
        pytest.param(b"client_id\n1\n2\n", "numpy's format", id="csv"),
        pytest.param(
            with_header("{'descr': '<i8', 'fortran_order': False, 'shape': (10**15,)}"),
            "numpy's format",
            id="a sum for a shape",
        ),
        pytest.param(
            with_header("{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000000,)}"),
            "numpy's format",
            id="larger than memory",
        ),
        pytest.param(
            with_header("{'descr': '<i8', 'fortran_order': False, 'shape': (10,"),
            "numpy's format",
            id="broken header",
        ),
    ],
)
def test_other_npy_files_are_refused_in_one_line(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "some.npy"
    path.write_bytes(content)
    assert re.search(f"some.npy.*{words}", refusal(lambda: read_clients(path)))


def test_the_message_about_another_format_names_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "some.npy"
    for content in (pickle.dumps([1, 2]), b"1\n2\n", bytes_of(np.array([1, None]))):
        path.write_bytes(content)
        words = refusal(lambda: read_clients(path))
        assert "numpy.save('some.npy', array) writes one" in words
        assert "magic string" not in words


def test_endings_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "SOME.NPY").write_bytes(bytes_of(CLIENTS))
    pq.write_table(pa.table({"client_id": CLIENTS}), tmp_path / "SOME.PARQUET")
    for name in ("SOME.NPY", "SOME.PARQUET"):
        np.testing.assert_array_equal(read_clients(tmp_path / name), CLIENTS)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    damage=st.lists(
        st.tuples(st.integers(0, 79), st.sampled_from(b"('\"\n{[09]}),x\x00\xff")),
        min_size=1,
        max_size=4,
    ),
    cut=st.integers(0, 200),
)
def test_a_damaged_file_is_read_or_refused_in_one_line(
    tmp_path: Path, damage: list[tuple[int, int]], cut: int
) -> None:
    content = bytearray(bytes_of(CLIENTS))
    for place, byte in damage:
        content[place] = byte
    path = tmp_path / "some.npy"
    path.write_bytes(content[:cut])
    try:
        assert read_clients(path).dtype == np.int64
    except UBPError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        pytest.param(pa.array([1.0, 2.0]), "integers or of text, not float64", id="float"),
        pytest.param(pa.array([[1], [2]]), "integers or of text, not object", id="lists"),
        pytest.param(pa.array([1, 2], pa.timestamp("us")), "not datetime64", id="times"),
        pytest.param(pa.array([1, 2**63], pa.uint64()), "signed 64-bit", id="uint64"),
        pytest.param(pa.array([1, None]), "rows without a client_id", id="null"),
        pytest.param(pa.array([], pa.int64()), "names no client", id="no client"),
    ],
)
def test_other_columns_are_refused_in_one_line(
    tmp_path: Path, column: pa.Array, words: str
) -> None:
    path = tmp_path / "some.parquet"
    pq.write_table(pa.table({"client_id": column}), path)
    assert re.search(f"some.parquet.*{words}", refusal(lambda: read_clients(path)))


@pytest.mark.parametrize("ending", [".npy", ".parquet", ".csv"])
def test_clients_named_again_are_counted_and_taken_once(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"some{ending}"
    ids = ["b 7", "ä", "b 7", "a", "ä"]
    if ending == ".npy":
        np.save(path, np.array(ids))
    elif ending == ".csv":
        path.write_text("\ufeffclient_id,label\n" + "".join(f"{one},1\n" for one in ids))
    else:
        pq.write_table(pa.table({"client_id": ids}), path)
    with pytest.warns(UserWarning, match="names clients again in 2 of its rows"):
        found = read_clients(path)
    assert found.tolist() == ["b 7", "ä", "a"]


def test_files_that_are_no_lists_of_clients(tmp_path: Path) -> None:
    pq.write_table(pa.table({"who": [1], "when": [2]}), tmp_path / "other.parquet")
    whole = (tmp_path / "other.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:-10])
    (tmp_path / "some.txt").write_text("1\n2\n")
    (tmp_path / "directory.npy").mkdir()
    for name, words in {
        "other.parquet": "has no column client_id; it has who, when",
        "cut.parquet": "is not a Parquet file",
        "some.txt": "is a .npy, a .parquet or a .csv file",
        "directory.npy": "directory.npy: Is a directory",
        "missing.npy": "no such file",
        "missing.parquet": "no such file",
    }.items():
        assert words in refusal(lambda name=name: read_clients(tmp_path / name))


def save(directory: Path, ids: np.ndarray = CLIENTS, vectors: np.ndarray = VECTORS) -> Path:
    directory.mkdir(exist_ok=True)
    np.save(directory / "client_ids.npy", ids)
    np.save(directory / "embeddings.npy", vectors)
    return directory


def test_embeddings_follow_the_clients_that_are_wanted(tmp_path: Path) -> None:
    directory = save(tmp_path)
    clients, vectors = read_embeddings(directory)
    np.testing.assert_array_equal(clients, CLIENTS)
    np.testing.assert_array_equal(vectors, VECTORS)
    order = np.array([2, 0, 3, 1])
    clients, vectors = read_embeddings(directory, CLIENTS[order])
    np.testing.assert_array_equal(clients, CLIENTS[order])
    np.testing.assert_array_equal(vectors, VECTORS[order])
    assert vectors.dtype == np.float16


def test_embeddings_of_other_clients_are_refused(tmp_path: Path) -> None:
    directory = save(tmp_path)
    words = refusal(lambda: read_embeddings(directory, np.append(CLIENTS, [11, 12])))
    assert "lacks 2 of the 6 clients to evaluate, such as 11" in words
    # The advice in the message works.
    read_embeddings(directory, read_clients(directory / "client_ids.npy"))
    assert "2 clients that are not to be evaluated, such as 3" in refusal(
        lambda: read_embeddings(directory, CLIENTS[:2])
    )


@pytest.mark.parametrize(
    ("ids", "vectors", "words"),
    [
        (CLIENTS, VECTORS.astype(np.float32), "embeddings.npy must be of float16, not float32"),
        (CLIENTS, VECTORS.astype(np.int64), "embeddings.npy must be of float16, not int64"),
        (CLIENTS, VECTORS[:, 0], r"1 to 2048 wide; its shape is \(4,\)"),
        (CLIENTS, VECTORS[:, :0], r"1 to 2048 wide; its shape is \(4, 0\)"),
        (CLIENTS, VECTORS[..., None], r"its shape is \(4, 3, 1\)"),
        (CLIENTS, np.zeros((4, 2049), np.float16), r"its shape is \(4, 2049\)"),
        (CLIENTS, VECTORS[:3], "3 rows for 4 client ids"),
        (CLIENTS, np.where(VECTORS == 7, np.float16(np.nan), VECTORS), "at client 3"),
        (CLIENTS, np.where(VECTORS == 7, np.float16(np.inf), VECTORS), "at client 3"),
        (
            CLIENTS.astype(np.uint64),
            VECTORS,
            "client_ids.npy must be of int64, or text, not uint64",
        ),
        (
            CLIENTS[:2].astype(np.int32),
            VECTORS,
            "client_ids.npy must be of int64, or text, not int32",
        ),
        (CLIENTS.astype(float), VECTORS, "client_ids.npy must be of int64, or text, not float64"),
        (CLIENTS[:, None], VECTORS, r"client_ids.npy must be a list.*shape \(4, 1\)"),
        (CLIENTS[[0, 1, 2, 0]], VECTORS, "client_ids.npy names client 7 more than once"),
        (CLIENTS[:0], VECTORS[:0], "client_ids.npy names no client"),
    ],
)
def test_embeddings_that_break_a_rule_are_refused(
    tmp_path: Path, ids: np.ndarray, vectors: np.ndarray, words: str
) -> None:
    directory = save(tmp_path, ids, vectors)
    assert re.search(words, refusal(lambda: read_embeddings(directory)))


def test_missing_and_broken_embeddings_are_refused(tmp_path: Path) -> None:
    assert "no such directory" in refusal(lambda: read_embeddings(tmp_path / "nothing"))
    (tmp_path / "empty").mkdir()
    assert "no such file" in refusal(lambda: read_embeddings(tmp_path / "empty"))
    directory = save(tmp_path / "cut")
    path = directory / "embeddings.npy"
    path.write_bytes(path.read_bytes()[:-2])
    assert "embeddings.npy is not an array" in refusal(lambda: read_embeddings(directory))
    path.write_bytes(zipped())
    assert "embeddings.npy is not an array" in refusal(lambda: read_embeddings(directory))
    path.unlink()
    assert "no such file" in refusal(lambda: read_embeddings(directory))
