"""Wyoming, the protocol of Home Assistant's voice services: events, a recogniser, a proxy that changes voices."""
