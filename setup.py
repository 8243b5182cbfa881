"""Compiles the kernel and generates the gRPC stubs; everything else is in pyproject.toml."""

from __future__ import annotations

import shutil
import sys
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
from Cython.Build import cythonize
from setuptools import Command, Extension, find_namespace_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PROTOS = ROOT / "protos"


class BuildProto(Command):
    """Generate `kmeans.v1` from `protos/` beside the definitions, where both installs find it."""

    description = "generate the gRPC stubs from protos/"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []

    def initialize_options(self) -> None:
        """No options."""

    def finalize_options(self) -> None:
        """No options."""

    def run(self) -> None:
        """Call protoc; with type stubs for the services when their generator is installed."""
        from grpc_tools import protoc

        sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.glob("kmeans/v1/*.proto"))
        for stale in PROTOS.glob("kmeans/v1/*_pb2*"):
            stale.unlink()
        arguments = [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={resources.files('grpc_tools') / '_proto'}",
            f"--python_out={PROTOS}",
            f"--pyi_out={PROTOS}",
            f"--grpc_python_out={PROTOS}",
        ]
        typed_services = shutil.which("protoc-gen-mypy_grpc", path=str(Path(sys.executable).parent))
        # In an isolated build the script may be there without the package behind it.
        if typed_services and find_spec("mypy_protobuf"):
            arguments += [
                f"--plugin=protoc-gen-mypy_grpc={typed_services}",
                f"--mypy_grpc_out=quiet:{PROTOS}",
            ]
        if protoc.main([*arguments, *sources]) != 0:
            raise SystemExit("protoc refused the definitions in protos/; its messages are above.")


class BuildPython(build_py):
    """Copy the Python modules once the stubs among them exist, and the sample tables."""

    def run(self) -> None:
        """Generate, then build."""
        self.run_command("build_proto")
        super().run()
        if not self.editable_mode:
            # The dashboard offers them to try; a checkout reads them where they are.
            samples = Path(self.build_lib) / "ui" / "samples"
            self.mkpath(str(samples))
            for table in sorted((ROOT / "examples").glob("*.csv")):
                self.copy_file(str(table), str(samples / table.name))


def extensions() -> list[Extension]:
    """Every `.pyx` of the kernel, each with the C files it names by its own comment header."""
    return [
        Extension(
            f"ckernel.{source.stem}",
            [str(source.relative_to(ROOT)), *C_SOURCES],
            include_dirs=[np.get_include(), "ckernel"],
            depends=[str(path.relative_to(ROOT)) for path in (ROOT / "ckernel").glob("*.h")],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
            # GNU C contracts a b + c into one FMA; the two -fno flags free the compiler from errno and
            # floating-point traps, which nobody reads, and change no value.
            extra_compile_args=[
                "-O3",
                "-std=gnu11",
                "-fno-math-errno",
                "-fno-trapping-math",
                "-pthread",
                "-Wall",
                "-Wno-unused-function",
            ],
            extra_link_args=["-pthread"],
        )
        for source in sorted((ROOT / "ckernel").glob("*.pyx"))
    ]


C_SOURCES = sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "ckernel").glob("*.c") if not path.name.startswith("_")
)

setup(
    packages=[
        *find_namespace_packages(include=["ckernel*", "services*", "ui*", "kmeans_client*"]),
        "kmeans",
        "kmeans.v1",
    ],
    cmdclass={"build_proto": BuildProto, "build_py": BuildPython},
    ext_modules=cythonize(extensions(), compiler_directives={"language_level": "3"}),
)
