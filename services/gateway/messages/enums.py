"""Enums, both ways. A member without a proto value of the same name fails at import."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Generic, TypeVar

from google.protobuf.descriptor import EnumDescriptor
from kmeans.v1 import dataset_pb2, job_pb2, report_pb2, task_pb2

from services.core.covariance import Assignment, Covariance
from services.core.datasets import ColumnKind, ColumnRole, TableFormat
from services.core.jobs import JobState
from services.core.reporting import WarningCode
from services.core.tasks import TaskState
from services.gateway.errors import invalid_field

__all__ = [
    "ASSIGNMENTS",
    "COLUMN_KINDS",
    "COLUMN_ROLES",
    "COVARIANCES",
    "JOB_STATES",
    "TABLE_FORMATS",
    "TASK_STATES",
    "WARNING_CODES",
    "EnumNames",
]

E = TypeVar("E", bound=StrEnum)


class EnumNames(Generic[E]):
    """A domain enum and the proto enum whose values are `PREFIX_` and the member's name."""

    def __init__(self, domain: type[E], proto: EnumDescriptor, prefix: str) -> None:
        """Pair them by name; KeyError when the proto enum lacks a member."""
        self._names = {member: f"{prefix}_{member.name}" for member in domain}
        self._members = {proto.values_by_name[name].number: member for member, name in self._names.items()}

    def name(self, member: E) -> str:
        """The proto value's name, which message constructors take."""
        return self._names[member]

    def read(self, number: int, field: str) -> E | None:
        """The member of a proto number; None for the unspecified 0, InvalidInput for an unknown one."""
        if number == 0:
            return None
        member = self._members.get(number)
        if member is None:
            raise invalid_field(field, f"{field} is {number}, which is none of {self._known()}.")
        return member

    def read_all(self, numbers: Iterable[int], field: str) -> tuple[E, ...]:
        """The members of a repeated field; unspecified and unknown ones are InvalidInput."""
        members = []
        for index, number in enumerate(numbers):
            where = f"{field}[{index}]"
            member = self.read(number, where)
            if member is None:
                raise invalid_field(where, f"{where} is not specified; say one of {self._known()}.")
            members.append(member)
        return tuple(members)

    def _known(self) -> str:
        return ", ".join(self._names.values())


_DATASET_ENUMS = dataset_pb2.DESCRIPTOR.enum_types_by_name
_JOB_ENUMS = job_pb2.DESCRIPTOR.enum_types_by_name
_TASK_ENUMS = task_pb2.DESCRIPTOR.enum_types_by_name
_WARNING_ENUMS = report_pb2.DESCRIPTOR.message_types_by_name["ReportWarning"].enum_types_by_name

ASSIGNMENTS = EnumNames(Assignment, _JOB_ENUMS["Assignment"], "ASSIGNMENT")
COLUMN_KINDS = EnumNames(ColumnKind, _DATASET_ENUMS["ColumnKind"], "COLUMN_KIND")
COLUMN_ROLES = EnumNames(ColumnRole, _DATASET_ENUMS["ColumnRole"], "COLUMN_ROLE")
COVARIANCES = EnumNames(Covariance, _JOB_ENUMS["Covariance"], "COVARIANCE")
JOB_STATES = EnumNames(JobState, _JOB_ENUMS["JobState"], "JOB_STATE")
TABLE_FORMATS = EnumNames(TableFormat, _DATASET_ENUMS["TableFormat"], "TABLE_FORMAT")
TASK_STATES = EnumNames(TaskState, _TASK_ENUMS["TaskState"], "TASK_STATE")
WARNING_CODES = EnumNames(WarningCode, _WARNING_ENUMS["Code"], "CODE")
