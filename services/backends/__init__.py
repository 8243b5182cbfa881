"""Implementations of the ports: embedded ones, and those on MongoDB, RabbitMQ and S3."""
