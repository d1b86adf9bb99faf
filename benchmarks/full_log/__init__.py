"""A log of the challenge's size, or a part of it, through every step that needs no GPU.

    python -m benchmarks.full_log                          # 1% and 5%, minutes
    python -m benchmarks.full_log --scales 0.01 0.1 1      # up to 176 million events

Each step and its baseline run in processes of their own, which report time and peak memory. The
log, the warehouse, the profiles and the results of a scale are kept in a directory; `--steps` runs
some of the steps again.
"""
