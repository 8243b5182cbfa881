"""The job store on MongoDB: a replica set or a sharded cluster, shared by any number of processes."""

from services.backends.mongodb.schema import SCHEMA_VERSION
from services.backends.mongodb.store import MongoStore

__all__ = ["SCHEMA_VERSION", "MongoStore"]
