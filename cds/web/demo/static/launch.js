// Opens a SMART app beside the chart: the EHR makes a launch, and the app starts with it in a frame.
import { el } from "./dom.js";
import { FHIR_BASE, launched } from "./ehr.js";

// What SMART launchers let an app do in their frame.
const SANDBOX = "allow-forms allow-modals allow-pointer-lock allow-popups allow-popups-to-escape-sandbox "
  + "allow-same-origin allow-scripts allow-downloads";
let panel = null;
let opener = null;

// An app does not follow the EHR from one chart to the next: with the chart its panel goes.
export function close() {
  panel?.remove();
  panel = null;
  if (opener?.isConnected) opener.focus();
  opener = null;
}

function show(label, ...content) {
  panel?.remove();
  const title = el("h2", { id: "app-title", tabindex: "-1" }, label);
  const leave = el("button", { type: "button", class: "button quiet", "data-testid": "app-close", on: { click: close } }, "Close app");
  const keydown = (event) => event.key === "Escape" && close();
  panel = el("section", { class: "panel app", "aria-labelledby": "app-title", "data-testid": "app", on: { keydown } },
    el("header", {}, title, leave), ...content);
  document.getElementById("answer").after(panel);
  panel.scrollIntoView({ block: "nearest" });
  title.focus({ preventScroll: true });
}

// `log` says false when another chart was opened meanwhile: a launch for the old one must open nothing.
export async function open(link, context, log) {
  const focused = document.activeElement;
  const made = await launched({ ...context, ...(link.appContext && { appContext: link.appContext }) });
  if (log(made) === false) return;
  opener = focused;
  if (!made.ok) return show(link.label, el("p", { role: "alert" }, "The EHR could not launch this app."));
  const url = new URL(link.url);
  url.searchParams.set("iss", FHIR_BASE);
  url.searchParams.set("launch", made.response.launch);
  // This page frames its own origin only; an app that lives elsewhere gets a tab.
  if (url.origin !== location.origin) window.open(url, "_blank", "noopener");
  else show(link.label, el("iframe", { src: url.href, title: `${link.label}, SMART app`, sandbox: SANDBOX, "data-testid": "app-frame" }));
}
