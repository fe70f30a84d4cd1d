"""Marks of the end-to-end tests."""

from __future__ import annotations

import pytest

#: the test runs against a cluster in one process and against one whose components are processes of their own
both_ways = pytest.mark.parametrize("cluster", ["all-in-one", "separate"], indirect=True)
