"""Many patients at once: files in, outcomes out."""
