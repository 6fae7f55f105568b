"""The loop on a schedule: the only place that knows Prefect, and thin."""
