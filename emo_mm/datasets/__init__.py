"""Data sets: multi-scale batches, generated data, converters."""
