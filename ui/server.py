"""The dashboard as a child process: started, awaited and ended by whoever runs the service."""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from types import TracebackType

__all__ = ["DEFAULT_PORT", "Dashboard", "DashboardFailed", "flags", "hold_port"]

DEFAULT_PORT = 8501

_PORTS_TRIED = 20
_START_SECONDS = 90.0
_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.1
_MAX_UPLOAD_MB = 1024

_THEME = {
    "baseRadius": "0.5rem",
    "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
    "headingFontSizes": '["1.9rem", "1.35rem", "1.1rem", "1rem", "0.9rem", "0.85rem"]',
    "headingFontWeights": "[650, 600, 600, 600, 600, 600]",
    "showWidgetBorder": "true",
    "paddingTop": "1.5rem",
    "light.primaryColor": "#0072B2",
    "light.backgroundColor": "#FFFFFF",
    "light.secondaryBackgroundColor": "#F6F8FA",
    "light.textColor": "#1F2933",
    "light.borderColor": "#E4E8ED",
    "dark.primaryColor": "#2A7AB8",
    "dark.backgroundColor": "#0E1117",
    "dark.secondaryBackgroundColor": "#171C25",
    "dark.textColor": "#E8EBF0",
    "dark.borderColor": "#2A313C",
}


class DashboardFailed(Exception):
    """The dashboard cannot start or did not; a sentence for people."""


def flags(host: str, port: int) -> list[str]:
    """Streamlit's flags: where it listens, no call to any outside host, and how it looks."""
    options = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": "true",
        "server.maxUploadSize": str(_MAX_UPLOAD_MB),
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": "false",
        "browser.gatherUsageStats": "false",
        # Ours are given both on purpose; see `ui.address`.
        "global.disableWidgetStateDuplicationWarning": "true",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        "runner.magicEnabled": "false",
        "logger.level": "warning",
        **{f"theme.{name}": value for name, value in _THEME.items()},
    }
    return [f"--{name}={value}" for name, value in options.items()]


def hold_port(host: str, wanted: int | None) -> socket.socket:
    """A socket that holds the wanted port, or the first free one from DEFAULT_PORT on when none is.

    No other dashboard on this machine gets that port until it is closed. A dashboard listens only seconds
    later: of two that are started together, each would otherwise find the same port free.

    Raises:
        DashboardFailed: the wanted one is taken, or all that are tried.
    """
    if wanted is not None:
        held = _held(host, wanted)
        if held is None:
            raise DashboardFailed(
                f"The dashboard cannot listen on {host}:{wanted}: the port is taken or not allowed. "
                "Name another one with --ui-port."
            )
        return held
    for port in range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED):
        held = _held(host, port)
        if held is not None:
            return held
    raise DashboardFailed(
        f"The dashboard finds no free port on {host} from {DEFAULT_PORT} to "
        f"{DEFAULT_PORT + _PORTS_TRIED - 1}. Name one with --ui-port."
    )


class Dashboard:
    """One Streamlit process for one service; it ends with this process, however this one ends."""

    def __init__(
        self,
        gateway: str,
        host: str = "127.0.0.1",
        port: int | None = None,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """For the service at HOST:PORT; on `port`, or on the first free one.

        Token and TLS files are those that `environment` names, by default that of this process.
        """
        self._environment = {
            **(os.environ if environment is None else environment),
            "KMEANS_GATEWAY": gateway,
        }
        self._host = host
        self._wanted_port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._held: socket.socket | None = None
        self.url = ""

    def start(self) -> str:
        """Return the address to open, once it answers.

        Raises:
            DashboardFailed: no port, or it ended or did not answer in time.
        """
        self._held = hold_port(self._host, self._wanted_port)
        port = self._held.getsockname()[1]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ui.process", *flags(self._host, port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=self._environment,
        )
        try:
            self._wait_until_it_answers(self._process, port)
        except BaseException:
            self.stop()
            raise
        self.url = f"http://{_written(self._reachable_host())}:{port}"
        return self.url

    def wait(self) -> int:
        """Return the exit code once the process has ended by itself."""
        return 0 if self._process is None else self._process.wait()

    def stop(self) -> None:
        """End it; idempotent."""
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._held is not None:
            self._held.close()

    def __enter__(self) -> Dashboard:
        """Return the dashboard itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(self._reachable_host(), port):
            if process.poll() is not None:
                raise DashboardFailed(
                    f"The dashboard ended while it started (exit code {process.returncode}); "
                    "its messages are above."
                )
            if time.monotonic() > deadline:
                raise DashboardFailed(f"The dashboard does not answer within {_START_SECONDS:g} s.")
            time.sleep(_POLL_SECONDS)

    def _reachable_host(self) -> str:
        """Where it is found from here: every address of the machine includes loopback."""
        try:
            address = ipaddress.ip_address(self._host)
        except ValueError:
            return self._host
        if not address.is_unspecified:
            return self._host
        return "127.0.0.1" if address.version == 4 else "::1"


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _held(host: str, port: int) -> socket.socket | None:
    # By its twin in UDP, which nothing of ours uses: one socket at a time can have it, and it is free again
    # when its process ends, however that happens. A TCP socket cannot hold it: Streamlit binds its own.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_DGRAM)
    try:
        held.bind((host, port))
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError:
        held.close()
        return None
    return held


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/_stcore/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()
