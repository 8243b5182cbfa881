"""`python -m tests.manifests [settings]`: render and validate every overlay, or write the settings again."""

from __future__ import annotations

import argparse
import sys

from tests.manifests.rendering import K8S, OVERLAYS, RenderingFailed, render
from tests.manifests.settings_file import SETTINGS_FILE, settings_text


def main() -> int:
    """0 when all is well, 1 with a line for each complaint."""
    parser = argparse.ArgumentParser(prog="python -m tests.manifests", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["validate", "settings"], default="validate")
    if parser.parse_args().command == "settings":
        SETTINGS_FILE.write_text(settings_text())
        return 0
    # Here and not above: the schemas take seconds to import.
    from tests.manifests.validation import NEWEST, OLDEST, complaints

    failed = False
    for overlay in OVERLAYS:
        try:
            objects = render(K8S / "overlays" / overlay)
        except RenderingFailed as error:
            print(error, file=sys.stderr)
            failed = True
            continue
        for version in (OLDEST, NEWEST):
            found = list(complaints(objects, version))
            failed |= bool(found)
            print("\n".join(found) or f"{overlay}: {len(objects)} objects are valid for Kubernetes {version}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
