"""A MongoDB-wire server: the one that a URL names, else mongod, else SecantusDB as a separate process."""

from __future__ import annotations

import shutil
from typing import Any

import pymongo
from pymongo.errors import OperationFailure

from tests.servers.packages import installed_program
from tests.servers.ports import HOST
from tests.servers.server import Server

__all__ = ["MongoDB", "drop_database"]

_PING_MILLISECONDS = 2000
_ALREADY_INITIALIZED = 23
_OPTIONS = "w=majority&journal=true"


class MongoDB(Server):
    """A replica set of one, as transactions need."""

    name = "mongodb"
    port_names = ("mongodb",)

    def own_url(self) -> str:
        """With the database `kmeans` in its path; tests put their own there."""
        return f"mongodb://{HOST}:{self.port('mongodb')}/kmeans?{_OPTIONS}"

    def install(self) -> None:
        """Nothing to do with a mongod on PATH; else SecantusDB must be in the environment."""
        self.command()

    def command(self) -> list[str]:
        """How the server is started; ServerMissing when there is none."""
        if mongod := shutil.which("mongod"):
            return [mongod, "--bind_ip", HOST, "--replSet", "kmeans", "--dbpath", str(self.data)]
        # Without --sync-on-commit a kill -9 loses writes that were acknowledged.
        secantus = installed_program("secantusd-py")
        return [secantus, "--host", HOST, "--storage-path", str(self.data), "--sync-on-commit"]

    def launch(self) -> None:
        """Start it; the replica set is made by the first check."""
        self.spawn([*self.command(), "--port", str(self.port("mongodb"))])

    def check(self) -> None:
        """Ping it, and see that it is a primary, which alone takes writes."""
        client: pymongo.MongoClient[dict[str, Any]]
        # pymongo takes no None for it: a URL that was given decides for itself.
        direct: dict[str, Any] = {"directConnection": True} if self.is_ours else {}
        with pymongo.MongoClient(
            self.url,
            **direct,
            serverSelectionTimeoutMS=_PING_MILLISECONDS,
            connectTimeoutMS=_PING_MILLISECONDS,
            socketTimeoutMS=_PING_MILLISECONDS,
        ) as client:
            client.admin.command("ping")
            hello = client.admin.command("hello")
            if not hello.get("isWritablePrimary") and self.is_ours:
                self._initiate(client)
                raise ConnectionError("it is not a primary yet")

    def _initiate(self, client: pymongo.MongoClient[dict[str, Any]]) -> None:
        member = {"_id": 0, "host": f"{HOST}:{self.port('mongodb')}"}
        try:
            client.admin.command("replSetInitiate", {"_id": "kmeans", "members": [member]})
        except OperationFailure as error:
            if error.code != _ALREADY_INITIALIZED:
                raise


def drop_database(client: pymongo.MongoClient[dict[str, Any]], name: str) -> None:
    """Drop a test's database, what its killed writers left open included.

    SecantusDB waits for an open transaction while it holds the lock that every other command needs: one
    that nobody will ever end stops the server.
    """
    sessions = client[name]["writers"]
    writers = [{"id": writer["_id"]} for writer in sessions.find({"owner": {"$exists": True}})]
    if writers:
        client.admin.command("killSessions", writers)
    client.drop_database(name)
