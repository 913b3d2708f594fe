"""Twelve synthetic patients of our own making, so that every story a card can tell has a chart to be shown on."""
