"""The National Early Warning Score 2."""
