"""What the tests of the templates and the stand-ins share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def repository():
    return Path(__file__).parents[2]
