"""The FIB-4 index of liver fibrosis."""
