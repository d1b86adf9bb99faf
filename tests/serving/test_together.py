"""Lookups of several requests at once: each gets its own, and an error goes to all who asked."""

import asyncio
import threading

import numpy as np
import pytest

from ubp_platform.errors import StoreUnavailable, UBPError
from ubp_platform.serving.reading import Reading
from ubp_platform.serving.together import Together
from ubp_platform.store.publication import Publication
from ubp_platform.store.retrieval import Profile


class Store:
    """Answers when it is let, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.may_answer = threading.Event()
        self.fails = False

    def read(self, ids, version, blocks) -> Reading:
        self.asked.append(list(ids))
        assert self.may_answer.wait(10)
        if self.fails:
            raise StoreUnavailable("gone")
        profiles = [Profile(one, np.zeros(1, np.float32), True, None, "v1") for one in ids]
        return Reading(version or "v1", Publication(publish="p1"), [], profiles)


async def ask(store: Store, questions: list[tuple[list[int], str | None]]) -> list:
    together = Together(store.read)
    tasks = []
    for ids, version in questions:
        tasks.append(asyncio.create_task(together.read(ids, version, [])))
        await asyncio.sleep(0.05)
    store.may_answer.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_those_who_come_meanwhile_are_asked_for_together() -> None:
    store = Store()
    found = asyncio.run(ask(store, [([1], None), ([2], None), ([3, 4], None)]))
    assert store.asked == [[1], [2, 3, 4]]
    assert [[one.client_id for one in each.profiles] for each in found] == [[1], [2], [3, 4]]


def test_versions_are_not_mixed() -> None:
    store = Store()
    found = asyncio.run(ask(store, [([1], None), ([2], "v2"), ([3], None)]))
    assert sorted(store.asked) == [[1], [2], [3]]
    assert [each.version for each in found] == ["v1", "v2", "v1"]


def test_an_error_goes_to_all_who_asked_and_to_nobody_later() -> None:
    store = Store()
    store.fails = True
    found = asyncio.run(ask(store, [([1], None), ([2], None), ([3], None)]))
    assert [str(error) for error in found] == ["gone"] * 3
    store.fails = False
    assert asyncio.run(ask(store, [([4], None)]))[0].profiles[0].client_id == 4


def test_a_bad_row_is_the_fault_of_one() -> None:
    store = Store()
    good = store.read

    def read(ids, version, blocks) -> Reading:
        found = good(ids, version, blocks)
        if 3 in ids:
            raise UBPError("client 3 is damaged")
        return found

    store.read = read  # type: ignore[method-assign]
    found = asyncio.run(ask(store, [([1], None), ([2], None), ([3], None), ([4], None)]))
    assert str(found[2]) == "client 3 is damaged"
    assert [found[at].profiles[0].client_id for at in (0, 1, 3)] == [1, 2, 4]


def test_a_client_who_leaves_takes_nobody_along() -> None:
    async def leave() -> Reading:
        store = Store()
        together = Together(store.read)
        first, second, third = (
            asyncio.create_task(together.read([one], None, [])) for one in (1, 2, 3)
        )
        await asyncio.sleep(0.05)
        second.cancel()
        store.may_answer.set()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert (await first).profiles[0].client_id == 1
        return await third

    assert asyncio.run(leave()).profiles[0].client_id == 3
