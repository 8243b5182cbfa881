"""The settings of the ConfigMap: the defaults of the service, written down where an operator changes them."""

from __future__ import annotations

import textwrap
from pathlib import Path

from services.core.settings import Settings
from tests.manifests.rendering import K8S

__all__ = ["SETTINGS_FILE", "settings_text"]

SETTINGS_FILE = K8S / "base" / "settings.env"

_HEAD = "# Written by `make k8s-settings` from the defaults of the service. Change a setting in an overlay:"
_MORE = "# a configMapGenerator of the same name with `behavior: merge`."
_WIDTH = 110


def settings_text() -> str:
    """What `k8s/base/settings.env` has to hold: every setting whose default is a value.

    Left out is what has no default, what depends on the machine, and what names a place in it: the
    manifests say these themselves.
    """
    paragraphs = [f"{_HEAD}\n{_MORE}"]
    for name, field in Settings.model_fields.items():
        default = field.default
        if (
            name != "address"
            and not isinstance(default, Path)
            and isinstance(default, (bool, int, float, str))
        ):
            value = str(default).lower() if isinstance(default, bool) else str(default)
            meaning = textwrap.fill(
                field.description or "", _WIDTH, initial_indent="# ", subsequent_indent="# "
            )
            paragraphs.append(f"{meaning}\nKMEANS_{name.upper()}={value}")
    return "\n\n".join(paragraphs) + "\n"
