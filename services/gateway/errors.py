"""Errors that only the front door knows, as further leaves of the tree in `services.core.errors`.

ServiceError
├── CallEnded       the client went away or its deadline passed while we worked for it
├── DeadlinePassed  no server answered within the time that the client gave
└── CallIdle        the client sent nothing for too long
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from services.core.errors import FieldViolation, InvalidInput, ServiceError

__all__ = ["CallEnded", "CallIdle", "DeadlinePassed", "invalid_field"]


@dataclass(eq=False)
class CallEnded(ServiceError):
    """Nobody waits for the answer any more; what was begun for it is undone."""

    default_reason: ClassVar[str] = "CALL_ENDED"


@dataclass(eq=False)
class DeadlinePassed(ServiceError):
    """The time that the client gave was up before a server had answered."""

    default_reason: ClassVar[str] = "DEADLINE_PASSED"


@dataclass(eq=False)
class CallIdle(ServiceError):
    """The client began to send and did not go on; what was begun for it is undone."""

    default_reason: ClassVar[str] = "CALL_IDLE"


def invalid_field(field: str, description: str, reason: str = "") -> InvalidInput:
    """An InvalidInput about one field of the request, whose sentence is also the message."""
    return InvalidInput(description, reason, violations=(FieldViolation(field, description),))
