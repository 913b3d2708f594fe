"""The code sets of the kidney gates and histories; codes.csv beside this module holds them."""

from importlib.resources import files

from cds import CodeSet, read_code_sets

CODES: dict[str, CodeSet] = read_code_sets(files("models._kidney") / "codes.csv")
NEPHROLOGY = CodeSet("nephrology", ())
"""Empty until a site maps its own specialty code: the published codes for nephrology are UNVERIFIED."""
NEPHROTOXIC: dict[str, CodeSet] = read_code_sets(files("models._kidney") / "nephrotoxic.csv")
"""Products and studies that harm the kidney: nsaid, aminoglycoside, iodinated_contrast. Closed and not complete."""
