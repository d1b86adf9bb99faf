"""Check deliveries against the Great Expectations suites in ``expectations/``."""

from ubp_platform.quality.docs import DataDocs
from ubp_platform.quality.suites import BrokenRule, SuiteRun

__all__ = ["BrokenRule", "DataDocs", "SuiteRun"]
