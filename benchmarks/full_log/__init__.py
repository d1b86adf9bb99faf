"""A log of the challenge's size, or parts of it, through every step that needs no GPU.

    python -m benchmarks.full_log                          # 1% and 5%, minutes
    python -m benchmarks.full_log --scales 0.01 0.1 1      # up to 176 million events

Each step runs in a process of its own, which tells its time and its peak of memory, and beside it
what it is compared with in another. The log, the warehouse, the profiles and the results of a
scale stay in a directory; `--steps` runs some of the steps again.
"""
