"""The commands of ``ubp``, by subject; each is a few lines over ``pipelines``."""
