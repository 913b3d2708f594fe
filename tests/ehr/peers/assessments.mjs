// Reads the RiskAssessments of a launch's patient with the SMART client library that most JavaScript apps use.
// It takes {serverUrl, tokenResponse} as JSON on its input and prints what it read as JSON.
import { text } from "node:stream/consumers";
import smart from "fhirclient";

const { serverUrl, tokenResponse } = JSON.parse(await text(process.stdin));
const client = smart({ headers: {} }, {}).client({ serverUrl, tokenResponse });
const found = await client.request(`RiskAssessment?patient=${client.patient.id}`, { pageLimit: 0, flat: true });
const patient = await client.patient.read();
console.log(JSON.stringify({
  patient: patient.id,
  assessments: found.map((one) => ({
    id: one.id,
    status: one.status,
    subject: client.getPath(one, "subject.reference"),
    probability: client.getPath(one, "prediction.0.probabilityDecimal"),
    outcome: client.getPath(one, "prediction.0.outcome.text"),
  })),
}));
