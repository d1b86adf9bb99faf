"""The commands of ``ubp``, by what they are about; each is a few lines over ``pipelines``."""
