"""The steps of the Dockerfile, carried out in a folder instead of an image: what they install works.

Left out is what needs Debian or root: its compiler (this machine's is taken) and the user.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.containers.dockerfile import Stage, copy_context, read_stages

__all__ = ["Image", "build_image"]

# Folders of the image that the steps write to; here each is below the folder of the build.
_FOLDERS = ("/opt", "/dist", "/build", "/tmp")
_OF_DEBIAN = ("apt-get", "rm -rf /var/lib/apt")


@dataclass(frozen=True, slots=True)
class Image:
    """What was built: the folder that stands for `/`, and the environment of what runs in it."""

    root: Path
    environment: Mapping[str, str]

    @property
    def installed(self) -> Path:
        """All that the last stage copies out of the first."""
        return self.root / "opt" / "kmeans"

    @property
    def program(self) -> Path:
        """What the image runs."""
        return self.installed / "bin" / "kmeans-service"

    @property
    def megabytes(self) -> int:
        """Size of what is installed, in MiB."""
        sizes = (path.lstat().st_size for path in self.installed.rglob("*") if not path.is_dir())
        return sum(sizes) // 2**20


def build_image(checkout: Path, root: Path) -> Image:
    """Copy and run what the Dockerfile does, in its order; CalledProcessError when a step fails."""
    build, run = read_stages(checkout / "Dockerfile")
    for folder in _FOLDERS:
        (root / folder.lstrip("/")).mkdir(parents=True)
    copy_context(checkout, build, root / "build")
    environment = _clean_environment()
    for line in build.all("RUN"):
        steps = [step.strip() for step in line.split("&&")]
        ours = [step for step in steps if not step.startswith(_OF_DEBIAN)]
        if ours:
            _run(_moved(" && ".join(ours), root), root / "build", environment)
    return Image(root, environment | _told(run, root))


def _told(run: Stage, root: Path) -> dict[str, str]:
    told = {
        name: _moved(value, root) for name, value in run.environment.items() if not value.endswith("$PATH")
    }
    # As in the base image, there is nothing else of Python on the path.
    return told | {"PATH": f"{root}/opt/kmeans/bin:/usr/bin:/bin", "TMPDIR": str(root / "tmp")}


def _clean_environment() -> dict[str, str]:
    """This process's, without what would have another Python, or another package, be found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KMEANS_"))}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def _moved(text: str, root: Path) -> str:
    """The same with every path of the image below `root`."""
    folders = "|".join(map(re.escape, _FOLDERS))
    return re.sub(rf"(?<![\w.*/'])({folders})(?![\w])", lambda found: f"{root}{found[1]}", text)


def _run(command: str, folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", command],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(f"{shlex.quote(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}\n")
        done.check_returncode()
