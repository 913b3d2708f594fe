"""The Kidney Failure Risk Equation."""
