"""Audio files: read, write, mix."""
