"""MQTT: the connection, the queue on disk, and what Home Assistant is told."""
