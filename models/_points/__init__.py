"""What the scores that add up points share: their items, what is asked for, and who is not scored."""
