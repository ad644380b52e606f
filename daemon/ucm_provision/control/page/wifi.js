// The site's networks, and a move of its modules from one to another.

import { get, post } from "./ask.js";
import { plain, shortId, time } from "./describe.js";
import { field, openForm, secretField } from "./dialogs.js";
import { button, el, icon, setAttribute, setText, show } from "./dom.js";

const KINDS = [
  ["stage", "Stage", "Puts it beside the modules’ present networks. They follow by themselves when the old one goes."],
  ["change", "Change", "Makes it the first one, and sees every module get online there."],
  ["drop", "Drop", "Takes it away from the modules."],
];

const STATES = [["done", "moved"], ["running", "under way"], ["away", "away"], ["failed", "failed"], ["pending", "to come"]];

export class WifiView {
  constructor(store, actions, host) {
    this.store = store;
    this.actions = actions;
    this.networks = null;
    this.listed = el("ul", { class: "networks", role: "list" });
    this.chosen = el("p", { class: "muted" });
    this.reset = button("Back to the configuration…", { kind: "quiet" }, () => this.askReset());
    this.move = button("Move the modules…", { kind: "primary", symbol: "wifi" }, () => this.askMove());
    this.campaign = new CampaignCard(actions);
    host.append(
      this.campaign.node,
      el("section", { class: "card", "aria-labelledby": "networks-title" },
        el("header", {}, el("h2", { id: "networks-title" }, "The site’s networks"), button("Add network…", { symbol: "plus" }, () => this.askAdd())),
        el("p", { class: "muted" }, "Modules get up to three, and try them in this order."),
        this.listed, this.chosen,
        el("div", { class: "buttons wrap" }, this.move, this.reset)),
    );
    store.addEventListener("change", () => this.update());
  }

  /** Asked for when it is looked at: others may have changed it. */
  async open() {
    const networks = await get("wifi").catch(() => null);
    if (networks) this.take(networks);
  }

  take(networks) {
    this.networks = networks;
    const last = networks.networks.length - 1;
    this.listed.replaceChildren(...networks.networks.map((network, index) => this.row(network, index, last)));
    if (!networks.networks.length) this.listed.replaceChildren(el("li", { class: "muted" }, "None: modules keep the networks that they have."));
    const configured = networks.configured.join(", ") || "none";
    setText(this.chosen, networks.chosen_by === "configuration" ? "As the configuration says." : `As operators chose. The configuration has: ${configured}.`);
    show(this.reset, networks.chosen_by !== "configuration");
    show(this.move, networks.networks.length > 0);
  }

  row({ ssid, open, hidden, bssid }, index, last) {
    const about = [index === 0 && "preferred", open ? "no passphrase" : "passphrase set", hidden && "hidden", bssid && `only ${bssid}`];
    return el("li", {},
      el("span", { class: "rank" }, String(index + 1)),
      el("div", { class: "grow" }, el("strong", {}, ssid), el("span", { class: "muted" }, about.filter(Boolean).join(", "))),
      index > 0 && button("Prefer", { kind: "small", "aria-label": `Prefer ${ssid}` }, () => this.change("prefer", { ssid }, `Modules try ${ssid} first.`)),
      last > 0 && button("Drop…", { kind: "small", "aria-label": `Drop ${ssid} from the list` }, () => this.askDrop(ssid)));
  }

  change(what, body, said) {
    return this.actions.do(async () => this.take(await post(`wifi/${what}`, body)), said);
  }

  askDrop(ssid) {
    const drop = async () => this.take(await post("wifi/drop", { ssid }));
    return this.actions.confirm(`Drop ${ssid} from the list?`,
      "New modules no longer get it. Those that have it keep it until a move takes it away; its passphrase is forgotten.",
      "Drop", true, drop, `${ssid} is off the list.`);
  }

  askReset() {
    const reset = async () => this.take(await post("wifi/reset"));
    return this.actions.confirm("Back to the configuration’s networks?", "The operators’ list is forgotten, passphrases included.",
      "Forget the list", true, reset, "The configuration’s networks count again.");
  }

  async askAdd() {
    if (!(await this.actions.signIn())) return;
    const ssid = el("input", { type: "text", required: true, maxlength: "32", autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
    const passphrase = el("input", { autocomplete: "new-password", maxlength: "64" });
    const hidden = el("input", { type: "checkbox" });
    const first = el("input", { type: "checkbox" });
    const run = async () =>
      this.take(await post("wifi/add", { ssid: ssid.value, passphrase: passphrase.value, hidden: hidden.checked, first: first.checked }));
    await openForm({ title: "Add a network", submit: "Add", run },
      field("Name (SSID)", ssid, "Upper and lower case count. The name of one that is there already replaces it."),
      secretField("Passphrase", passphrase, "8 to 63 characters; empty for an open network. It is never shown again."),
      el("label", { class: "check" }, hidden, "The network hides its name"),
      el("label", { class: "check" }, first, "Modules try it first"));
  }

  async askMove() {
    if (!(await this.actions.signIn())) return;
    const form = new MoveForm(this.networks.networks.map(({ ssid }) => ssid));
    await openForm({ title: "Move the modules", submit: "Begin", run: async () => this.store.take("campaign", await form.begin()) }, ...form.content);
  }

  update() {
    this.campaign.update(this.store.campaign);
    const open = isOpen(this.store.campaign);
    if (this.move.disabled === open) return;
    this.move.disabled = open;
    if (this.networks) this.open(); // what a move leads to changes the list, too
  }
}

/** What is asked before a campaign begins, and what it would do. */
class MoveForm {
  constructor(ssids) {
    this.ssid = el("select", { required: true }, ...ssids.map((ssid) => el("option", { value: ssid }, ssid)));
    this.ssid.value = ssids[ssids.length - 1];
    this.kinds = KINDS.map(([kind]) => el("input", { type: "radio", name: "kind", value: kind, checked: kind === "change" }));
    this.canary = number(1, 1, 100);
    this.wave = number(10, 1, 100);
    this.failures = number(2, 0, 1000);
    this.plan = el("div", { class: "plan", "aria-live": "polite" });
    this.content = [
      field("Network", this.ssid),
      el("fieldset", { class: "choices" }, el("legend", {}, "What to do"),
        ...KINDS.map(([, title, text], index) => el("label", { class: "choice" }, this.kinds[index],
          el("span", {}, el("strong", {}, title), el("span", { class: "hint" }, text))))),
      el("details", {}, el("summary", {}, "How carefully"),
        el("div", { class: "columns" },
          field("First, alone", this.canary, "Modules that prove it."),
          field("At a time", this.wave, "After that."),
          field("May fail", this.failures, "More: it pauses."))),
      this.plan,
    ];
    for (const input of [this.ssid, ...this.kinds]) input.addEventListener("change", () => this.preview());
    this.preview();
  }

  body() {
    return {
      kind: this.kinds.find((each) => each.checked).value, ssid: this.ssid.value,
      canary: this.canary.valueAsNumber, wave: this.wave.valueAsNumber, max_failures: this.failures.valueAsNumber,
    };
  }

  async begin() {
    return (await post("campaigns", this.body())).campaign;
  }

  /** Asked of the daemon, which changes nothing for it. */
  async preview() {
    const asked = (this.asked = {});
    const plan = await post("campaigns", { ...this.body(), dry_run: true }).catch((error) => error);
    if (asked !== this.asked) return;
    if (plan instanceof Error) this.plan.replaceChildren(el("p", {}, plan.message));
    else this.plan.replaceChildren(...planText(plan));
  }
}

function planText({ networks, members, left_out: leftOut }) {
  const away = members.filter(({ why }) => why);
  return [
    el("p", {}, el("strong", {}, `${members.length} ${members.length === 1 ? "module" : "modules"}`),
      ` would hold ${networks.join(", ")}${leftOut.length ? `; ${leftOut.length} left out` : ""}.`),
    ...[[away, "Not reachable now, and moved when they appear"], [leftOut, "Left out"]].filter(([list]) => list.length).map(([list, title]) =>
      el("details", {}, el("summary", {}, `${title}: ${list.length}`),
        el("ul", {}, ...list.map(({ name, hardware_id: id, why }) => el("li", {}, `${name ?? shortId(id)}: ${plain(why)}`))))),
  ];
}

function number(value, min, max) {
  return el("input", { type: "number", value: String(value), min: String(min), max: String(max), required: true, inputmode: "numeric" });
}

export const isOpen = (campaign) => campaign !== null && !["done", "aborted"].includes(campaign.state);

/** A campaign as a picture: a square for each module, and in words what became of it. */
export class CampaignCard {
  constructor(actions) {
    this.title = el("h2", { id: "campaign-title" });
    this.state = el("span", { class: "pill" });
    this.reason = el("p", { class: "notice" });
    this.squares = el("div", { class: "squares", "aria-hidden": "true" });
    this.meter = el("div", { class: "meter", role: "progressbar", "aria-labelledby": "campaign-title", "aria-valuemin": "0" }, el("span"));
    this.legend = el("ul", { class: "legend", role: "list" });
    this.members = el("ul", { class: "members", role: "list" });
    this.more = el("details", {}, el("summary", {}, "Each module"), this.members);
    this.about = el("p", { class: "muted" });
    const tell = (what, said) => () => actions.do(() => post(`campaigns/${this.id}/${what}`), said);
    this.pause = button("Pause", { symbol: "pause" }, tell("pause", "Paused. Modules under way finish."));
    this.resume = button("Resume", { kind: "primary", symbol: "retry" }, tell("resume", "It goes on."));
    this.abort = button("Abort…", { symbol: "stop" }, () => actions.confirm("Abort the move?",
      "Modules under way finish by themselves; the others stay as they are.", "Abort", true, () => post(`campaigns/${this.id}/abort`), "Aborted."));
    this.node = el("section", { class: "card campaign", "aria-labelledby": "campaign-title", hidden: true },
      el("header", {}, this.title, this.state), this.reason, this.meter, this.squares, this.legend,
      el("div", { class: "buttons wrap" }, this.resume, this.pause, this.abort), this.more, this.about);
  }

  update(campaign) {
    show(this.node, campaign !== null);
    if (campaign === null || campaign === this.campaign) return;
    this.campaign = campaign;
    this.id = campaign.id;
    setText(this.title, heading(campaign));
    setText(this.state, campaign.state === "running" && campaign.idle ? "waits for modules" : campaign.state);
    setAttribute(this.state, "data-tone", { running: "work", paused: "warn", proposed: "warn", done: "ok", aborted: "wait" }[campaign.state]);
    show(this.reason, campaign.reason !== null);
    setText(this.reason, campaign.reason ?? "");
    this.updatePicture(campaign);
    show(this.pause, campaign.state === "running");
    show(this.resume, ["paused", "proposed"].includes(campaign.state));
    show(this.abort, isOpen(campaign));
    setText(this.resume.lastChild, campaign.state === "proposed" ? "Begin" : "Resume");
    setText(this.about, `Begun ${time(campaign.placed_at)} by ${campaign.by}. ${campaign.canary} first, then ${campaign.wave} at a time; it pauses after ${campaign.max_failures} failures.`);
  }

  updatePicture({ members, counts }) {
    const done = counts.done ?? 0;
    setAttribute(this.meter, "aria-valuemax", String(members.length));
    setAttribute(this.meter, "aria-valuenow", String(done));
    setAttribute(this.meter, "aria-valuetext", `${done} of ${members.length} modules moved`);
    this.meter.firstChild.style.scale = `${members.length ? done / members.length : 0} 1`;
    while (this.squares.childElementCount < members.length) this.squares.append(el("i"));
    while (this.squares.childElementCount > members.length) this.squares.lastChild.remove();
    members.forEach(({ state, name, hardware_id: id }, index) => {
      setAttribute(this.squares.children[index], "data-state", state);
      setAttribute(this.squares.children[index], "title", `${name ?? shortId(id)}: ${word(state)}`);
    });
    this.legend.replaceChildren(...STATES.filter(([state]) => counts[state]).map(([state, text]) =>
      el("li", { data: { state } }, el("strong", {}, String(counts[state])), ` ${text}`)));
    const rank = ({ state }) => ["failed", "away", "running", "pending", "done"].indexOf(state);
    this.members.replaceChildren(...[...members].sort((one, other) => rank(one) - rank(other)).map((member) =>
      el("li", { data: { state: member.state } },
        el("a", { href: `#/module/${encodeURIComponent(member.hardware_id)}` }, member.name ?? shortId(member.hardware_id)),
        el("span", { class: "state" }, word(member.state)), member.message && el("p", { class: "muted" }, plain(member.message)))));
  }
}

const word = (state) => STATES.find(([name]) => name === state)[1];

function heading({ kind, networks, only }) {
  if (kind === "drop") return `Drop to ${networks.join(", ")}`;
  return `${kind === "stage" ? "Stage" : "Change to"} ${only ?? networks.join(", ")}`;
}
