"""TLS of the gateway, from files that may be replaced while it runs."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from services.core.errors import FieldViolation, InvalidInput
from services.core.settings import Settings
from services.gateway.watched import WatchedFiles, read_file

__all__ = ["TlsFiles", "server_credentials", "tls_files"]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a gateway's certificate chain and key are, and the authorities of its clients, if it asks."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class _Contents:
    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(self.key, self.certificate)], self.client_ca)


def tls_files(settings: Settings) -> TlsFiles | None:
    """The files that the settings name; None for plain text.

    Raises:
        InvalidInput: some belong together and are not all set (`BAD_SETTINGS`).
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is not None and key is not None:
        return TlsFiles(certificate, key, settings.tls_client_ca)
    if certificate is None and key is None and settings.tls_client_ca is None:
        return None
    missing = [
        name for name, path in (("KMEANS_TLS_CERTIFICATE", certificate), ("KMEANS_TLS_KEY", key)) if not path
    ]
    sentences = [f"{name} is not set, and other TLS files are; set it, or none of them." for name in missing]
    raise InvalidInput(
        " ".join(sentences),
        "BAD_SETTINGS",
        violations=[FieldViolation(*pair) for pair in zip(missing, sentences, strict=True)],
    )


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials whose files are looked at before each handshake, so that a renewed certificate is used.

    Wrong ones are told in the log, and those before them go on. TLS 1.2 and 1.3 only, as gRPC has it.

    Raises:
        InvalidInput: a file cannot be read, or they do not belong together (`BAD_TLS_FILES`).
    """
    paths = [path for path in (files.certificate, files.key, files.client_ca) if path is not None]
    watched = WatchedFiles("TLS files", paths, lambda: _read(files))
    begun = watched.current()
    served = begun

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal served
        found = watched.current()
        if found == served:
            return None
        served = found
        return found.configuration()

    return grpc.dynamic_ssl_server_credentials(
        begun.configuration(),
        renewed,  # type: ignore[arg-type]  # None means as before, which the stubs do not know
        require_client_authentication=files.client_ca is not None,
    )


def _read(files: TlsFiles) -> _Contents:
    contents = _read_once(files)
    _check_pair(files)
    if contents.client_ca is not None:
        _check_authorities(files, contents.client_ca)
    if _read_once(files) != contents:
        raise InvalidInput("The TLS files change while they are read.", "BAD_TLS_FILES")
    return contents


def _read_once(files: TlsFiles) -> _Contents:
    return _Contents(
        read_file(files.certificate, "KMEANS_TLS_CERTIFICATE", "BAD_TLS_FILES"),
        read_file(files.key, "KMEANS_TLS_KEY", "BAD_TLS_FILES"),
        None
        if files.client_ca is None
        else read_file(files.client_ca, "KMEANS_TLS_CLIENT_CA", "BAD_TLS_FILES"),
    )


def _check_pair(files: TlsFiles) -> None:
    """GRPC takes any bytes, and would only fail every handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key with a passphrase is refused instead of asking for it on a terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error.__class__.__name__
        raise InvalidInput(
            f"KMEANS_TLS_CERTIFICATE ({files.certificate}) and KMEANS_TLS_KEY ({files.key}) are no "
            f"certificate chain in PEM and its private key without passphrase ({reason}).",
            "BAD_TLS_FILES",
        ) from None


def _check_authorities(files: TlsFiles, client_ca: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=client_ca.decode("ascii"))
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"KMEANS_TLS_CLIENT_CA ({files.client_ca}) holds no certificates in PEM.", "BAD_TLS_FILES"
        ) from error
