"""A home folder is used by one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.core.errors import HomeInUse, InvalidInput
from services.embedded.home import Home, RunningService, find_running_service


def test_a_second_holder_is_told_and_can_find_the_first(tmp_path: Path) -> None:
    with Home(tmp_path / "home") as home:
        assert find_running_service(home.path) is None
        home.announce("127.0.0.1:1234")
        with pytest.raises(HomeInUse, match=r"Another kmeans-service uses .*home"):
            Home(tmp_path / "home")
        assert find_running_service(home.path) == RunningService(os.getpid(), "127.0.0.1:1234")
        home.withdraw()
        assert find_running_service(home.path) is None
    with Home(tmp_path / "home"):
        pass


def test_a_dead_holder_leaves_no_lock_and_no_address(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from services.embedded.home import Home\n"
        "home = Home(Path(sys.argv[1])); home.announce('127.0.0.1:1'); os.kill(os.getpid(), 9)"
    )
    died = subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    assert died.returncode == -9
    assert find_running_service(tmp_path) is not None
    with Home(tmp_path) as home:
        assert find_running_service(home.path) is None


def test_only_the_user_may_look_into_it(tmp_path: Path) -> None:
    with Home(tmp_path / "home") as home:
        assert home.path.stat().st_mode & 0o077 == 0


def test_a_home_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="Set KMEANS_HOME"):
        Home(tmp_path / "file")
