// The daemon's event stream: from a snapshot on, resumed where it was cut, for as long as the page is open.

// The daemon says every ten seconds that it is still there.
const SILENCE_LONGEST = 25_000;
const PAUSE_FIRST = 500;
const PAUSE_LAST = 8_000;

/** Keeps a store up to date. `whoAmI`: asks the daemon who is signed in; it may turn out that reading is not allowed. */
export class Live {
  constructor(store, whoAmI) {
    this.store = store;
    this.whoAmI = whoAmI;
    this.since = "";
    this.pause = PAUSE_FIRST;
    this.source = null;
    this.retry = null;
    this.silence = null;
    addEventListener("online", () => this.again());
    addEventListener("offline", () => this.lost());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.store.connection !== "live") this.again();
    });
  }

  /** Begins anew at once, whatever was planned. */
  again() {
    this.pause = PAUSE_FIRST;
    this.connect();
  }

  connect() {
    this.close();
    const source = new EventSource(`/v1/events?since=${encodeURIComponent(this.since)}`);
    this.source = source;
    const hear = (name, take) =>
      source.addEventListener(name, (event) => {
        this.heard(event.lastEventId);
        take(JSON.parse(event.data));
      });
    hear("snapshot", ({ modules }) => this.store.takeSnapshot(modules));
    hear("module", (module) => this.store.takeModule(module));
    hear("status", (status) => this.store.take("status", status));
    hear("campaign", (campaign) => this.store.take("campaign", campaign));
    hear("alive", () => {});
    source.addEventListener("error", () => this.lost());
    this.listenFor(SILENCE_LONGEST);
  }

  heard(id) {
    if (id) this.since = id;
    this.pause = PAUSE_FIRST;
    this.store.heardAt = Date.now();
    if (this.store.connection !== "live") this.store.take("connection", "live");
    this.listenFor(SILENCE_LONGEST);
  }

  /** A connection may die without a word, where a phone leaves the Wi-Fi. */
  listenFor(milliseconds) {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lost(), milliseconds);
  }

  async lost() {
    this.close();
    if (this.store.connection !== "locked") this.store.take("connection", "lost");
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.find(), this.pause * (0.5 + Math.random() / 2));
    this.pause = Math.min(2 * this.pause, PAUSE_LAST);
  }

  /** The browser does not tell why a stream failed: whether the daemon is away, or wants a sign-in. */
  async find() {
    const page = await this.whoAmI();
    if (page === null) this.lost();
    else if (page.private && !page.signed_in_as) this.store.take("connection", "locked");
    else this.connect();
  }

  close() {
    clearTimeout(this.retry);
    clearTimeout(this.silence);
    this.source?.close();
    this.source = null;
  }
}
