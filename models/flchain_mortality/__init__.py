"""A trained model as a demonstration: death within five years from age, sex and creatinine."""
