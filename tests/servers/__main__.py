"""`python -m tests.servers start|stop|status|env|up`: the servers of the checkout, from the command line."""

from __future__ import annotations

import argparse
import shlex
import sys

from services.core.settings import DEFAULT_ADDRESS
from tests.servers.fleet import SERVER_NAMES, Servers, shared_servers
from tests.servers.server import Server, ServerFailed, ServerMissing
from tests.servers.service import Service


def main() -> int:
    """Run one command; 0 done, 1 a server failed or (status) does not answer."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("start", help="start what does not run yet, and wait until it answers")
    commands.add_parser("stop", help="end what was started; data stays")
    commands.add_parser("status", help="say which answer")
    commands.add_parser("env", help="print the settings of the service on these servers, for a shell")
    restart = commands.add_parser("restart", help="end one server and start it on the same ports")
    restart.add_argument("name", choices=SERVER_NAMES)
    restart.add_argument("--wipe", action="store_true", help="without its data")
    restart.add_argument("--kill", action="store_true", help="with SIGKILL")
    up = commands.add_parser("up", help="run the whole service on them until interrupted, in processes")
    up.add_argument("--address", default=DEFAULT_ADDRESS, metavar="HOST:PORT", help="of the gateway")
    up.add_argument("--workers", type=int, default=2, help="worker processes")
    up.add_argument("--no-ui", action="store_true", help="without the dashboard")
    arguments = parser.parse_args()
    servers = shared_servers()
    try:
        match arguments.command:
            case "start":
                servers.keep()
                servers.start()
                _tell(servers)
            case "stop":
                servers.release()
                servers.stop()
            case "status":
                return _tell(servers)
            case "env":
                for name, value in servers.environment().items():
                    print(f"export {name}={shlex.quote(value)}")
            case "up":
                servers.start()
                Service(
                    servers.environment(),
                    servers.folder / "service",
                    arguments.address,
                    max(1, arguments.workers),
                    with_ui=not arguments.no_ui,
                ).run()
            case "restart":
                servers[arguments.name].restart(wipe=arguments.wipe, kill=arguments.kill)
    except (ServerMissing, ServerFailed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _tell(servers: Servers) -> int:
    """Print a line per server; 1 when one does not answer."""
    answers = {name: server.is_healthy() for name, server in servers.items()}
    for name, server in servers.items():
        where = _where(server) if answers[name] else "does not answer"
        print(f"{name:<10} {where}")
    return 0 if all(answers.values()) else 1


def _where(server: Server) -> str:
    # A URL that was given may hold a password; so only ours is shown.
    return f"{server.url}  (log: {server.log})" if server.is_ours else "given by its URL"


if __name__ == "__main__":
    sys.exit(main())
