"""The Padua prediction score of venous thromboembolism in medical inpatients."""
