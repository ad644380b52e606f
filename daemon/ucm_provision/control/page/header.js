// What stands above everything: the box, how the connection is, and what holds all modules up.

import { duration, plain, time } from "./describe.js";
import { el, setAttribute, setText, show } from "./dom.js";

// A short break heals before anybody has to read of it.
const PATIENCE = 1_500;

export class Header {
  constructor(store) {
    this.store = store;
    const at = (id) => document.getElementById(id);
    [this.box, this.live, this.lost, this.paused, this.site] = ["box", "live", "lost", "paused", "site"].map(at);
    this.facts = new Map(["Daemon", "API", "Broker", "Wi-Fi"].map((name) => [name, fact(name)]));
    this.site.append(...[...this.facts.values()].map(({ node }) => node));
    store.addEventListener("change", () => this.update());
    setInterval(() => this.update(), 10_000);
  }

  update() {
    this.updateConnection();
    const { status } = this.store;
    show(this.site, status !== null);
    if (status === null) return;
    setText(this.box, status.box_id);
    show(this.paused, status.paused !== null);
    if (status.paused) {
      setText(this.paused.querySelector("p"), plain(status.paused.message));
      setAttribute(this.paused.querySelector("a"), "href", `#/help/${status.paused.code.replaceAll("_", "-")}`);
    }
    this.facts.get("Daemon").update("ok", `${status.version}, up ${duration(Date.now() / 1000 - status.started_at)}`);
    const api = status.api.url.replace(/^https?:\/\//, "");
    this.facts.get("API").update(api && !status.paused ? "ok" : "warn", api || "none chosen yet");
    this.facts.get("Broker").update(...witness(status.witness));
    this.facts.get("Wi-Fi").update(status.wifi.length ? "ok" : "wait", status.wifi.join(", ") || "modules keep theirs",
      status.outdated ? `${status.outdated} to move` : null);
  }

  updateConnection() {
    const { connection, heardAt } = this.store;
    const words = { connecting: "Connecting", live: "Live", lost: "Offline", locked: "Signed out" };
    setAttribute(this.live, "data-state", connection);
    setText(this.live.lastElementChild, words[connection]);
    if (connection !== "lost") {
      clearTimeout(this.waiting);
      this.waiting = null;
      show(this.lost, false);
    } else this.waiting ??= setTimeout(() => {
      setText(this.lost.querySelector("p"), heardAt
        ? `The box does not answer. What you see is from ${time(heardAt / 1000)}; the page goes on by itself.`
        : "The box does not answer. The page goes on by itself as soon as it does.");
      show(this.lost, true);
    }, PATIENCE);
  }
}

function fact(name) {
  const title = el("dt");
  const value = el("dd");
  const node = el("div", { class: "fact" }, title, value);
  return {
    node,
    update(tone, text, more = null) {
      setAttribute(node, "data-tone", tone);
      setText(title, more ? `${name}, ${more}` : name);
      setText(value, text);
      setAttribute(value, "title", text);
    },
  };
}

function witness(text) {
  if (text.startsWith("connected")) return ["ok", `witness ${text}`];
  return [/^no/.test(text) ? "wait" : "warn", text];
}

