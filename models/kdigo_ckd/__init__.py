"""KDIGO staging of chronic kidney disease."""
