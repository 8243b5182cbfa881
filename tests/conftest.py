"""What holds for every test."""

from __future__ import annotations

import os

from hypothesis import settings

pytest_plugins = ["tests.servers.fixtures"]

# CI repeats the same examples, so that a red run is about the change; at home each run looks further.
settings.register_profile("ci", derandomize=True, print_blob=True)
settings.register_profile("home", print_blob=True)
# `make fuzz`: thousands of requests and uploads in place of hundreds.
settings.register_profile("fuzz", max_examples=2500, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "home")
