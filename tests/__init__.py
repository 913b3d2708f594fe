"""The tests as a package, which one of their data packages, bringing a top-level `tests` of its own, would else hide."""
