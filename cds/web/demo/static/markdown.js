// Shows a card's detail: the part of GitHub-flavoured Markdown that cards use, as DOM nodes and never as HTML.
import { el, safeLink } from "./dom.js";

const INLINE = new RegExp(
  [
    /\\([!-/:-@[-`{-~])/, //                                     1: escaped punctuation
    /`([^`]+)`/, //                                              2: code
    /\*\*((?:\\.|[^\\])+?)\*\*/, //                              3: bold
    /\[((?:\\.|[^\]\\])*)\]\(([^()\s]+)\)/, //                   4, 5: link
    /\*((?:\\.|[^*\s\\])(?:\\.|[^*\\])*?)\*/, //                 6: emphasis
    /&(amp|lt|gt|quot|apos|nbsp|#\d{1,6});/, //                  7: entity
  ].map((part) => part.source).join("|"),
  "g",
);
const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };

function entity(name) {
  if (!name.startsWith("#")) return ENTITIES[name];
  const point = Number(name.slice(1));
  return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : "\ufffd";
}

function span([, escaped, code, bold, label, address, emphasis, named]) {
  if (escaped) return escaped;
  if (code) return el("code", {}, code);
  if (bold) return el("strong", {}, ...inline(bold));
  if (address) return safeLink(address, {}, ...inline(label));
  if (emphasis) return el("em", {}, ...inline(emphasis));
  return entity(named);
}

export function inline(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(text.slice(end, match.index), span(match));
    end = match.index + match[0].length;
  }
  nodes.push(text.slice(end));
  return nodes.filter((node) => node !== "");
}

const isTableRow = (line) => /^\s*\|/.test(line);
const isRule = (line = "") => /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(line) && line.includes("|");
const isTable = (lines, at) => isTableRow(lines[at]) && isRule(lines[at + 1]);
const item = (line) => /^\s*(?:([-*+])|\d+[.)])\s+(.*)$/.exec(line);
const heading = (line) => /^#{1,6}\s+(.*?)\s*#*\s*$/.exec(line);

function cells(line) {
  return line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "").split(/(?<!\\)\|/).map((cell) => cell.trim());
}

function row(tag, texts, sides) {
  return el("tr", {}, sides.map((side, column) =>
    el(tag, { class: side, scope: tag === "th" && "col" }, ...inline(texts[column] ?? ""))));
}

function table(lines, at) {
  const sides = cells(lines[at + 1]).map((rule) => (rule.endsWith(":") ? (rule.startsWith(":") ? "centre" : "right") : null));
  let end = at + 2;
  while (end < lines.length && isTableRow(lines[end])) end += 1;
  const body = lines.slice(at + 2, end).map((line) => row("td", cells(line), sides));
  const grid = el("table", {}, el("thead", {}, row("th", cells(lines[at]), sides)), el("tbody", {}, body));
  return [el("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table" }, grid), end];
}

function list(lines, at) {
  const node = el(item(lines[at])[1] ? "ul" : "ol");
  let end = at;
  for (; end < lines.length && item(lines[end]); end += 1) node.append(el("li", {}, ...inline(item(lines[end])[2].trim())));
  return [node, end];
}

function paragraph(lines, at) {
  const node = el("p");
  let end = at;
  do {
    const line = lines[end];
    node.append(...inline(line.replace(/( {2,}|\\)$/, "").trim()), / {2,}$|\\$/.test(line) ? el("br") : " ");
    end += 1;
  } while (end < lines.length && lines[end].trim() && !isTable(lines, end) && !item(lines[end]) && !heading(lines[end]));
  if (node.lastChild?.nodeName === "BR" || node.lastChild?.data === " ") node.lastChild.remove();
  return [node, end];
}

function block(lines, at) {
  if (isTable(lines, at)) return table(lines, at);
  if (item(lines[at])) return list(lines, at);
  const title = heading(lines[at]);
  return title ? [el("h4", {}, ...inline(title[1])), at + 1] : paragraph(lines, at);
}

export function markdown(text) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const blocks = [];
  for (let at = 0; at < lines.length;) {
    if (!lines[at].trim()) { at += 1; continue; }
    const [node, end] = block(lines, at);
    blocks.push(node);
    at = end;
  }
  return blocks;
}
