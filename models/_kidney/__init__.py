"""What several kidney models share: gates, acute injury, the choice of eGFR and of urine albumin."""
