"""What the tests of the templates and the stand-ins share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def repository():
    return Path(__file__).parents[2]


@pytest.fixture(scope="session")
def binaries(repository):
    """Where `baton` and `trainer` lie: what cargo built, or what BATON_BINARIES says."""
    folder = Path(os.environ.get("BATON_BINARIES", repository / "target" / "release"))
    assert (folder / "baton").is_file(), "cargo build --release makes it"
    return folder
