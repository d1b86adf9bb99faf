"""Quantize texts into 16 codes of 0–255, such that texts which share words share codes.

The format is that of names and queries in RecSys Challenge 2025.
"""

import hashlib
import re

import numpy as np
import pandas as pd

from ubp_platform.events.schema import CODES

#: The name of the codec: codes of different codecs must not be mixed.
CODEC = "minhash-1"
_WORD = re.compile(r"[\w.%]+")


def encode(texts: list[str]) -> np.ndarray:
    """Quantize texts.

    Code ``k`` is the lowest byte of the smallest of the words' ``k``-th hashes (MinHash, Broder
    1997): the share of positions at which two texts agree estimates the share of words that they
    have in common. Nothing is fitted or random.

    Parameters
    ----------
    texts : list of str
        Normalized.

    Returns
    -------
    ndarray of uint8, shape (n_texts, 16)

    Examples
    --------
    >>> a, b = encode(["white bread 20 oz", "oz 20 bread white"])
    >>> bool((a == b).all())
    True
    """
    # A text without any word, such as one of punctuation alone, counts as one word.
    words = pd.Series([_WORD.findall(text) or [text] for text in texts]).explode()
    number, distinct = pd.factorize(words)
    # 64 bytes are 16 independent hashes of 32 bits.
    digests = b"".join(hashlib.blake2b(word.encode()).digest() for word in distinct)
    hashes = np.frombuffer(digests, "<u4").reshape(-1, CODES)  # (n_distinct, 16)
    starts = np.flatnonzero(~words.index.duplicated())
    smallest = np.minimum.reduceat(hashes[number], starts, axis=0)  # (n_texts, 16)
    return (smallest & 255).astype(np.uint8)
