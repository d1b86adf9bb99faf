"""Downstream tasks, and pictures of what was learned."""
