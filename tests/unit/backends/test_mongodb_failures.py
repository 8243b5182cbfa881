"""MongoDB's failures as the service's errors."""

from __future__ import annotations

from typing import Any

import pytest
from bson.errors import BSONError, InvalidBSON
from pymongo import errors

from services.backends.mongodb import MongoStore, database
from services.backends.mongodb.failures import translate
from services.core.errors import (
    DataLoss,
    InvalidInput,
    LimitExceeded,
    ServiceError,
    StoreUnavailable,
)

WHERE = "The job store (MongoDB at db:27017, database kmeans)"


def refused(code: int, **details: Any) -> errors.OperationFailure:
    return errors.OperationFailure("it said no", code, {"code": code, **details})


@pytest.mark.parametrize(
    ("error", "expected", "says"),
    [
        (errors.ServerSelectionTimeoutError("no servers"), StoreUnavailable, "does not answer"),
        (errors.AutoReconnect("reset"), StoreUnavailable, "does not answer"),
        (errors.NetworkTimeout("slow"), StoreUnavailable, "does not answer"),
        (errors.NotPrimaryError("stepped down"), StoreUnavailable, "does not answer"),
        (errors.WaitQueueTimeoutError("pool"), StoreUnavailable, "busy"),
        (errors.ExecutionTimeout("slow", 50), StoreUnavailable, "could not answer"),
        (errors.WTimeoutError("majority", 64), StoreUnavailable, "could not answer"),
        (refused(112), StoreUnavailable, "busy with other changes"),
        (refused(251, errorLabels=["TransientTransactionError"]), StoreUnavailable, "busy"),
        (refused(11600), StoreUnavailable, "could not answer"),
        (refused(1, errorLabels=["RetryableWriteError"]), StoreUnavailable, "could not answer"),
        (refused(18), StoreUnavailable, "user name or password"),
        (refused(13), StoreUnavailable, "readWrite"),
        (refused(14031), StoreUnavailable, "disk .* is full"),
        (errors.BulkWriteError({"writeErrors": [{"code": 14031}]}), StoreUnavailable, "is full"),
        (refused(2, codeName="BadValue"), ServiceError, "refused a change .*BadValue"),
        (errors.BulkWriteError({"writeErrors": [{"code": 2, "errmsg": "no"}]}), ServiceError, "refused"),
        (errors.DocumentTooLarge("17 MB"), LimitExceeded, "of this size"),
        (InvalidBSON("bad"), DataLoss, "cannot be read"),
        (errors.InvalidOperation("Cannot use MongoClient after close"), StoreUnavailable, "closed"),
        (errors.ConfigurationError("hunter2"), StoreUnavailable, "host name is known"),
        (errors.PyMongoError("else"), ServiceError, "PyMongoError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_is_said_in_a_sentence(
    error: errors.PyMongoError | BSONError, expected: type[ServiceError], says: str
) -> None:
    translated = translate(error, WHERE)
    assert type(translated) is expected
    with pytest.raises(expected, match=says):
        raise translated
    assert "hunter2" not in str(translated)


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://",
        "mongodb://me:hunter2@",
        "mongodb://me:hun@ter2@host/db",
        "mongodb://me:hunter2@host:port/db",
        "mongodb://me:hunter2@host:99999/db",
        "mongodb://me:hunter2@host/db?w=maj&tls=perhaps",
        "mongodb://me:hunter2@host/db?authMechanism=GUESS",
        "mongodb://me:hunter2@[::1/db",
        "mongodb://me:hunter2@host/a b",
        "mongodb://me:hunter2@host/db?journal",
        "mongodb+srv://me:hunter2@host:27017/db",
    ],
)
def test_a_url_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        MongoStore(url)
    assert caught.value.reason == "BAD_BACKEND_URL"
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("mongodb://127.0.0.1:1", "MongoDB at 127.0.0.1:1, database kmeans"),
        ("mongodb://me:hunter2@127.0.0.1:1/", "MongoDB at 127.0.0.1:1, database kmeans"),
        ("mongodb://me:hunter2@127.0.0.1:1,127.0.0.1:2/?w=1", "MongoDB at 127.0.0.1:1,127.0.0.1:2, "),
        ("mongodb://me:hunter2@127.0.0.1:1/jobs?authSource=admin", "database jobs"),
    ],
)
def test_a_server_that_is_not_there_is_named_without_the_password(
    monkeypatch: pytest.MonkeyPatch, url: str, named: str
) -> None:
    monkeypatch.setitem(database._DEFAULTS, "serverSelectionTimeoutMS", 50)
    with pytest.raises(StoreUnavailable) as caught:
        MongoStore(url)
    assert named in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in str(error)
        error = error.__cause__


def test_the_url_has_the_last_word_on_time_limits() -> None:
    with pytest.raises(StoreUnavailable):
        MongoStore("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50")
