// Small pictures that rows and the module's sheet share. Each is made once and then brought up to date.

import { bars, dbm, hasSignal, isWeak, standing, STEPS, track, trackText, whereText } from "./describe.js";
import { el, icon, setAttribute, setIcon, setText, show } from "./dom.js";

const TONE_ICONS = { bad: "alert", work: "gear", wait: "clock", warn: "warning", ok: "check" };

/** Where the module stands: a word, a colour, and a symbol for who does not see colours. */
export class Pill {
  constructor() {
    this.symbol = icon("clock");
    this.text = el("span");
    this.node = el("span", { class: "pill" }, this.symbol, this.text);
  }

  update(module) {
    const { tone, label } = standing(module);
    setAttribute(this.node, "data-tone", tone);
    setIcon(this.symbol, TONE_ICONS[tone]);
    setText(this.text, label);
  }
}

/** The five steps, filling while one looks. `named`: with the steps' names below. */
export class Track {
  constructor({ named = false } = {}) {
    this.fills = STEPS.map(() => el("span", { class: "fill" }));
    this.segments = STEPS.map((step, index) =>
      el("span", { class: "segment" }, el("span", { class: "bar" }, this.fills[index]), named && el("span", { class: "step" }, step)));
    this.node = el("div", { class: named ? "track named" : "track", role: "img" }, ...this.segments);
  }

  update(module) {
    const { done, doing, held, part } = track(module);
    setAttribute(this.node, "aria-label", trackText(module));
    setAttribute(this.node, "data-tone", standing(module).tone);
    this.segments.forEach((segment, index) => {
      const state = index === doing ? "doing" : index < done ? "done" : index === held ? "held" : "open";
      setAttribute(segment, "data-state", state);
      const scale = state === "doing" ? `${part ?? 0.5}` : "";
      if (this.fills[index].style.scale !== scale) this.fills[index].style.scale = scale && `${scale} 1`;
    });
  }
}

/** How strongly the module heard its access point when it was verified. */
export class Signal {
  constructor() {
    this.bars = [1, 2, 3, 4].map(() => el("i"));
    this.text = el("span");
    this.node = el("span", { class: "signal" }, el("span", { class: "bars", "aria-hidden": "true" }, ...this.bars), this.text);
  }

  update(module) {
    show(this.node, hasSignal(module));
    if (!hasSignal(module)) return;
    const reached = bars(module.evidence.rssi_dbm);
    this.bars.forEach((bar, index) => setAttribute(bar, "data-on", index < reached ? "" : null));
    setAttribute(this.node, "data-weak", isWeak(module) ? "" : null);
    setText(this.text, isWeak(module) ? `${dbm(module)}, weak` : dbm(module));
  }
}

/** Where the module is: on a cable or on the LAN. */
export class Place {
  constructor() {
    this.symbol = icon("usb");
    this.text = el("span");
    this.node = el("span", { class: "place" }, this.symbol, this.text);
  }

  update(module) {
    setIcon(this.symbol, module.carrier === "http" ? "lan" : "usb");
    setText(this.text, whereText(module));
  }
}

/** Seconds until something goes on by itself, counted down. */
export class Countdown {
  constructor() {
    this.node = el("span", { class: "countdown" });
    this.until = null;
  }

  update(until) {
    this.until = until;
    this.tick();
  }

  tick() {
    const left = this.until === null ? 0 : Math.ceil(this.until - Date.now() / 1000);
    show(this.node, this.until !== null);
    if (this.until !== null) setText(this.node, left > 0 ? `Again in ${left} s.` : "Any moment now.");
  }
}
