"""MELD 3.0, the severity of end-stage liver disease."""
