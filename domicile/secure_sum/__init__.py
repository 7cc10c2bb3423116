"""The secure sum, without I/O: ``docs/secure-aggregation.md`` is its specification."""
