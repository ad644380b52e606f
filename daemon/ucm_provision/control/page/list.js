// The modules, what needs attention first. A row is made once; afterwards only what has changed is touched.

import { activityText, GROUPS, idOf, matches, nameOf, shortId, standing, told, wantsProof, waitsForApproval } from "./describe.js";
import { button, el, icon, setAttribute, setText, show } from "./dom.js";
import { Countdown, Pill, Place, Signal, Track } from "./parts.js";

// A picture is drawn in between, so that the first rows are there at once however many follow.
const ROWS_AT_ONCE = 60;

const order = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

class Row {
  constructor(key, actions) {
    this.key = key;
    this.actions = actions;
    this.name = el("a", { class: "name", href: `#/module/${encodeURIComponent(key)}` });
    this.id = el("span", { class: "id" });
    this.model = el("span", { class: "model" });
    this.place = new Place();
    this.track = new Track();
    this.doing = el("span", { class: "doing" });
    this.signal = new Signal();
    this.firmware = el("span", { class: "firmware" });
    this.pill = new Pill();
    this.countdown = new Countdown();
    this.reason = el("span", { class: "reason" });
    this.help = el("a", { class: "help" }, "What to do");
    this.told = el("p", { class: "told" }, this.reason, " ", this.countdown.node, " ", this.help);
    this.act = button("", { kind: "primary" }, () => this.pressed());
    this.blink = button("Blink", { kind: "quiet", symbol: "bulb" }, () => actions.identify(this.module));
    this.node = el(
      "li", { class: "row" },
      el("div", { class: "who" }, this.name, el("div", { class: "ids" }, this.id, this.place.node, this.model)),
      el("div", { class: "progress" }, this.track.node, this.doing),
      el("div", { class: "facts" }, this.signal.node, this.firmware),
      this.pill.node,
      el("div", { class: "buttons" }, this.act, this.blink),
      this.told,
    );
  }

  update(module) {
    this.module = module;
    this.group = standing(module).group;
    this.sort = nameOf(module);
    this.text = null;
    const id = idOf(module);
    setText(this.name, nameOf(module));
    setText(this.id, id ? shortId(id) : "not known yet");
    setAttribute(this.id, "title", id);
    setText(this.model, module.model ?? "");
    this.place.update(module);
    this.track.update(module);
    setText(this.doing, activityText(module));
    this.signal.update(module);
    setText(this.firmware, module.firmware ? `firmware ${module.firmware}` : "");
    this.pill.update(module);
    this.updateTold(module);
    this.updateButtons(module);
  }

  updateTold(module) {
    const about = told(module);
    show(this.told, about !== null);
    if (about === null) return;
    setText(this.reason, about.text);
    this.countdown.update(about.until);
    show(this.help, about.code !== null);
    if (about.code) {
      setAttribute(this.help, "href", `#/help/${about.code.replaceAll("_", "-")}`);
      setAttribute(this.help, "aria-label", `What to do about ${nameOf(module)}`);
    }
  }

  updateButtons(module) {
    const text = quickAction(module);
    show(this.act, text !== null);
    if (text) {
      setText(this.act, text);
      setAttribute(this.act, "aria-label", `${text.replace("…", "")} ${nameOf(module)}`);
    }
    show(this.blink, module.present && !waitsForApproval(module) && !wantsProof(module));
    this.blink.disabled = module.activity !== null;
    setAttribute(this.blink, "aria-label", `Make ${nameOf(module)} blink`);
  }

  pressed() {
    if (waitsForApproval(this.module) || wantsProof(this.module)) this.actions.approve(this.module);
    else this.actions.retry(this.module);
  }

  matches(words, group) {
    return (group === null || this.group === group) && (words.length === 0 || matches(this.module, words));
  }
}

/** What helps most, if a button can. */
function quickAction(module) {
  if (module.activity || !module.hold || module.milestone === "REJECTED") return null;
  if (waitsForApproval(module)) return "Approve…";
  if (wantsProof(module)) return "Enter label…";
  if (module.hold.waits === "operator") return "Retry";
  return module.hold.waits === "retry_at" ? "Retry now" : null;
}

class Group {
  constructor({ id, title, tone }, actions) {
    this.id = id;
    this.rows = [];
    this.count = el("span", { class: "count" });
    this.all = button("", { kind: "small" }, () => actions.approveAll(this.rows.map((row) => row.module).filter(waitsForApproval)));
    this.list = el("ul", { class: "rows", role: "list" });
    this.node = el("section", { class: "group", "aria-labelledby": `group-${id}`, data: { tone } },
      el("header", {}, el("h2", { id: `group-${id}` }, title, " ", this.count), this.all), this.list);
  }

  /** In the order of names, digits by their value. */
  add(row) {
    let low = 0, high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(this.rows[middle], row) < 0) low = middle + 1;
      else high = middle;
    }
    this.list.insertBefore(row.node, this.rows[low]?.node ?? null);
    this.rows.splice(low, 0, row);
  }

  remove(row) {
    this.rows.splice(this.rows.indexOf(row), 1);
    row.node.remove();
  }

  filter(words, only) {
    let shown = 0;
    for (const row of this.rows) {
      const visible = row.matches(words, only);
      show(row.node, visible);
      shown += visible;
    }
    show(this.node, shown > 0);
    setText(this.count, String(shown));
    const waiting = this.id === "needs" ? this.rows.filter((row) => waitsForApproval(row.module)).length : 0;
    show(this.all, waiting > 1);
    setText(this.all, `Approve all ${waiting}…`);
    return shown;
  }
}

const compare = (one, other) => order.compare(one.sort, other.sort) || (one.key < other.key ? -1 : one.key > other.key ? 1 : 0);

/** Draws the store's modules into `host`. */
export class ModuleList {
  constructor(store, actions, host) {
    this.store = store;
    this.actions = actions;
    this.rows = new Map();
    this.queue = new Set();
    this.words = [];
    this.only = null;
    this.groups = new Map(GROUPS.map((group) => [group.id, new Group(group, actions)]));
    this.search = el("input", { type: "search", id: "search", placeholder: "Search name, id, port, state", autocomplete: "off", spellcheck: "false" });
    this.chips = new Map([[null, "All"], ...GROUPS.map(({ id, title, short }) => [id, short ?? title])].map(([id, title]) => [id, chip(title, () => this.choose(id))]));
    this.empty = el("div", { class: "empty" });
    host.append(
      el("div", { class: "toolbar" },
        el("label", { class: "search", for: "search" }, icon("search"), el("span", { class: "unseen" }, "Search modules"), this.search),
        el("div", { class: "chips", role: "group", "aria-label": "Show only" }, ...[...this.chips.values()].map((each) => each.node))),
      ...[...this.groups.values()].map((group) => group.node),
      this.empty,
    );
    this.search.addEventListener("input", () => {
      this.words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
      this.filter();
    });
    store.addEventListener("change", ({ detail }) => this.take(detail));
    setInterval(() => this.tick(), 1000);
  }

  choose(id) {
    this.only = this.only === id ? null : id;
    this.filter();
  }

  take(changed) {
    const idle = this.queue.size === 0;
    for (const key of changed) this.queue.add(key);
    if (this.queue.size > ROWS_AT_ONCE) this.queue = this.foremost(this.queue);
    if (idle || this.queue.size <= ROWS_AT_ONCE) this.work();
  }

  /** Those that are seen first, first. */
  foremost(keys) {
    const rank = new Map(GROUPS.map(({ id }, index) => [id, index]));
    const placed = [...keys].map((key) => {
      const module = this.store.modules.get(key);
      return { key, weight: module ? rank.get(standing(module).group) : -1, name: module ? nameOf(module) : "" };
    });
    placed.sort((one, other) => one.weight - other.weight || order.compare(one.name, other.name));
    return new Set(placed.map(({ key }) => key));
  }

  work() {
    let left = ROWS_AT_ONCE;
    for (const key of this.queue) {
      if (left-- === 0) break;
      this.queue.delete(key);
      this.draw(key);
    }
    this.filter();
    if (this.queue.size) setTimeout(() => this.work(), 0);
  }

  draw(key) {
    const module = this.store.modules.get(key);
    const row = this.rows.get(key);
    if (!module) {
      if (row) this.groups.get(row.group).remove(row);
      this.rows.delete(key);
    } else if (row) {
      const [group, sort] = [row.group, row.sort];
      row.update(module);
      if (row.group !== group || row.sort !== sort) this.move(row, group);
    } else {
      const made = new Row(key, this.actions);
      made.update(module);
      this.rows.set(key, made);
      this.groups.get(made.group).add(made);
    }
  }

  /** To its place. Whatever had the focus keeps it: a button that is pressed may send its own row elsewhere. */
  move(row, from) {
    const focused = row.node.contains(document.activeElement) ? document.activeElement : null;
    this.groups.get(from).remove(row);
    this.groups.get(row.group).add(row);
    if (focused) (focused.hidden || focused.disabled ? row.name : focused).focus({ preventScroll: true });
  }

  filter() {
    const counts = new Map(GROUPS.map(({ id }) => [id, 0]));
    for (const module of this.store.modules.values()) {
      const { group } = standing(module);
      counts.set(group, counts.get(group) + 1);
    }
    show(this.chips.get(null).node.parentNode, this.store.modules.size > 0);
    for (const [id, each] of this.chips) each.update(id === null ? this.store.modules.size : counts.get(id), this.only === id);
    let shown = 0;
    for (const group of this.groups.values()) shown += group.filter(this.words, this.only);
    this.explain(shown);
  }

  /** An empty list says why it is. */
  explain(shown) {
    const heard = this.store.status !== null;
    show(this.empty, shown === 0 && this.queue.size === 0);
    if (shown) return;
    if (!heard) this.empty.replaceChildren(el("p", {}, "Asking the box…"));
    else if (this.store.modules.size) {
      this.empty.replaceChildren(icon("search"), el("h2", {}, "No module matches"),
        el("p", {}, "Try fewer words, or look at all states."),
        button("Show all", {}, () => { this.search.value = ""; this.words = []; this.only = null; this.filter(); }));
    } else {
      this.empty.replaceChildren(icon("usb"), el("h2", {}, "No modules yet"),
        el("p", {}, "Plug one into a USB port of this box, or power it up on the site’s network. It appears here by itself."),
        el("a", { href: "#/help/a-module-that-is-not-listed-at-all" }, "It does not appear?"));
    }
  }

  tick() {
    for (const row of this.rows.values()) if (row.countdown.until !== null) row.countdown.tick();
  }
}

function chip(title, pressed) {
  const count = el("span", { class: "count" });
  const node = el("button", { type: "button", class: "chip", on: { click: pressed } }, title, " ", count);
  return {
    node,
    update(number, chosen) {
      setText(count, String(number));
      setAttribute(node, "aria-pressed", String(chosen));
      show(node, number > 0 || chosen || title === "All");
    },
  };
}

