"""Agents that come back to what tokenlog has recorded: an adapter for each framework, a module each."""
