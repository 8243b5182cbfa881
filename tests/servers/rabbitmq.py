"""RabbitMQ from the Debian package, without systemd and without root rights.

`rabbitmq-server` is called where the package keeps it: the wrapper in sbin changes the user. epmd, Erlang's
name server, is started by us on a port of its own, so that we know its id and can end it.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pika

from tests.servers.debian import install_package
from tests.servers.ports import HOST, is_free
from tests.servers.process import POLL_SECONDS, ServerProcess
from tests.servers.server import Server, ServerFailed

__all__ = ["RabbitMQ"]

_PROGRAMS = Path("/usr/lib/rabbitmq/bin")
_NODE = "kmeans@localhost"
_CONTROL_SECONDS = 60
_HANDSHAKE_SECONDS = 5.0
_EPMD_SECONDS = 10.0
_LOOPBACK_ONLY = "-kernel inet_dist_use_interface {127,0,0,1}"


class RabbitMQ(Server):
    """One node with its own cookie, epmd and ports."""

    name = "rabbitmq"
    port_names = ("amqp", "distribution", "epmd")

    def own_url(self) -> str:
        """As the default user, who may connect from loopback alone."""
        return f"amqp://guest:guest@{HOST}:{self.port('amqp')}/%2F"

    def install(self) -> None:
        """Install Debian's rabbitmq-server when it is not there and we are root."""
        if not (_PROGRAMS / "rabbitmq-server").exists():
            install_package("rabbitmq-server")

    def check(self) -> None:
        """An AMQP handshake and a channel: the listener opens when the node is ready, and last."""
        parameters = pika.URLParameters(self.url)
        parameters.socket_timeout = _HANDSHAKE_SECONDS
        parameters.stack_timeout = _HANDSHAKE_SECONDS
        parameters.blocked_connection_timeout = _HANDSHAKE_SECONDS
        connection = pika.BlockingConnection(parameters)
        try:
            connection.channel()
        finally:
            connection.close()

    def launch(self) -> None:
        """Start epmd, then the node."""
        self._write_files()
        environment = self._erlang()
        port = self.port("epmd")
        epmd = self.spawn(["epmd", "-address", HOST, "-port", str(port)], environment, name="epmd")
        self._wait_for_epmd(epmd)
        self.spawn([str(_PROGRAMS / "rabbitmq-server")], environment)

    def after_exit(self) -> None:
        """End epmd by its port, too: the node starts one of its own should ours have died."""
        if not is_free(self.port("epmd")):
            subprocess.run(
                ["epmd", "-port", str(self.port("epmd")), "-kill"],
                env=self._erlang(),
                capture_output=True,
                timeout=_EPMD_SECONDS,
                check=False,
            )

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on the node and return what it prints; ServerFailed when it complains."""
        ended = subprocess.run(
            [str(_PROGRAMS / "rabbitmqctl"), "--quiet", *arguments],
            env=self._erlang(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CONTROL_SECONDS,
            check=False,
        )
        if ended.returncode:
            raise ServerFailed(f"rabbitmqctl {arguments[0]} failed: {ended.stderr.strip()}")
        return ended.stdout

    def _wait_for_epmd(self, epmd: ServerProcess) -> None:
        for _ in range(int(_EPMD_SECONDS / POLL_SECONDS)):
            if not is_free(self.port("epmd")):
                return
            if epmd.wait(POLL_SECONDS):
                break
        raise ServerFailed(f"epmd does not listen. {self._log_tail()}")

    def _write_files(self) -> None:
        cookie = self.folder / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(secrets.token_hex(20))
            cookie.chmod(0o400)
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(
            "\n".join(["disk_free_limit.absolute = 50MB", "log.file.level = info", ""])
        )
        (self.folder / "environment.conf").touch()

    def _erlang(self) -> Mapping[str, str]:
        """The node's whole environment; nothing of the machine's own RabbitMQ is read or written."""
        files = {
            "CONF_ENV_FILE": "environment.conf",
            "CONFIG_FILE": "rabbitmq",
            "ADVANCED_CONFIG_FILE": "advanced.config",
            "ENABLED_PLUGINS_FILE": "enabled_plugins",
            "PID_FILE": "data/pid",
            "MNESIA_BASE": "data",
            "QUORUM_DIR": "data/quorum",
            "STREAM_DIR": "data/stream",
            "FEATURE_FLAGS_FILE": "data/feature_flags",
            "GENERATED_CONFIG_DIR": "data/config",
            "LOG_BASE": "log",
        }
        return {
            **os.environ,
            **{f"RABBITMQ_{name}": str(self.folder / file) for name, file in files.items()},
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": _NODE,
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port("amqp")),
            "RABBITMQ_DIST_PORT": str(self.port("distribution")),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _LOOPBACK_ONLY,
            "RABBITMQ_CTL_ERL_ARGS": _LOOPBACK_ONLY,
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self.port("epmd")),
            # The script then becomes the node instead of waiting for it: the id we know is the node's.
            "RUNNING_UNDER_SYSTEMD": "1",
        }
