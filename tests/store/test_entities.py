"""What a training set's entities may be."""

import pandas as pd
import pytest

from ubp_platform.errors import UBPError
from ubp_platform.store.retrieval import _keys


def entities(*times: object) -> pd.DataFrame:
    return pd.DataFrame({"client_id": range(len(times)), "event_timestamp": list(times)})


def test_times_are_iso_with_or_without_a_zone() -> None:
    found = _keys(
        entities("2024-02-03", "2024-02-03T01:00:00+01:00", "2024-02-03 00:00:00Z"), text=False
    )
    assert found["event_timestamp"].tolist() == [pd.Timestamp("2024-02-03", tz="UTC")] * 3


@pytest.mark.parametrize("text", ["02/03/2024", "3.2.2024", "Feb 3 2024", "20240203T", ""])
def test_a_time_that_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(UBPError, match=r"event_timestamp .*(cannot be read; write|must be)"):
        _keys(entities("2024-02-03", text), text=False)
