"""Validation of a training set's entities."""

import pandas as pd
import pytest

from ubp_platform.errors import UBPError
from ubp_platform.store.entities import entity_keys


def entities(*times: object) -> pd.DataFrame:
    return pd.DataFrame({"client_id": range(len(times)), "event_timestamp": list(times)})


def test_times_are_iso_with_or_without_a_zone() -> None:
    keys = entity_keys(
        entities("2024-02-03", "2024-02-03T01:00:00+01:00", "2024-02-03 00:00:00Z"), text=False
    )
    assert keys["event_timestamp"].tolist() == [pd.Timestamp("2024-02-03", tz="UTC")] * 3


@pytest.mark.parametrize("text", ["02/03/2024", "3.2.2024", "Feb 3 2024", "20240203T", ""])
def test_other_times_are_rejected(text: str) -> None:
    with pytest.raises(UBPError, match=r"event_timestamp in row 2, .*cannot be read"):
        entity_keys(entities("2024-02-03", text), text=False)
