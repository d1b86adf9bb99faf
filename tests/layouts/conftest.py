from pathlib import Path

import pytest

from ubp_platform.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(home=tmp_path / "home")
