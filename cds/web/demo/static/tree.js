// Shows JSON as a tree that opens and closes, so that a large prefetch stays readable.
import { el } from "./dom.js";

const label = (key) => (key == null ? null : [el("span", { class: typeof key === "number" ? "n" : "k" }, String(key)), ": "]);

function leaf(key, value) {
  const kind = value === null ? "z" : { string: "s", number: "d", boolean: "z" }[typeof value] ?? "z";
  return el("div", { class: "leaf" }, label(key), el("span", { class: kind }, JSON.stringify(value)));
}

function described({ resourceType, entry }) {
  return resourceType === "Bundle" ? `Bundle of ${entry?.length ?? 0}` : resourceType;
}

function branch(key, value, depth) {
  const isList = Array.isArray(value);
  const members = isList ? value.map((member, index) => [index, member]) : Object.entries(value);
  const what = isList ? `[${members.length}]` : described(value) ?? `{${members.length}}`;
  const node = el("details", {}, el("summary", {}, label(key), el("span", { class: "m" }, what)));
  // Members are built when first opened: a hundred Observations cost nothing until somebody looks.
  const fill = () => {
    if (node.open && node.childElementCount === 1) node.append(...members.map(([name, member]) => tree(member, depth - 1, name)));
  };
  node.addEventListener("toggle", fill);
  node.open = depth > 0;
  fill();
  return node;
}

export function tree(value, depth, key = null) {
  const hasMembers = value !== null && typeof value === "object" && Object.keys(value).length > 0;
  return hasMembers ? branch(key, value, depth) : leaf(key, value);
}
