"""Nobody but its owner reads a home."""

from pipelines.publish import publish
from ubp_platform.home import Home


def test_nothing_in_a_home_is_readable_by_group_or_others(home: Home) -> None:
    publish(home)
    found = {path: path.stat().st_mode & 0o077 for path in (home.root, *home.root.rglob("*"))}
    assert {home.warehouse, home.data_docs, home.blocks, home.snapshots, home.feast} <= set(found)
    open_ones = {str(path.relative_to(home.root)) for path, mode in found.items() if mode}
    assert not open_ones
