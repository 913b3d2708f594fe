"""The LACE index of readmission or death after discharge."""
