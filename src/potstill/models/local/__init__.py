"""Models that run on this machine by transformers: loading, batching, decoding, key-value cache."""
