"""Chromium from the Debian package, for the tests that drive the dashboard in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.debian import install_package, unpack_package

__all__ = ["ARGUMENTS", "Browser", "provide_chromium"]

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""What keeps it from talking to anybody but the page it is shown."""

_PACKAGE = "chromium"
_UNPACKED = Path(__file__).parents[2] / ".servers" / "chromium"


@dataclass(frozen=True, slots=True)
class Browser:
    """A Chromium that can be started, and what its environment needs besides ours."""

    program: str
    environment: Mapping[str, str] = field(default_factory=dict)


def provide_chromium() -> Browser:
    """The machine's own, else Debian's: installed as root, unpacked into the checkout otherwise.

    Raises:
        ServerMissing: there is none and it cannot be had.
    """
    if (found := shutil.which("chromium")) is not None:
        return Browser(found)
    if os.geteuid() == 0:
        install_package(_PACKAGE)
        return Browser(shutil.which("chromium") or "/usr/bin/chromium")
    return unpacked(unpack_package(_PACKAGE, _UNPACKED, beside=["chromium-common"]))


def unpacked(folder: Path) -> Browser:
    """The browser in a folder where the package and its libraries were unpacked."""
    libraries = sorted({str(path.parent) for path in folder.rglob("*.so*") if path.is_file()})
    environment = {
        "LD_LIBRARY_PATH": ":".join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")]).strip(":")
    }
    if (fonts := folder / "etc/fonts").is_dir():
        environment["FONTCONFIG_PATH"] = str(fonts)
    return Browser(str(folder / "usr/lib/chromium/chromium"), environment)
