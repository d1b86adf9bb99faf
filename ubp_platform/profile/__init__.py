"""Profiles: normalizers, versions, and the assembly of blocks into one vector per client."""

from ubp_platform.profile.version import ProfileVersion, newest_version, versions

__all__ = ["ProfileVersion", "newest_version", "versions"]
