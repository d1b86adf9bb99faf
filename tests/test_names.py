"""Names are given once, whatever is removed and however many ask."""

import threading
from pathlib import Path

from ubp_platform.home import Home
from ubp_platform.names import give_name


def test_a_name_is_never_given_again(tmp_path: Path) -> None:
    home = Home(home=tmp_path)
    assert [give_name(home, "profiles") for _ in range(3)] == ["v1", "v2", "v3"]
    assert give_name(home, "blocks/ials") == "v1"
    assert give_name(home, "profiles", taken=["v7"]) == "v8"
    assert give_name(home, "publishes", prefix="p") == "p1"


def test_several_at_once_get_different_names(tmp_path: Path) -> None:
    home, names = Home(home=tmp_path), []
    threads = [
        threading.Thread(target=lambda: names.append(give_name(home, "profiles")))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == sorted(f"v{number}" for number in range(1, 21))
