"""The same reduction in SQL: DuckDB's JSON reader, each patient's newest creatinine and urine albumin, the equation.

It does less than the scorer: units and codes of this list only, three gates of a dozen, no partial dates, no reasons.
"""

from collections.abc import Iterable
from pathlib import Path

import duckdb

CODING = "STRUCT(coding STRUCT(system VARCHAR, code VARCHAR)[])"
REFERENCE = "STRUCT(reference VARCHAR)"
QUANTITY = "STRUCT(value DOUBLE, unit VARCHAR, code VARCHAR)"
COLUMNS = {
    "Patient": {"id": "VARCHAR", "gender": "VARCHAR", "birthDate": "VARCHAR", "deceasedDateTime": "VARCHAR"},
    "Encounter": {"id": "VARCHAR", "class": "STRUCT(code VARCHAR)"},
    "Condition": {"code": CODING, "subject": REFERENCE},
    "Procedure": {"code": CODING, "subject": REFERENCE, "status": "VARCHAR"},
    "Observation": {
        "id": "VARCHAR",
        "status": "VARCHAR",
        "code": CODING,
        "subject": REFERENCE,
        "encounter": REFERENCE,
        "effectiveDateTime": "VARCHAR",
        "issued": "VARCHAR",
        "valueQuantity": QUANTITY,
    },
}
"""Only the members that are read, with their types: left to find them out, DuckDB is slower and may guess otherwise."""

LABS = {
    "2160-0": "creatinine", "38483-4": "creatinine", "14682-9": "creatinine", "77140-2": "creatinine",
    "59826-8": "creatinine", "35203-9": "creatinine", "9318-7": "uacr", "14959-1": "uacr", "32294-1": "uacr",
    "30000-4": "uacr", "14585-4": "uacr", "89998-9": "uacr", "77253-3": "uacr",
}  # fmt: skip
FACTORS = {"mg/dL": 1.0, "umol/L": 0.011312, "mg/g": 1.0, "mg/mmol": 8.84016973125884}
KIDNEY_REPLACED = ("105502003", "70536003", "161665007", "Z94.0", "Z99.2", "N18.6", "46177005", "302497006")

SQL = """
COPY (
    WITH lab AS (
        SELECT subject.reference[9:] AS patient, labs[code.coding[1].code] AS analyte, valueQuantity.value
            * coalesce(factors[valueQuantity.code], factors[valueQuantity.unit]) AS value,
            effectiveDateTime::TIMESTAMPTZ AS taken, issued, id, encounter.reference[11:] AS visit
        FROM {Observation}, (SELECT {labs} AS labs, {factors} AS factors)
        WHERE status IN ('final', 'amended', 'corrected') AND labs[code.coding[1].code] IS NOT NULL
    ), outside AS (
        SELECT lab.* FROM lab ANTI JOIN (
            SELECT id FROM {Encounter} WHERE class.code IN ('IMP', 'ACUTE', 'NONAC', 'EMER', 'OBSENC', 'SS')
        ) AS stay ON lab.visit = stay.id
        WHERE value > 0 AND taken <= {at}
    ), newest AS (
        SELECT patient,
            arg_max(value, (taken, issued, id))
                FILTER (analyte = 'creatinine' AND taken >= {at} - INTERVAL 12 MONTH) AS creatinine,
            max(taken) FILTER (analyte = 'creatinine') AS day,
            arg_max(value, (taken, issued, id))
                FILTER (analyte = 'uacr' AND taken >= {at} - INTERVAL 24 MONTH) AS acr
        FROM outside GROUP BY patient
    ), refused AS (
        SELECT subject.reference[9:] AS patient FROM {Condition}
        WHERE list_has_any(list_transform(code.coding, lambda c: c.code), {replaced})
        UNION ALL
        SELECT subject.reference[9:] FROM {Procedure}
        WHERE status = 'completed' AND list_has_any(list_transform(code.coding, lambda c: c.code), {replaced})
    ), person AS (
        SELECT id AS patient, gender = 'male' AS male, TRY_CAST(birthDate AS DATE) AS birth FROM {Patient}
        WHERE deceasedDateTime IS NULL AND gender IN ('female', 'male')
    ), inputs AS (
        SELECT patient, male, acr, date_sub('year', birth, {at}::DATE) AS age,
            142 * least(creatinine / if(male, 0.9, 0.7), 1) ** if(male, -0.302, -0.241)
                * greatest(creatinine / if(male, 0.9, 0.7), 1) ** -1.2
                * 0.9938 ** date_sub('year', birth, day::DATE) * if(male, 1, 1.012) AS egfr
        FROM newest JOIN person USING (patient) ANTI JOIN refused USING (patient)
        WHERE creatinine IS NOT NULL AND acr IS NOT NULL
    ), scored AS (
        SELECT *, exp(-0.2201 * (age / 10 - 7.036) + 0.2467 * (male::INT - 0.5642)
            - 0.5567 * (egfr / 5 - 7.222) + 0.4510 * (ln(acr) - 5.137)) AS relative
        FROM inputs WHERE age BETWEEN 18 AND 110 AND egfr < 60
    )
    SELECT patient, age, male, egfr, acr, 1 - 0.9750 ** relative AS two_years, 1 - 0.9240 ** relative AS five_years
    FROM scored
) TO '{out}' (FORMAT parquet)
"""


def reduce(folder: Path, at: str, out: Path) -> int:
    """Score the export in a folder as of a day with one thread; how many rows the Parquet file has."""
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.execute("SET TimeZone = 'UTC'")
    readers = {kind: reader(sorted(folder.glob(f"{kind}.*.ndjson")), columns) for kind, columns in COLUMNS.items()}
    filled = SQL.format(
        **readers,
        labs=f"MAP {LABS}",
        factors=f"MAP {FACTORS}",
        replaced=list(KIDNEY_REPLACED),
        at=f"TIMESTAMPTZ '{at} 23:59:59+00'",
        out=out,
    )
    connection.execute(filled)
    found = connection.execute("SELECT count(*) FROM read_parquet(?)", [str(out)]).fetchone()
    return int(found[0]) if found else 0


def reader(files: Iterable[Path], columns: dict[str, str]) -> str:
    """A table of some NDJSON files."""
    return f"read_ndjson({[str(file) for file in files]}, columns = {columns})"
