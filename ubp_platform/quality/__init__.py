"""Running the Great Expectations suites of ``expectations/`` over what is delivered."""

from ubp_platform.quality.docs import DataDocs
from ubp_platform.quality.suites import BrokenRule, SuiteRun

__all__ = ["BrokenRule", "DataDocs", "SuiteRun"]
