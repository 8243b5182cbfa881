"""Debian packages, for what the tests run and PyPI does not carry."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.servers.server import ServerMissing

__all__ = ["install_package", "unpack_package"]

_INSTALL_SECONDS = 600
_UNPACKED = ".complete"


def install_package(package: str) -> None:
    """Install a package with apt-get, as root; ServerMissing with a sentence otherwise."""
    _need_apt(package)
    if os.geteuid() != 0:
        raise ServerMissing(f"{package} is not installed. Install it with: sudo apt-get install {package}")
    print(f"Installing the Debian package {package} (once)", file=sys.stderr, flush=True)
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        _run(package, ["apt-get", "--quiet", "--quiet", *arguments])


def unpack_package(package: str, folder: Path, *, beside: Sequence[str] = (), is_alone: bool = False) -> Path:
    """Unpack a package and whatever of its dependencies is missing into `folder`; needs no root.

    `beside` names those that must lie beside it, even if the machine has them elsewhere. What is wanted of
    it may need none of them: then `is_alone` leaves them where they are.

    Returns the folder, in which `usr/bin` and `usr/lib` are as they would be under `/`. ServerMissing with a
    sentence when it cannot be done.
    """
    if (folder / _UNPACKED).exists():
        return folder
    _need_apt(package)
    print(f"Unpacking the Debian package {package} into {folder} (once)", file=sys.stderr, flush=True)
    archives = folder / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        # Only root can; a machine that was never asked for its packages knows of none.
        _run(package, ["apt-get", "--quiet", "--quiet", "update"])
    wanted = sorted({package, *beside, *([] if is_alone else _missing_packages(package))})
    _run(package, ["apt-get", "--quiet", "--quiet", "download", *wanted], archives)
    for archive in sorted(archives.glob("*.deb")):
        _run(package, ["dpkg-deb", "--extract", str(archive), str(folder)])
    shutil.rmtree(archives)
    (folder / _UNPACKED).touch()
    return folder


def _missing_packages(package: str) -> list[str]:
    """What apt-get would install, which anybody may ask."""
    said = _run(package, ["apt-get", "--simulate", "--no-install-recommends", "--quiet", "install", package])
    return [line.split()[1] for line in said.splitlines() if line.startswith("Inst ")]


def _need_apt(package: str) -> None:
    if shutil.which("apt-get") is None:
        raise ServerMissing(f"{package} is not installed, and there is no apt-get: install it yourself.")


def _run(package: str, command: Sequence[str], folder: Path | None = None) -> str:
    ended = subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS,
        check=False,
    )
    if ended.returncode:
        last = (ended.stderr.strip() or ended.stdout.strip()).splitlines()[-1:]
        raise ServerMissing(f"{package} could not be installed: {' '.join(last)}")
    return ended.stdout
