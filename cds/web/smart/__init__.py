"""The SMART app in the browser."""
