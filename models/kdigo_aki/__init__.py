"""KDIGO staging of acute kidney injury from creatinine."""
