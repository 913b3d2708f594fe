"""The PREVENT equations of the American Heart Association."""
