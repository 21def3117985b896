"""The project's own softphone: the gateway's SIP and media with a person at the bridge."""
