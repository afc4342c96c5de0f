"""Shared by the tests of the templates and the stand-ins."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def repository():
    return Path(__file__).parents[3]


@pytest.fixture(scope="session")
def binaries(repository):
    """The folder of `baton` and `trainer`: cargo's, or that of BATON_BINARIES."""
    folder = Path(os.environ.get("BATON_BINARIES", repository / "target" / "release"))
    assert (folder / "baton").is_file(), "cargo build --release makes it"
    return folder
