"""Profiles: normalizers, versions, and the assembly of blocks into one vector per client."""

from ubp_platform.profile.listing import newest_version, versions
from ubp_platform.profile.version import ProfileVersion

__all__ = ["ProfileVersion", "newest_version", "versions"]
