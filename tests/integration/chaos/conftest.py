"""What holds for every rehearsal inside the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest


@pytest.fixture(autouse=True)
def _environment_of_its_own() -> Iterator[None]:
    """A rehearsal points its process at private servers; the tests after it have others."""
    with patch.dict(os.environ):
        yield
