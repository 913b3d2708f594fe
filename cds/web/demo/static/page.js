// Plays the EHR: a patient is chosen, the hook is called, and what came back is shown with every message of the exchange.
import { drawn } from "./card.js";
import { el } from "./dom.js";
import * as ehr from "./ehr.js";
import { tree } from "./tree.js";

const HOOKS = [
  ["patient-view", "Open chart"],
  ["encounter-start", "Start encounter"],
  ["problem-list-item-create", "Add a problem"],
];
const at = (id) => document.getElementById(id);
const state = { services: [], discovery: null, patient: null, hook: null, turn: 0 };

const day = (date) => new Date(`${date}T12:00`).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
const time = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
const size = (bytes) => (bytes < 1000 ? `${bytes} B` : `${(bytes / 1000).toFixed(1)} kB`);

function age(birthDate) {
  const [year, month, date] = birthDate.split("-").map(Number);
  const now = new Date();
  const isBefore = now.getMonth() + 1 < month || (now.getMonth() + 1 === month && now.getDate() < date);
  return now.getFullYear() - year - (isBefore ? 1 : 0);
}

function outcomeTexts(body) {
  if (body?.resourceType !== "OperationOutcome") return [typeof body === "string" ? body : "The answer carries no explanation."];
  return body.issue.map((issue) => [issue.details?.text ?? issue.code, issue.diagnostics].filter(Boolean).join(": "));
}

function drawPatients(patients) {
  at("patients").replaceChildren(...patients.map((patient) => el("li", {},
    el("button", { type: "button", "data-testid": "patient", "data-patient": patient.id, on: { click: () => open(patient) } },
      el("span", { class: "who" }, patient.name),
      el("span", { class: "age" }, `${age(patient.birthDate)}, ${patient.sex}`),
      el("span", { class: "story" }, patient.story)))));
}

function open(patient) {
  state.app?.close();
  state.patient = patient;
  at("welcome").hidden = true;
  at("open-chart").hidden = false;
  for (const button of document.querySelectorAll("[data-patient]")) {
    button.ariaCurrent = button.dataset.patient === patient.id ? "true" : null;
  }
  drawBanner(patient);
  if (matchMedia("(max-width: 56rem)").matches) document.querySelector(".patients").open = false;
  scrollTo(0, 0);
  callHook(HOOKS.find(([hook]) => servicesFor(hook).length)?.[0] ?? "patient-view");
}

function drawBanner(patient) {
  const fact = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));
  at("banner").replaceChildren(
    el("p", { class: "who", "data-testid": "banner-name" }, patient.name, el("span", { class: "tag warm" }, "Synthetic data")),
    el("dl", {}, fact("Born", `${day(patient.birthDate)} (${age(patient.birthDate)} y)`), fact("Sex", patient.sex), fact("Id", patient.id)),
    el("p", { class: "story" }, patient.story));
}

const servicesFor = (hook) => state.services.filter((service) => service.hook === hook);

function drawHooks() {
  at("hooks").replaceChildren(...HOOKS.map(([hook, words]) => el("button", {
    type: "button", "data-testid": `hook-${hook}`, "data-hook": hook, "aria-pressed": "false",
    disabled: servicesFor(hook).length === 0, on: { click: () => callHook(hook) },
  }, el("b", {}, words), el("code", {}, hook))));
}

async function callHook(hook) {
  const turn = ++state.turn;
  state.hook = hook;
  for (const button of at("hooks").children) button.setAttribute("aria-pressed", String(button.dataset.hook === hook));
  begin(hook);
  const context = await ehr.contextOf(hook, state.patient.id);
  state.encounter = context.encounterId;
  for (const service of servicesFor(hook)) {
    const prefetch = at("fetch-itself").checked ? null : await ehr.prefetched(service, context);
    if (turn !== state.turn) return; // another chart was opened meanwhile: nobody would see this answer
    const answer = await ehr.call(service, context, prefetch?.values ?? null);
    if (turn !== state.turn) return;
    drawPrefetch(prefetch);
    addExchange(answer, true);
    drawAnswer(service, hook, answer);
  }
}

function begin(hook) {
  at("status").textContent = servicesFor(hook).length ? `Calling ${hook}…` : `No service listens to ${hook}.`;
  at("status").className = "status";
  at("answer").replaceChildren();
  at("answer").removeAttribute("data-state");
  at("prefetch").replaceChildren();
  at("wire").replaceChildren();
  addExchange(state.discovery, false);
}

function drawPrefetch(prefetch) {
  if (!prefetch) return at("prefetch").replaceChildren(el("p", {}, "No prefetch sent: Bedside reads from fhirServer itself."));
  const sent = Object.keys(prefetch.values).length;
  const chip = (key) => {
    const value = prefetch.values[key];
    const found = !value ? "left out" : value.resourceType === "Bundle" ? String(value.entry?.length ?? 0) : "1";
    return el("li", { class: value ? null : "out" }, key, " ", el("b", {}, found));
  };
  at("prefetch").replaceChildren(
    el("p", {}, `Prefetch: ${sent} of ${prefetch.keys.length} keys filled from the demo FHIR server in ${time(prefetch.ms)}`),
    el("ul", { "aria-label": "Resources found for each prefetch key" }, prefetch.keys.map(chip)));
}

function pane(title, value, depth) {
  const copy = async ({ currentTarget: button }) => {
    const copied = navigator.clipboard?.writeText(JSON.stringify(value, null, 2)) ?? Promise.reject();
    button.textContent = await copied.then(() => "Copied", () => "Not copied");
  };
  const body = value === undefined ? el("p", {}, "No body") : tree(value, depth);
  return el("section", { class: "pane" },
    el("h3", {}, title, value !== undefined && el("button", { type: "button", on: { click: copy }, "aria-label": `Copy ${title}` }, "Copy")),
    el("div", { class: "json", tabindex: "0", role: "region", "aria-label": `${title} JSON`, "data-testid": `${title.toLowerCase()}-json` }, body));
}

function addExchange(done, isOpen) {
  const outcome = el("span", { class: done.ok ? "code" : "code bad", "data-testid": "http-status" }, done.status || "no answer");
  const measured = el("span", { class: "ms", "data-testid": "timing" }, `${time(done.ms)} · ${size(done.bytes)}`);
  at("wire").append(el("details", { class: "exchange panel", open: isOpen, "data-testid": "exchange" },
    el("summary", {}, el("b", {}, done.method), el("code", {}, done.path), outcome, measured),
    el("div", { class: "panes" }, pane("Request", done.request, 2), pane("Response", done.response, 3))));
}

function drawAnswer(service, hook, answer) {
  const isAnswer = answer.ok && Array.isArray(answer.response?.cards);
  const cards = isAnswer ? answer.response.cards : [];
  const what = !isAnswer ? "error" : cards.length ? "card" : "silence";
  at("status").textContent = `${service.title ?? service.id} answered ${hook} with HTTP ${answer.status || "nothing"} in ${time(answer.ms)}.`;
  at("answer").append(...(what === "error" ? [failure(answer)] : cards.length ? cards.map((card) => drawn(card, actionsOf(service))) : [silence()]));
  at("answer").dataset.state = what;
}

function silence() {
  return el("div", { class: "panel silence", "data-testid": "silence" },
    el("h3", {}, "No card: the service had nothing to say"),
    el("p", {}, "The call succeeded and its list of cards is empty. The clinician's screen stays as it was."));
}

function failure(answer) {
  return el("div", { class: "panel trouble", role: "alert", "data-testid": "error" },
    el("h3", {}, answer.status ? `The service could not answer (HTTP ${answer.status})` : "The service did not answer"),
    el("ul", {}, outcomeTexts(answer.response).map((text) => el("li", {}, text))));
}

// Feedback may only say what happened, so each action is carried out first.
function actionsOf(service) {
  const turn = state.turn;
  const log = (done) => turn === state.turn && addExchange(done, false);
  const tell = async (reaction, words) => {
    const told = await ehr.feedback(service, reaction);
    log(told);
    return { ok: told.ok, text: told.ok ? `Recorded: ${words}.` : `Not recorded (HTTP ${told.status || "none"}): ${outcomeTexts(told.response)}` };
  };
  return {
    launch: async (link) => {
      state.app = await import("./launch.js");
      state.app.open(link, { patient: state.patient.id, encounter: state.encounter }, log);
    },
    override: (card, overrideReason) => {
      const reason = overrideReason?.reason;
      const words = reason ? `overridden, “${reason.display ?? reason.code}”` : "overridden";
      return tell({ card: card.uuid, outcome: "overridden", overrideReason }, words);
    },
    accept: async (card, suggestion) => {
      const saved = await carriedOut(suggestion.actions ?? [], log);
      if (saved.failed) return { ok: false, text: `Not saved: ${outcomeTexts(saved.failed)}` };
      const reaction = { card: card.uuid, outcome: "accepted", acceptedSuggestions: [{ id: suggestion.uuid }] };
      return tell(reaction, `accepted “${suggestion.label}”${saved.names.length ? `, saved ${saved.names.join(", ")}` : ""}`);
    },
  };
}

async function carriedOut(actions, log) {
  const names = [];
  for (const action of actions) {
    if (action.type !== "create") return { failed: `this demo creates, it does not ${action.type}` };
    const made = await ehr.create(action.resource);
    log(made);
    if (!made.ok) return { failed: made.response };
    names.push(made.response.resourceType);
  }
  return { names };
}

function complain(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = false;
}

async function start() {
  const [patients, discovery] = await Promise.all([ehr.patients(), ehr.discovery()]);
  state.discovery = discovery;
  state.services = discovery.response?.services ?? [];
  drawHooks();
  if (patients.ok) drawPatients(patients.response);
  if (!patients.ok) complain("The patients could not be read.");
  else if (!state.services.length) complain("Bedside offers no service: is the site's stage live, and its region set?");
  document.body.dataset.ready = "true";
}

at("fetch-itself").addEventListener("change", () => callHook(state.hook));
start();
