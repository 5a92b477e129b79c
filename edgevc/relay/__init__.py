"""Passes on what was said: commands to MQTT, Home Assistant, webhooks and programs.

A process of its own with one asyncio loop: it sees a live session only through its control socket, so that neither a
crash nor an update of it touches the voice. `event` is what all parts give each other: sources make events, sinks take
them.
"""
