// Draws one card as an EHR would, with the two things a clinician can do about it: accept, or override with a reason.
import { el, safeLink } from "./dom.js";
import { markdown } from "./markdown.js";

const INDICATORS = { info: ["i", "Information"], warning: ["!", "Warning"], critical: ["‼", "Critical"] };

function links(card, actions) {
  if (!card.links?.length) return null;
  const launch = (link) => ({ target: null, on: { click: (event) => { event.preventDefault(); actions.launch(link); } } });
  return el("ul", { class: "links" }, card.links.map((link) => el("li", {},
    safeLink(link.url, { "data-testid": "card-link", ...(link.type === "smart" && launch(link)) }, link.label),
    link.type === "smart" && el("span", { class: "tag" }, "SMART app"))));
}

function source({ source = {} }) {
  const name = source.url ? safeLink(source.url, {}, source.label) : source.label;
  return el("footer", { "data-testid": "card-source" }, "Source: ", name ?? "not given");
}

function reasonChoice(reason) {
  const input = el("input", { type: "radio", name: "reason", value: reason.code, "data-testid": "override-reason" });
  return el("label", {}, input, " ", reason.display ?? reason.code);
}

function why(card, form) {
  const reason = (card.overrideReasons ?? []).find(({ code }) => code === form.get("reason"));
  const userComment = form.get("comment").trim();
  return reason || userComment ? { ...(reason && { reason }), ...(userComment && { userComment }) } : undefined;
}

function overrideMenu(card, react) {
  const submit = async (event) => {
    event.preventDefault();
    await react.override(why(card, new FormData(event.target)));
  };
  return el("details", { class: "override", "data-testid": "override-menu" },
    el("summary", { class: "button quiet" }, "Override…"),
    el("form", { on: { submit } },
      el("fieldset", {}, el("legend", {}, "Why is this card not followed?"), (card.overrideReasons ?? []).map(reasonChoice)),
      el("label", { class: "comment" }, "Comment, optional",
        el("textarea", { name: "comment", rows: "2", maxlength: "500", "data-testid": "override-comment" })),
      el("button", { class: "button", "data-testid": "override-submit" }, "Record override")));
}

function suggestionButton(suggestion, react) {
  const press = (event) => react.accept(suggestion, event.currentTarget);
  const kind = suggestion.isRecommended ? "button main" : "button";
  return el("button", { type: "button", class: kind, "data-testid": "suggestion", on: { click: press } }, suggestion.label);
}

export function drawn(card, actions) {
  const [sign, word] = INDICATORS[card.indicator] ?? INDICATORS.info;
  const note = el("p", { class: "note", role: "status", "data-testid": "note" });
  const node = el("article", { class: `panel card ${card.indicator}`, "data-testid": "card", tabindex: "-1" });
  const react = reactions(card, actions, node, note);
  const choices = (card.suggestions ?? []).map((suggestion) => suggestionButton(suggestion, react));
  node.append(
    el("p", { class: "indicator", "data-testid": "card-indicator" }, el("span", { "aria-hidden": "true" }, sign), word),
    el("h3", { "data-testid": "card-summary" }, card.summary),
    el("div", { class: "detail", "data-testid": "card-detail" }, markdown(card.detail ?? "")),
    links(card, actions) ?? "",
    el("div", { class: "choices" }, choices, card.uuid && overrideMenu(card, react)),
    note, source(card));
  return node;
}

// What follows a press: the answer stands on the card as "Recorded …", and what no longer applies is switched off.
function reactions(card, actions, node, note) {
  const disable = (selector) => node.querySelectorAll(selector).forEach((control) => { control.disabled = true; });
  const say = (text, isRecorded) => {
    note.className = isRecorded ? "note done" : "note failed";
    note.dataset.testid = isRecorded ? "recorded" : "not-recorded";
    note.textContent = text;
  };
  const settled = async (work, after) => {
    if (node.ariaBusy === "true") return; // a second press must not save twice
    node.ariaBusy = "true";
    const { ok, text } = await work();
    node.ariaBusy = "false";
    say(text, ok);
    if (ok) after();
    if (ok) node.focus({ preventScroll: true });
  };
  return {
    accept: (suggestion, button) => settled(() => actions.accept(card, suggestion), () => {
      button.disabled = true;
      button.textContent = `✓ ${suggestion.label}`;
      if (card.selectionBehavior === "at-most-one") disable("[data-testid=suggestion]");
      node.querySelector(".override")?.remove();
    }),
    override: (overrideReason) => settled(() => actions.override(card, overrideReason), () => {
      disable("[data-testid=suggestion]");
      node.querySelector(".override").remove();
    }),
  };
}
