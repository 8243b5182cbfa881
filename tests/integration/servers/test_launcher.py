"""The private servers: started once, answering, on loopback, and gone without a trace."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pika
import pymongo
import pytest

from tests.servers.fleet import Servers
from tests.servers.mongodb import MongoDB
from tests.servers.ports import is_free
from tests.servers.process import ServerProcess
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.seaweedfs import SeaweedFS
from tests.servers.server import Server, ServerFailed
from tests.servers.state import ServerState, write_state

LOOPBACK = {"0100007F", "00000000000000000000000001000000"}
LISTENING = "0A"


def keep_message(server: RabbitMQ, content: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(server.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(content, durable=True)
        persistent = pika.BasicProperties(delivery_mode=2)
        channel.basic_publish("", content, content.encode(), properties=persistent, mandatory=True)


def has_message(server: RabbitMQ, content: str) -> bool:
    with pika.BlockingConnection(pika.URLParameters(server.url)) as connection:
        channel = connection.channel()
        channel.queue_declare(content, durable=True)
        return channel.basic_get(content, auto_ack=True)[2] == content.encode()


def keep_document(server: MongoDB, content: str) -> None:
    with pymongo.MongoClient(server.url) as client:
        client.test.kept.insert_one({"_id": content})


def has_document(server: MongoDB, content: str) -> bool:
    with pymongo.MongoClient(server.url) as client:
        return client.test.kept.find_one({"_id": content}) is not None


def keep_object(server: SeaweedFS, content: str) -> None:
    client = server.client()
    client.put_object(Bucket="kmeans", Key=content, Body=content)
    client.close()


def has_object(server: SeaweedFS, content: str) -> bool:
    client = server.client()
    listed = client.list_objects_v2(Bucket="kmeans", Prefix=content)
    client.close()
    return bool(listed["KeyCount"])


KEEP: dict[str, Callable[..., None]] = {
    "rabbitmq": keep_message,
    "mongodb": keep_document,
    "s3": keep_object,
}
HAS: dict[str, Callable[..., bool]] = {"rabbitmq": has_message, "mongodb": has_document, "s3": has_object}


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that name the folder, epmd included, which has it in its environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if command and str(folder).encode() in command + (process / "environ").read_bytes():
                found.append(command.decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, or is another user's
    return found


def listeners(ports: set[int]) -> set[str]:
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, port = local.split(":")
            if state == LISTENING and int(port, 16) in ports:
                addresses.add(address)
    return addresses


def test_a_second_start_finds_it_healthy(server: Server) -> None:
    before = server.state
    assert server.is_healthy()
    server.start()
    assert server.state == before
    assert all(process.is_alive() for process in before.processes.values())


def test_it_listens_on_loopback_alone(server: Server) -> None:
    found = listeners(set(server.state.ports.values()))
    assert found
    assert found <= LOOPBACK


def test_a_kill_keeps_the_data_and_the_address(server: Server) -> None:
    content, url = f"kept-{secrets.token_hex(8)}", server.url
    before = server.process
    KEEP[server.name](server, content)
    server.restart(kill=True)
    assert server.url == url
    assert server.process not in {None, before}
    assert HAS[server.name](server, content)


def test_a_wipe_forgets_the_data(server: Server) -> None:
    content = f"lost-{secrets.token_hex(8)}"
    KEEP[server.name](server, content)
    server.restart(wipe=True, kill=True)
    assert not HAS[server.name](server, content)


def test_stop_leaves_nothing_behind_and_start_brings_it_back(server: Server) -> None:
    content, ports = f"kept-{secrets.token_hex(8)}", server.state.ports
    KEEP[server.name](server, content)
    assert processes_of(server.folder)
    server.stop()
    server.stop()
    assert processes_of(server.folder) == []
    assert [name for name, port in ports.items() if not is_free(port)] == []
    assert not server.is_healthy()
    server.start()
    assert server.state.ports == ports
    assert HAS[server.name](server, content)


def test_a_server_that_died_is_started_again(server: Server) -> None:
    process = server.process
    assert process is not None
    os.kill(process.pid, 9)
    process.wait(10)
    assert not server.is_healthy()
    server.start()
    assert server.is_healthy()


def test_the_settings_are_those_of_the_service(private: Servers) -> None:
    private.start()
    settings = private.environment()
    assert settings["KMEANS_STORE_URL"].startswith("mongodb://127.0.0.1:")
    assert settings["KMEANS_QUEUE_URL"].startswith("amqp://")
    assert settings["KMEANS_OBJECTS_URL"] == "s3://kmeans"
    assert settings["KMEANS_S3_ENDPOINT_URL"].startswith("http://127.0.0.1:")


def test_rabbitmqctl_reaches_the_node(private: Servers) -> None:
    private.rabbitmq.start()
    private.rabbitmq.control("eval", "application:set_env(rabbit, consumer_timeout, 5000).")
    assert "5000" in private.rabbitmq.control("environment")
    with pytest.raises(ServerFailed, match="rabbitmqctl no_such_command failed"):
        private.rabbitmq.control("no_such_command")


def test_a_process_that_got_the_id_of_a_dead_server_is_left_alone(tmp_path: Path) -> None:
    server = SeaweedFS(tmp_path)
    server.folder.mkdir(parents=True)
    write_state(server.folder / "state.json", ServerState({}, {"s3": ServerProcess(os.getpid(), 1)}))
    assert server.process is None
    server.stop()  # would be the end of this test
    assert server.state.processes == {}
