"""Tests of similar clients."""
