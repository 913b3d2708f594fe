"""HAS-BLED, bleeding risk in atrial fibrillation."""
