// What the daemon has told, and who wants to hear of it. One copy of everything, for all views.

import { keyOf } from "./describe.js";

export class Store extends EventTarget {
  constructor() {
    super();
    this.modules = new Map();
    this.status = null;
    this.campaign = null;
    this.page = { signed_in_as: null, private: false };
    this.connection = "connecting";
    this.heardAt = null; // when the daemon was last heard, in ms
    this.changed = new Set();
    this.pending = false;
  }

  /** The modules as they are, in place of whatever was known. */
  takeSnapshot(modules) {
    const before = [...this.modules.keys()];
    this.modules = new Map();
    for (const module of modules) this.keep(module);
    for (const key of [...before, ...this.modules.keys()]) this.changed.add(key);
    this.announce();
  }

  takeModule(module) {
    this.keep(module);
    this.announce();
  }

  take(name, value) {
    this[name] = value;
    this.announce();
  }

  /** One row for each module: its latest session, and none for what went up in another or is gone. */
  keep(module) {
    const key = keyOf(module);
    if (key !== module.session && this.modules.delete(module.session)) this.changed.add(module.session);
    const known = this.modules.get(key);
    if (known && known.session !== module.session && known.updated_at > module.updated_at) return;
    if (module.milestone === "CANCELLED" && !module.left_alone_by) this.modules.delete(key);
    else this.modules.set(key, module);
    this.changed.add(key);
  }

  /** The module of a key, also of one that it had before anybody knew who it is. */
  find(key) {
    return this.modules.get(key) ?? [...this.modules.values()].find((module) => module.session === key) ?? null;
  }

  /** What is at an endpoint now, where something began anew. */
  at(endpoint) {
    return [...this.modules.values()].find((module) => module.endpoint === endpoint && module.present) ?? null;
  }

  /** Everything that changes before the next picture is drawn is told at once. */
  announce() {
    if (this.pending) return;
    this.pending = true;
    const tell = () => {
      this.pending = false;
      const changed = this.changed;
      this.changed = new Set();
      this.dispatchEvent(new CustomEvent("change", { detail: changed }));
    };
    // A page in the background draws no pictures, but its title should still be true.
    if (document.hidden) setTimeout(tell, 0);
    else requestAnimationFrame(tell);
  }
}
