"""The Pooled Cohort Equations of 2013, as a comparator."""
