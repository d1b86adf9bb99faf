"""Profiles over HTTP: ``ubp serve``.

``app`` has the paths, ``reading`` looks clients up in the newest publish, ``answers`` writes JSON,
numbers or Arrow, ``guard`` stands before them all (keys, limits, metrics), ``connection`` ends slow
or flooding connections, ``keys`` keeps the keys.
"""
