"""Texts are quantized into codes."""

import numpy as np

from ubp_platform.events.text_codec import encode


def test_codes_agree_where_words_do() -> None:
    texts = ["a b c d", "d c b a", "a b c e", "p q r s"]
    codes = encode(texts)
    assert codes.shape == (4, 16)
    assert codes.dtype == np.uint8
    assert (codes[0] == codes[1]).all()
    # Three of five words are shared, so about 60% of the codes agree; none of the last's do.
    assert 0.3 < (codes[0] == codes[2]).mean() < 0.95
    assert (codes[0] == codes[3]).mean() < 0.2


def test_codes_never_change() -> None:
    """Codes are stored and models learn from them: they must be equal on every machine."""
    assert encode(["white bread 20 oz"])[0].tolist() == [
        247,
        144,
        100,
        204,
        36,
        12,
        215,
        153,
        235,
        24,
        225,
        37,
        175,
        99,
        255,
        45,
    ]
