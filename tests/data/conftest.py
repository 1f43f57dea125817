"""Every test has a cache of its own and none of the user's settings."""

import pytest


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch):
    directory = tmp_path / "genjax-cache"
    monkeypatch.setenv("GENJAX_CACHE", str(directory))
    monkeypatch.delenv("GENJAX_DATA", raising=False)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    return directory / "data"
