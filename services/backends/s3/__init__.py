"""The object store on S3, or a server that speaks its protocol (`s3://bucket/prefix`)."""

from services.backends.s3.objects import S3Objects

__all__ = ["S3Objects"]
