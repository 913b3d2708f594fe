"""The rooms that know the web framework."""
