"""`python -m bench.api.serve_gateway FOLDER`: a gateway on embedded backends, and nothing else."""

from __future__ import annotations

import sys

from services.backends.open import open_objects, open_queue, open_store
from services.cli.logs import configure_logs
from services.core.settings import read_settings
from services.gateway.server import Gateway


def main(folder: str) -> None:
    configure_logs("error", "text")
    store, queue = open_store(f"sqlite://{folder}/jobs.sqlite"), open_queue("memory://")
    objects = open_objects(f"file://{folder}/objects")
    gateway = Gateway(store, queue, objects, read_settings())
    print(gateway.start("127.0.0.1:0"), flush=True)
    sys.stdin.read()
    gateway.stop(0)
    queue.close()
    objects.close()
    store.close()


main(sys.argv[1])
