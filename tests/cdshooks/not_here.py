"""Items of the CDS Hooks checklist that no test here can be named after, each with its reason."""

NOT_HERE = {
    1: "TLS ends at the proxy in front of the server, and with it the refusal of plain HTTP",
}
