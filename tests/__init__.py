"""The tests as a package: one of their data packages brings a top-level `tests` of its own, which would hide them."""
