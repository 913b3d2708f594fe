"""The HOSPITAL score of potentially avoidable readmission."""
