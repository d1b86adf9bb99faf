"""Running the Great Expectations suites of ``expectations/`` over what is delivered."""

from ubp_platform.quality.suites import DataDocs, SuiteRun

__all__ = ["DataDocs", "SuiteRun"]
