"""Ringback: a phone line and an inbox for any AI agent."""

__version__ = "0.1.0"
