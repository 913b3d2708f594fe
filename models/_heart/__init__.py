"""What the cardiovascular models share: inputs, refusals and words."""
