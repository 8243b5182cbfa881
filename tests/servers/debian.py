"""Debian packages, for the one server that PyPI does not carry."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.servers.server import ServerMissing

__all__ = ["install_package"]

_INSTALL_SECONDS = 600


def install_package(package: str) -> None:
    """Install a package with apt-get, as root; ServerMissing with a sentence otherwise."""
    if shutil.which("apt-get") is None:
        raise ServerMissing(f"{package} is not installed, and there is no apt-get: install it yourself.")
    if os.geteuid() != 0:
        raise ServerMissing(f"{package} is not installed. Install it with: sudo apt-get install {package}")
    print(f"Installing the Debian package {package} (once)", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        ended = subprocess.run(
            ["apt-get", "--quiet", "--quiet", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
        if ended.returncode:
            last = (ended.stderr.strip() or ended.stdout.strip()).splitlines()[-1:]
            raise ServerMissing(f"{package} could not be installed: {' '.join(last)}")
