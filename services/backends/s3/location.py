"""Where the objects are: the bucket and prefix of the URL, and the keys under them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from services.core.errors import InvalidInput

__all__ = ["S3Location"]

# The same keys as in a folder, so that objects can be moved from one store to the other.
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}"
_KEY = re.compile(rf"{_SEGMENT}(/{_SEGMENT}){{0,9}}", re.ASCII)
_PREFIX = re.compile(rf"({_SEGMENT}/){{0,9}}({_SEGMENT})?", re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket and a prefix in it; the prefix is "" or ends with a slash."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, url: str) -> S3Location:
        """Read `s3://bucket` or `s3://bucket/prefix`; the prefix may be percent-encoded.

        Raises:
            InvalidInput: BAD_BACKEND_URL for anything else. The URL is not shown: whoever wrote
                credentials into it would find them in a log.
        """
        parts = urlsplit(url)
        prefix = unquote(parts.path).strip("/")
        if (
            not _BUCKET.fullmatch(parts.netloc)
            or parts.query
            or parts.fragment
            or (prefix and not _KEY.fullmatch(prefix))
        ):
            raise InvalidInput(
                "An s3:// URL is written s3://bucket or s3://bucket/prefix. Credentials and the endpoint "
                "come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
                "KMEANS_S3_ENDPOINT_URL).",
                "BAD_BACKEND_URL",
            )
        return cls(parts.netloc, f"{prefix}/" if prefix else "")

    def full_key(self, key: str) -> str:
        """The key in the bucket; InvalidInput for a key that the service does not make."""
        if not _KEY.fullmatch(key):
            raise _bad_key(key)
        return self.prefix + key

    def full_prefix(self, prefix: str) -> str:
        """The prefix in the bucket of keys that begin with this; InvalidInput when no key can."""
        if not _PREFIX.fullmatch(prefix):
            raise _bad_key(prefix)
        return self.prefix + prefix

    def own_key(self, full_key: str) -> str | None:
        """The service's key of an object in the bucket, or None when the object is a stranger's."""
        key = full_key.removeprefix(self.prefix)
        return key if full_key.startswith(self.prefix) and _KEY.fullmatch(key) else None


def _bad_key(key: str) -> InvalidInput:
    return InvalidInput(f"{key[:80]!r} is not an object key of this service.", "BAD_OBJECT_KEY")
