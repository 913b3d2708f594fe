"""Items of the CDS Hooks checklist that no test here can be named after, each with its reason."""

TRUST = "comes with client authentication; until then the server answers on loopback only"

NOT_HERE = {
    1: "TLS ends at the proxy in front of the server, and with it the refusal of plain HTTP",
    26: TRUST,
    32: TRUST,
    54: f"binding a FHIR server to its caller {TRUST}; the allow-list itself is tested under C53",
    92: TRUST,
}
