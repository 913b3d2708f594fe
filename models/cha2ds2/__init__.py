"""CHA2DS2-VASc and CHA2DS2-VA, stroke risk in atrial fibrillation."""
