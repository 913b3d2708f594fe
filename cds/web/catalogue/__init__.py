"""The gallery of models and each one's fact sheet, as pages."""
