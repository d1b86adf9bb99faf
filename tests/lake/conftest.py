from pathlib import Path

import pytest

from pipelines.ingest import ingest
from tests.lake.lakes import part
from tests.pipelines.deliveries import deliver
from ubp_platform.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    ingest(home, str(deliver(tmp_path / "first", **part(later=False))))
    return home
