"""``potstill view``: a run's page over its whole store, served while the run works."""
