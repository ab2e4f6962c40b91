from __future__ import annotations

from pathlib import Path

import pytest
from command_line import write_noise


@pytest.fixture
def scene(tmp_path) -> Path:
    return write_noise(tmp_path / "scene.tif")
