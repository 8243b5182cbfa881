"""Writes the reference in docs/api.md from the proto files and their comments.

python docs/api_reference.py
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_tools import protoc

__all__ = ["PAGE", "with_reference"]

PAGE = Path(__file__).with_name("api.md")

_PROTOS = Path(__file__).parents[1] / "protos"
_FILES = ("dataset_service", "job_service", "dataset", "job", "task", "report")
_BEGIN = (
    "<!-- What follows is written by docs/api_reference.py: change the comments of the proto files. -->\n"
)
_PACKAGE = ".kmeans.v1."
_TYPES = {number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()}

# Where a descriptor's parts are in its file, by the field numbers of descriptor.proto.
_Path = tuple[int, ...]
_MESSAGE, _ENUM, _SERVICE, _FIELD, _METHOD, _VALUE, _NESTED, _NESTED_ENUM = 4, 5, 6, 2, 2, 2, 3, 4


def with_reference(page: str) -> str:
    """The page, its reference made anew."""
    narrative, marker, _ = page.partition(_BEGIN)
    if not marker:
        raise ValueError("docs/api.md does not say where its reference begins")
    return narrative + _BEGIN + "\n" + "\n".join(_reference()).rstrip() + "\n"


def _reference() -> Iterator[str]:
    files = {Path(file.name).stem: file for file in _parsed().file}
    documented = [_Documented(files[name]) for name in _FILES]
    for file in documented:
        yield from file.services()
    for file in documented:
        yield from file.messages()


def _parsed() -> FileDescriptorSet:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "set")
        sources = [f"kmeans/v1/{name}.proto" for name in _FILES]
        include = resources.files("grpc_tools") / "_proto"
        options = ["--include_source_info", f"--descriptor_set_out={target}"]
        if protoc.main(["protoc", f"--proto_path={_PROTOS}", f"--proto_path={include}", *options, *sources]):
            raise SystemExit("protoc refused the definitions in protos/; its messages are above.")
        return FileDescriptorSet.FromString(target.read_bytes())


class _Documented:
    """One proto file as Markdown."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments = {
            tuple(place.path): place.leading_comments for place in file.source_code_info.location
        }

    def services(self) -> Iterator[str]:
        for index, service in enumerate(self._file.service):
            yield f"## {service.name}\n\n{self._text((_SERVICE, index))}\n"
            yield "| method | takes | gives | |\n| --- | --- | --- | --- |"
            for number, method in enumerate(service.method):
                takes = _link(method.input_type, is_many=method.client_streaming)
                gives = _link(method.output_type, is_many=method.server_streaming)
                what = self._line((_SERVICE, index, _METHOD, number))
                yield f"| `{method.name}` | {takes} | {gives} | {what} |"
            yield ""

    def messages(self) -> Iterator[str]:
        for index, message in enumerate(self._file.message_type):
            yield from self._message(message, message.name, (_MESSAGE, index))
        for index, enum in enumerate(self._file.enum_type):
            yield from self._enum(enum, enum.name, (_ENUM, index))

    def _message(self, message: DescriptorProto, name: str, path: _Path) -> Iterator[str]:
        yield f"### {name}\n\n{self._text(path)}\n"
        if message.field:
            yield "| field | type | |\n| --- | --- | --- |"
        for index, field in enumerate(message.field):
            kind = _link(field.type_name) if field.type_name else f"`{_TYPES[field.type]}`"
            words = [kind]
            if field.label == FieldDescriptorProto.LABEL_REPEATED:
                words.append("repeated")
            if field.proto3_optional:
                words.append("optional")
            elif field.HasField("oneof_index"):
                words.append(f"one of `{message.oneof_decl[field.oneof_index].name}`")
            yield f"| `{field.name}` | {', '.join(words)} | {self._line((*path, _FIELD, index))} |"
        yield ""
        for index, nested in enumerate(message.nested_type):
            yield from self._message(nested, f"{name}.{nested.name}", (*path, _NESTED, index))
        for index, enum in enumerate(message.enum_type):
            yield from self._enum(enum, f"{name}.{enum.name}", (*path, _NESTED_ENUM, index))

    def _enum(self, enum: EnumDescriptorProto, name: str, path: _Path) -> Iterator[str]:
        yield f"### {name}\n\n{self._text(path)}\n\n| value | | |\n| --- | --- | --- |"
        for index, value in enumerate(enum.value):
            yield f"| {value.number} | `{value.name}` | {self._line((*path, _VALUE, index))} |"
        yield ""

    def _text(self, path: _Path) -> str:
        paragraphs = re.split(r"\n\s*\n", self._comments.get(path, "").strip())
        return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)

    def _line(self, path: _Path) -> str:
        return " ".join(self._text(path).split()).replace("|", "\\|")


def _link(type_name: str, *, is_many: bool = False) -> str:
    name = type_name.removeprefix(_PACKAGE)
    shown = f"`{name.lstrip('.')}`" if name.startswith(".") else f"[{name}](#{_anchor(name)})"
    return f"stream of {shown}" if is_many else shown


def _anchor(name: str) -> str:
    return name.replace(".", "").lower()


if __name__ == "__main__":
    PAGE.write_text(with_reference(PAGE.read_text("utf-8")), "utf-8")
