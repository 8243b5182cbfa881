"""The task queue on RabbitMQ (`amqp://`, `amqps://`)."""

from services.backends.rabbitmq.queue import RabbitQueue

__all__ = ["RabbitQueue"]
