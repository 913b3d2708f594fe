"""Starts sekmet-fhir with RiskAssessment among the types that it states, by an identifier that it searches.

Its code keeps any type of R4 and searches by whatever its table names; the table of 0.1.1 leaves RiskAssessment out.
"""

from typing import Any

from sekmet.fhir.search_params import PARAMS, SearchParam  # type: ignore[import-untyped]


def app_factory() -> Any:
    PARAMS["RiskAssessment"] = {"identifier": SearchParam("identifier", "token", ("identifier",))}
    from sekmet.main import app_factory as theirs  # type: ignore[import-untyped]

    return theirs()
