// The EHR's side of CDS Hooks: discovery, prefetch, the call, what an accepted suggestion creates, and feedback.

export const FHIR_BASE = new URL("fhir", document.baseURI).href;
const CDS_BASE = new URL("../cds-services", document.baseURI).href;
const USER = "Practitioner/demo-clinician";
const FORM = "application/x-www-form-urlencoded";

const fhirDate = () => new Date().toISOString();

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text || null;
  }
}

// One message and its answer. An HTTP error is an answer too; status 0 means that none came.
async function exchange(method, url, body, type = "application/json") {
  const started = performance.now();
  const done = { method, path: new URL(url).pathname, request: body, status: 0, response: null, bytes: 0 };
  try {
    const payload = typeof body === "string" || body === undefined ? body : JSON.stringify(body);
    const headers = { Accept: "application/json, application/fhir+json", ...(payload && { "Content-Type": type }) };
    const answer = await fetch(url, { method, headers, body: payload, cache: "no-store", credentials: "same-origin" });
    const text = await answer.text();
    Object.assign(done, { status: answer.status, response: parsed(text), bytes: text.length });
  } catch {
    done.response = "No answer: the server could not be reached.";
  }
  return Object.assign(done, { ms: performance.now() - started, ok: done.status >= 200 && done.status < 300 });
}

export const patients = () => exchange("GET", new URL("patients.json", document.baseURI).href);
export const discovery = () => exchange("GET", CDS_BASE);
export const launched = (context) => exchange("POST", new URL("launch", document.baseURI).href, context);
export const create = (resource) =>
  exchange("POST", `${FHIR_BASE}/${encodeURIComponent(resource.resourceType)}`, resource, "application/fhir+json");

// Searches go by POST: a patient's id belongs in no URL, where proxies and histories would keep it.
const search = (type, parameters) =>
  exchange("POST", `${FHIR_BASE}/${type}/_search`, new URLSearchParams(parameters).toString(), FORM);

function filled(template, context) {
  const practitioner = context.userId?.startsWith("Practitioner/") ? context.userId.split("/")[1] : undefined;
  let isComplete = true;
  const text = template.replace(/\{\{\s*([\w.]+)\s*\}\}/g, (_, token) => {
    const value = token === "userPractitionerId" ? practitioner : context[token.replace(/^context\./, "")];
    isComplete &&= typeof value === "string";
    return value;
  });
  return isComplete ? text : null;
}

async function queried(template, context) {
  const query = filled(template, context);
  if (query === null) return undefined;
  const [path, parameters] = query.split(/\?(.*)/s);
  const [type, id] = path.split("/");
  const answer = await search(type, parameters ?? { _id: id });
  if (!answer.ok) return undefined;
  return parameters === undefined ? answer.response.entry?.[0]?.resource : answer.response;
}

// Only the keys whose query failed are left out: an empty search is data too, it says "looked, there is none".
export async function prefetched(service, context) {
  const started = performance.now();
  const keys = Object.keys(service.prefetch ?? {});
  const found = await Promise.all(keys.map((key) => queried(service.prefetch[key], context)));
  const values = Object.fromEntries(keys.map((key, at) => [key, found[at]]).filter(([, value]) => value !== undefined));
  return { keys, values, ms: performance.now() - started };
}

const encounters = new Map();

async function encounterFor(patientId) {
  if (!encounters.has(patientId)) {
    const answer = await create({
      resourceType: "Encounter",
      status: "in-progress",
      class: { system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "AMB", display: "ambulatory" },
      subject: { reference: `Patient/${patientId}` },
      period: { start: fhirDate() },
    });
    if (!answer.ok) return undefined;
    encounters.set(patientId, answer.response.id);
  }
  return encounters.get(patientId);
}

// A problem that says nothing about kidneys: what the card says must follow from the chart.
function newProblem(patientId) {
  const coded = (system, code) => ({ coding: [{ system: `http://terminology.hl7.org/CodeSystem/${system}`, code }] });
  return {
    resourceType: "Condition",
    clinicalStatus: coded("condition-clinical", "active"),
    verificationStatus: coded("condition-ver-status", "confirmed"),
    category: [coded("condition-category", "problem-list-item")],
    code: { coding: [{ system: "http://snomed.info/sct", code: "59621000", display: "Essential hypertension" }] },
    subject: { reference: `Patient/${patientId}` },
    recordedDate: fhirDate(),
  };
}

export async function contextOf(hook, patientId) {
  const context = { userId: USER, patientId };
  if (hook === "encounter-start") context.encounterId = await encounterFor(patientId);
  if (hook === "problem-list-item-create") {
    const entry = [{ resource: newProblem(patientId) }];
    context.conditions = { resourceType: "Bundle", type: "collection", entry };
  }
  return context;
}

export function call(service, context, prefetch) {
  const request = { hook: service.hook, hookInstance: crypto.randomUUID() };
  if (prefetch === null) request.fhirServer = FHIR_BASE;
  Object.assign(request, { context }, prefetch && { prefetch });
  return exchange("POST", `${CDS_BASE}/${encodeURIComponent(service.id)}`, request);
}

export function feedback(service, reaction) {
  const entry = { ...reaction, outcomeTimestamp: fhirDate() };
  return exchange("POST", `${CDS_BASE}/${encodeURIComponent(service.id)}/feedback`, { feedback: [entry] });
}
