from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ubp_platform.blocks.embedding_cache import EmbeddingCache, text_key
from ubp_platform.errors import UBPError

KEYS = [text_key(f"text {number}") for number in range(200)]
CLIENTS = list(range(200))
VECTORS = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)


def test_returns_what_was_written(tmp_path: Path) -> None:
    with EmbeddingCache(tmp_path / "lm" / "cache.sqlite") as cache:
        cache.write(KEYS[:3], CLIENTS[:3], VECTORS[:3])
    with EmbeddingCache(tmp_path / "lm" / "cache.sqlite") as cache:
        known = cache.read(KEYS[1:5])
    assert list(known) == KEYS[1:3]
    np.testing.assert_array_equal(np.stack(list(known.values())), VECTORS[1:3])


def test_without_a_file_caches_nothing() -> None:
    with EmbeddingCache() as cache:
        cache.write(KEYS, CLIENTS, VECTORS)
        assert cache.read(KEYS) == {}


def test_written_vectors_survive_a_crash(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "cache.sqlite").__enter__()
    cache.write(KEYS, CLIENTS, VECTORS)
    with EmbeddingCache(tmp_path / "cache.sqlite") as other:
        assert len(other.read(KEYS)) == len(KEYS)
    cache.__exit__()


def test_many_write_at_once(tmp_path: Path) -> None:
    def write(worker: int) -> None:
        with EmbeddingCache(tmp_path / "cache.sqlite") as cache:
            for start in range(worker, 200, 2):
                some = slice(start, start + 5)
                cache.write(KEYS[some], CLIENTS[some], VECTORS[some])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, [0, 1] * 4))
    with EmbeddingCache(tmp_path / "cache.sqlite") as cache:
        known = cache.read(KEYS)
    np.testing.assert_array_equal(np.stack([known[key] for key in KEYS]), VECTORS)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache.sqlite").write_bytes(b"something else" * 1000)
    with pytest.raises(UBPError, match=r"not a database.*delete the file"):
        EmbeddingCache(tmp_path / "cache.sqlite").__enter__()


def test_the_key_depends_on_the_full_text() -> None:
    assert len(text_key("a")) == 16
    assert len(set(KEYS)) == 200
    long = "a" * 500
    assert len({text_key(text) for text in (f"{long}x", f"{long}y", f"x{long}", f"y{long}")}) == 4
