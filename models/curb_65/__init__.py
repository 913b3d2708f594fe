"""CURB-65, the severity of pneumonia."""
