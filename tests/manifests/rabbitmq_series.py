"""What RabbitMQ tells of single queues, by the families that have to be asked for.

Of its documentation (https://www.rabbitmq.com/docs/prometheus, "Detailed Endpoint").
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PATH", "SERIES"]

PATH = "/metrics/detailed"

SERIES: Mapping[str, frozenset[str]] = {
    "queue_coarse_metrics": frozenset(
        {
            "rabbitmq_detailed_queue_messages",
            "rabbitmq_detailed_queue_messages_ready",
            "rabbitmq_detailed_queue_messages_unacked",
            "rabbitmq_detailed_queue_process_reductions_total",
        }
    ),
    "queue_consumer_count": frozenset({"rabbitmq_detailed_queue_consumers"}),
}
