// The entries of docs/OPERATIONS.md, which the box has at hand: in a plant room there may be no internet.

import { openDialog } from "./dialogs.js";
import { el } from "./dom.js";

let manual = null;

async function load() {
  manual ??= fetch("/OPERATIONS.md").then((answer) => (answer.ok ? answer.text() : Promise.reject(new Error("no manual"))));
  try {
    return await manual;
  } catch {
    manual = null;
    return null;
  }
}

/** Opens the entry with that anchor. */
export async function openHelp(anchor, closed) {
  const text = await load();
  const entry = text && entryOf(text, anchor);
  const title = entry?.title ?? "Help";
  const content = entry ? blocks(entry.body) : [el("p", {}, "This entry is not at hand. It is in docs/OPERATIONS.md.")];
  return openDialog(title, { kind: "help-text", closed }, ...content);
}

/** As GitHub makes anchors of headings. */
const anchorOf = (heading) => heading.toLowerCase().replace(/[^a-z0-9 -]/g, "").replaceAll(" ", "-");

/** From its heading to the next one of the same rank or a higher one. */
export function entryOf(text, anchor) {
  const lines = text.split("\n");
  const first = lines.findIndex((line) => line.startsWith("#") && anchorOf(line.replace(/^#+ /, "")) === anchor);
  if (first < 0) return null;
  const rank = /^#+/.exec(lines[first])[0].length;
  const rest = lines.slice(first + 1);
  const length = rest.findIndex((line) => /^#+ /.test(line) && /^#+/.exec(line)[0].length <= rank);
  return { title: title(lines[first].replace(/^#+ /, "")), body: rest.slice(0, length < 0 ? rest.length : length) };
}

const SPELT = { api: "API", dhcp: "DHCP", dns: "DNS", lan: "LAN", mqtt: "MQTT", tcp: "TCP", tls: "TLS", wifi: "Wi-Fi", pop: "proof of possession" };

/** An entry that is headed by a failure's name, in words. */
function title(heading) {
  if (!/^[a-z-]+$/.test(heading)) return heading;
  return heading.split("-").map((word) => SPELT[word] ?? word).join(" ").replace(/^./, (one) => one.toUpperCase());
}

/** Paragraphs, lists, tables and code: what the manual is written in. */
export function blocks(lines) {
  const made = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at];
    const take = (belongs) => {
      const from = at;
      while (at < lines.length && belongs(lines[at])) at++;
      return lines.slice(from, at);
    };
    if (!line.trim()) at++;
    else if (line.startsWith("```")) {
      at++;
      made.push(el("pre", { tabindex: "0" }, take((each) => !each.startsWith("```")).join("\n")));
      at++;
    } else if (line.startsWith("#")) made.push(el("h3", {}, title(lines[at++].replace(/^#+ /, ""))));
    else if (line.startsWith("|")) made.push(table(take((each) => each.startsWith("|"))));
    else if (/^(- |\d+\. )/.test(line)) made.push(list(take((each) => each.trim() && !each.startsWith("```"))));
    else made.push(el("p", {}, ...inline(take((each) => each.trim() && !/^(```|\||#|- )/.test(each)).join(" "))));
  }
  return made;
}

function list(lines) {
  const items = [];
  for (const line of lines) {
    if (/^(- |\d+\. )/.test(line)) items.push(line.replace(/^(- |\d+\. )/, ""));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return el(/^\d/.test(lines[0]) ? "ol" : "ul", {}, ...items.map((item) => el("li", {}, ...inline(item))));
}

function table(lines) {
  const [head, , ...rows] = lines.map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  const row = (tag, cells) => el("tr", {}, ...cells.map((cell) => el(tag, tag === "th" ? { scope: "col" } : {}, ...inline(cell))));
  return el("div", { class: "scrolled", tabindex: "0", role: "region", "aria-label": "Table" },
    el("table", {}, el("thead", {}, row("th", head)), el("tbody", {}, ...rows.map((cells) => row("td", cells)))));
}

/** Code, emphasis, and links within the manual. */
function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\([^)]+\))/).filter(Boolean).map((part) => {
    if (part.startsWith("`")) return el("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return el("strong", {}, part.slice(2, -2));
    const link = /^\[([^\]]+)\]\(#([^)]+)\)$/.exec(part);
    return link ? el("a", { href: `#/help/${link[2]}` }, link[1].replaceAll("-", " ")) : part.replace(/^\[([^\]]+)\]\([^)]+\)$/, "$1");
  });
}
