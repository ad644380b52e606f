// One module: what it is, how far it is, why it is believed, what may be done, and its history.

import { get, modulePath, post } from "./ask.js";
import { activityText, dbm, duration, hasSignal, keyOf, nameOf, time, told, waitsForApproval, wantsProof } from "./describe.js";
import { openDialog } from "./dialogs.js";
import { button, el, icon, setText, show } from "./dom.js";
import { Countdown, Pill, Place, Signal, Track } from "./parts.js";

// While it is being worked on, its history grows; it is asked for after each change, but not more often than this.
const HISTORY_PAUSE = 400;

/** Opens the sheet of the module with that key, or says that there is none. Returns the dialog. */
export function openSheet(store, actions, key, closed) {
  const module = store.find(key);
  if (module === null) return openDialog("No such module", { kind: "sheet", closed }, el("p", {}, "It is not known here, or not any more."));
  const sheet = new Sheet(store, actions, module);
  const dialog = openDialog(nameOf(module), { kind: "sheet", closed: () => { sheet.end(); closed(); } }, ...sheet.content);
  sheet.begin(dialog.querySelector("h2"));
  return dialog;
}

class Sheet {
  constructor(store, actions, module) {
    this.store = store;
    this.actions = actions;
    this.session = module.session;
    this.key = keyOf(module);
    this.pill = new Pill();
    this.place = new Place();
    this.track = new Track({ named: true });
    this.doing = el("p", { class: "doing", "aria-live": "polite" });
    this.signal = new Signal();
    this.reason = el("span");
    this.countdown = new Countdown();
    this.help = el("a", { class: "help" }, "What to do");
    this.told = el("p", { class: "notice" }, this.reason, " ", this.countdown.node, " ", this.help);
    this.buttons = el("div", { class: "buttons wrap" });
    this.facts = el("dl", { class: "details" });
    this.evidence = el("section", {});
    this.heard = el("section", { class: "heard" });
    this.history = el("ol", { class: "history", role: "list" });
    this.past = el("section", { hidden: true }, el("h3", {}, "History"), this.history);
    this.content = [
      el("div", { class: "headline" }, this.pill.node, this.place.node, this.signal.node),
      this.track.node, this.doing, this.told, this.buttons,
      this.heard, this.evidence, this.facts,
      this.past,
    ];
  }

  begin(title) {
    this.title = title;
    this.listen = ({ detail }) => {
      const module = this.store.find(this.key) ?? this.store.find(this.session) ?? this.store.at(this.module.endpoint);
      if (module && (detail.has(keyOf(module)) || detail.has(this.key))) this.update(module);
    };
    this.store.addEventListener("change", this.listen);
    this.ticking = setInterval(() => this.countdown.tick(), 1000);
    this.update(this.store.find(this.key));
  }

  end() {
    this.store.removeEventListener("change", this.listen);
    clearInterval(this.ticking);
    clearTimeout(this.asking);
    this.ended = true;
  }

  update(module) {
    this.module = module;
    this.session = module.session;
    this.key = keyOf(module);
    setText(this.title, nameOf(module));
    this.pill.update(module);
    this.place.update(module);
    this.track.update(module);
    setText(this.doing, activityText(module));
    this.signal.update(module);
    this.updateTold(told(module));
    this.updateButtons(module);
    this.facts.replaceChildren(...facts(module));
    this.evidence.replaceChildren(...evidence(module));
    this.asking ??= setTimeout(() => this.askHistory(), this.history.childElementCount ? HISTORY_PAUSE : 0);
  }

  updateTold(about) {
    show(this.told, about !== null);
    if (about === null) return;
    setText(this.reason, about.text);
    this.countdown.update(about.until);
    show(this.help, about.code !== null);
    if (about.code) this.help.setAttribute("href", `#/help/${about.code.replaceAll("_", "-")}`);
  }

  /** Anew only if other ones are needed: a button that is about to be pressed must not go away. */
  updateButtons(module) {
    const wanted = possible(module, this);
    const names = wanted.map(([text]) => text).join("|") + (module.activity ? "|busy" : "");
    if (this.shown === names) return;
    this.shown = names;
    const focused = this.buttons.contains(document.activeElement);
    this.buttons.replaceChildren(...wanted.map(([text, symbol, kind, pressed]) => {
      const made = button(text, { kind, symbol }, () => pressed(this.module));
      made.disabled = module.activity !== null;
      return made;
    }));
    if (focused) this.buttons.closest("dialog").querySelector(".close").focus();
  }

  async askHistory() {
    const detail = await get(modulePath(this.module)).catch(() => null);
    this.asking = null;
    if (detail === null || this.ended) return;
    show(this.past, detail.timeline.length > 0);
    this.history.replaceChildren(...detail.timeline.map(({ at, text }) =>
      el("li", {}, el("time", { datetime: new Date(at * 1000).toISOString() }, time(at)), el("p", {}, text.replace(/ docs\/OPERATIONS\.md#\S+$/, "")))));
  }

  /** What the module hears, the strongest first. */
  async scan(module) {
    this.heard.replaceChildren(el("h3", {}, "What it hears"), el("p", { class: "muted" }, "Listening on all channels…"));
    let answer = null;
    const done = await this.actions.do(async () => (answer = await post(modulePath(module, "scan"))));
    if (!done) this.heard.replaceChildren();
    else this.heard.replaceChildren(el("h3", {}, "What it hears"), heardNetworks(answer.networks));
  }
}

/** What may be asked of the module, the likeliest first. */
function possible(module, sheet) {
  const { actions } = sheet;
  const waits = module.hold !== null;
  const label = waitsForApproval(module) || wantsProof(module);
  const met = module.present && !waitsForApproval(module) && !wantsProof(module);
  const ended = module.milestone === "VERIFIED" || module.milestone === "CANCELLED";
  const known = module.hardware_id !== null;
  return [
    label && [waitsForApproval(module) ? "Approve…" : "Enter label…", "check", "primary", (each) => actions.approve(each)],
    waits && !waitsForApproval(module) && module.milestone !== "REJECTED" && ["Retry", "retry", label ? "" : "primary", (each) => actions.retry(each)],
    module.milestone === "CANCELLED" && ["Begin again", "retry", "primary", (each) => actions.retry(each)],
    met && ["Blink", "bulb", "", (each) => actions.identify(each)],
    module.milestone === "VERIFIED" && ["Verify", "search", "", (each) => actions.verify(each)],
    met && known && ["Scan Wi-Fi", "wifi", "", (each) => sheet.scan(each)],
    !waitsForApproval(module) && ["Name…", "pen", "", (each) => actions.rename(each)],
    known && ["Provision anew…", "anew", "", (each) => actions.reprovision(each)],
    !ended && !waitsForApproval(module) && module.milestone !== "REJECTED" && ["Leave alone…", "stop", "", (each) => actions.cancel(each)],
  ].filter(Boolean);
}

function facts(module) {
  const rows = [
    ["Hardware id", module.hardware_id, "mono"],
    ["Says that it is", module.hardware_id ? null : module.announced_id, "mono"],
    ["Model", [module.model, module.product].filter(Boolean).join(", ")],
    ["Firmware", module.firmware],
    ["Where", module.endpoint, "mono"],
    ["Address", module.routes.join(", "), "mono"],
    ["Device", module.device_id, "mono"],
    ["Slug", module.slug, "mono"],
    ["Protocol", module.protocol],
    ["Generation", module.generation === null ? null : String(module.generation)],
    ["Managed by", module.managed_by],
    ["Adopted", module.adopted ? "It was configured already, and was left as it is." : null],
    ["Tried", module.attempt ? `${module.attempt} ${module.attempt === 1 ? "failure" : "failures in a row"}` : null],
    ["Seen first", time(module.seen_at)],
    ...module.attached.map((slave) => [`LINK slave`, [slave.name, slave.model, slave.hardware_id].join(", ")]),
  ];
  return rows.filter(([, value]) => value).map(([name, value, kind]) => el("div", {}, el("dt", {}, name), el("dd", { class: kind }, value)));
}

function evidence(module) {
  const found = module.evidence;
  if (!found) return [];
  const own = hasSignal(module)
    ? `It reports ${found.reported_phase} at generation ${found.generation} on “${found.ssid}”, ${dbm(module)}.`
    : "Its own report could not be asked.";
  const seen = `${found.seen_by === "witness" ? "The witness at the broker" : "The API"} saw ${found.seen_what}`;
  const took = module.updated_at - module.seen_at;
  return [
    el("h3", {}, "Why it counts as verified"),
    el("ul", { class: "evidence", role: "list" },
      el("li", {}, icon("check"), el("span", {}, own, " ", el("time", { class: "muted" }, time(found.reported_at)))),
      el("li", {}, icon("check"), el("span", {}, seen, found.seen_generation === null ? ". " : `, at generation ${found.seen_generation}. `,
        el("time", { class: "muted" }, time(found.seen_at)))),
      took < 3600 && el("li", {}, icon("clock"), el("span", {}, `${duration(took)} after it was seen first.`))),
  ];
}

function heardNetworks(networks) {
  if (!networks.length) return el("p", {}, "It hears no network.");
  const rows = networks.map(({ ssid, rssi_dbm, channel, security, known }) =>
    el("tr", {}, el("td", {}, ssid || "(hidden)", known && el("span", { class: "tag" }, "the site’s")),
      el("td", { class: "number" }, `${rssi_dbm} dBm`.replace("-", "−")), el("td", { class: "number" }, String(channel)), el("td", {}, security)));
  return el("table", {}, el("thead", {}, el("tr", {}, ...["Network", "Signal", "Channel", "Security"].map((each) => el("th", { scope: "col" }, each)))),
    el("tbody", {}, ...rows));
}
