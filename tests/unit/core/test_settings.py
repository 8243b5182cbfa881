from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from services.core.errors import InvalidInput
from services.core.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("KMEANS_"):
            monkeypatch.delenv(name)


def test_defaults() -> None:
    settings = read_settings()
    assert settings.store_url is settings.queue_url is settings.objects_url is None
    assert settings.worker_slots >= 1
    assert settings.delivery_limit == 3


def test_environment_is_read_and_overrides_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMEANS_WORKER_SLOTS", "7")
    monkeypatch.setenv("KMEANS_LEASE_SECONDS", "12.5")
    settings = read_settings(worker_slots=2)
    assert (settings.worker_slots, settings.lease_seconds) == (2, 12.5)


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    unset = read_settings()
    for name in Settings.model_fields:
        monkeypatch.setenv(f"KMEANS_{name.upper()}", "")
    assert read_settings() == unset
    assert (unset.store_url, unset.home) == (None, Path(".kmeans"))


def test_all_errors_are_reported_together_and_name_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMEANS_WORKER_SLOTS", "many")
    monkeypatch.setenv("KMEANS_LEASE_SECONDS", "-1")
    monkeypatch.setenv("KMEANS_LOG_LEVEL", "loud")
    with pytest.raises(InvalidInput) as caught:
        read_settings()
    assert caught.value.reason == "BAD_SETTINGS"
    assert {violation.field for violation in caught.value.violations} == {
        "KMEANS_WORKER_SLOTS",
        "KMEANS_LEASE_SECONDS",
        "KMEANS_LOG_LEVEL",
    }
    for violation in caught.value.violations:
        assert violation.field in str(caught.value)


def test_values_are_never_shown_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMEANS_WORKER_SLOTS", "hunter2")
    monkeypatch.setenv("KMEANS_STORE_URL", "mongodb://user:hunter3@host/")
    with pytest.raises(InvalidInput) as caught:
        read_settings()
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "hunter" not in shown


def test_secrets_are_never_shown_in_a_repr() -> None:
    settings = read_settings(
        store_url="mongodb://user:hunter2@host/",
        queue_url="amqp://user:hunter2@host/",
        objects_url="s3://key:hunter2@bucket/",
        s3_endpoint_url="https://key:hunter2@storage.example",
    )
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.store_url is not None
    assert settings.store_url.get_secret_value() == "mongodb://user:hunter2@host/"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().worker_slots = 3  # type: ignore[misc]
