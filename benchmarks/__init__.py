"""One script a figure; each prints ratios against a baseline of the same run."""
