"""Merging that a few hostile contributors cannot steer; docs/robust-aggregation.md says what each rule assumes."""
