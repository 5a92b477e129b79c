"""Streaming building blocks: one forward for training, for streaming and for export."""
