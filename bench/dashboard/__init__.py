"""The dashboard under load: many sessions on one job, and a large table."""
