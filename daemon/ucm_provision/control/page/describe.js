// What a module's view means to a person. Pure: from the daemon's shapes (ucm_provision/wire.py) to words.

export const STEPS = ["identify", "provision", "check", "push", "verify"];

// Which steps a milestone has behind it. PUSHED came through a check, too.
const DONE = { SEEN: 0, IDENTIFIED: 1, PROVISIONED: 2, PUSHED: 4, VERIFIED: 5, REJECTED: 0, CANCELLED: 0 };

/** Weaker than this, in dBm, a module is verified with a warning. */
export const WEAK_DBM = -75;

/** What needs attention first comes first. */
export const GROUPS = [
  { id: "needs", title: "Needs you", tone: "bad" },
  { id: "work", title: "At work", tone: "work" },
  { id: "waits", title: "Waiting", tone: "wait" },
  { id: "warned", title: "Verified, with a warning", short: "Warnings", tone: "warn" },
  { id: "verified", title: "Verified", tone: "ok" },
  { id: "ended", title: "Left alone", tone: "wait" },
];

export function keyOf(module) {
  return module.hardware_id ?? module.session;
}

/** As the daemon would name it, until somebody does. */
export function nameOf(module) {
  const id = idOf(module);
  return module.name ?? (id ? `${module.model ?? "Module"} ${id.slice(-6)}` : `Module on ${placeOf(module)}`);
}

/** Who it is, or says that it is. */
export function idOf(module) {
  return module.hardware_id ?? module.announced_id;
}

/** A port without its folder; a module on the LAN by its address. */
export function placeOf(module) {
  if (module.carrier === "http") return module.routes[0] ?? module.endpoint;
  return module.endpoint.slice(module.endpoint.lastIndexOf("/") + 1);
}

/** Where it is, or was. */
export function whereText(module) {
  if (module.present) return placeOf(module);
  return module.carrier === "http" ? "not on the network now" : `${placeOf(module)}, unplugged`;
}

/** The ends of a hardware id, which is what people compare with a label. */
export function shortId(id) {
  return id.length > 16 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id;
}

export function isWeak(module) {
  return module.evidence !== null && hasSignal(module) && module.evidence.rssi_dbm < WEAK_DBM;
}

/** A module that was verified without its own report has none to show. */
export function hasSignal(module) {
  return module.evidence !== null && module.evidence.rssi_dbm < 0;
}

/** 0 to 4 bars. */
export function bars(dbm) {
  return [-85, -75, -67, -60].filter((step) => dbm >= step).length;
}

/** Where a module stands: in which group, and in a word or two. */
export function standing(module) {
  const { activity, hold, milestone } = module;
  if (activity) return { group: "work", tone: "work", label: activity.step };
  if (milestone === "REJECTED") return { group: "ended", tone: "bad", label: "not for this site" };
  if (milestone === "CANCELLED") return { group: "ended", tone: "wait", label: "left alone" };
  if (hold) return held(module);
  if (module.appears_later) return { group: "waits", tone: "wait", label: "waiting to appear" };
  if (milestone !== "VERIFIED") return { group: "waits", tone: "wait", label: "waiting its turn" };
  if (module.trouble) return { group: "warned", tone: "warn", label: "not well" };
  if (isWeak(module)) return { group: "warned", tone: "warn", label: "weak signal" };
  if (module.warnings.length) return { group: "warned", tone: "warn", label: "verified" };
  return { group: "verified", tone: "ok", label: "verified" };
}

function held(module) {
  const { hold, carrier } = module;
  if (waitsForApproval(module)) return { group: "needs", tone: "warn", label: "needs approval" };
  if (hold.waits === "operator" && wantsProof(module)) return { group: "needs", tone: "warn", label: "needs its label" };
  if (hold.waits === "operator") return { group: "needs", tone: "bad", label: "needs you" };
  if (hold.waits === "retry_at") return { group: "waits", tone: "wait", label: "tries again" };
  return { group: "waits", tone: "wait", label: carrier === "http" ? "away" : "unplugged" };
}

/** The five steps as a track: how many are done, which one is at work and how far, which one is held up. */
export function track(module) {
  const doing = module.activity ? STEPS.indexOf(module.activity.step) : -1;
  const percent = /(\d+) ?%/.exec(module.activity?.detail ?? "");
  const done = Math.max(DONE[module.milestone] ?? 0, doing);
  return { done, doing, held: module.hold && doing < 0 ? done : -1, part: percent ? Number(percent[1]) / 100 : null };
}

/** The track for who does not see it. */
export function trackText(module) {
  const { done, doing } = track(module);
  if (doing >= 0) return `Step ${doing + 1} of ${STEPS.length}, ${STEPS[doing]}: ${activityText(module)}`;
  if (done >= STEPS.length) return "All five steps done";
  return done ? `${done} of ${STEPS.length} steps done, the last one ${STEPS[done - 1]}` : "No step done yet";
}

// How far a module's own connection got, as it reports that itself.
const PHASES = {
  IDLE: "starting", WIFI: "joining the Wi-Fi", DHCP: "asking for an address", TIME: "asking for the time",
  TLS: "reaching the broker", MQTT: "signing in to the broker", ONLINE: "online",
};

const DOING = {
  identify: "asking who it is", provision: "asking the API", check: "trying the broker from this box",
  push: "writing the configuration", verify: "waiting for its report",
};

/** What is being done at this moment, in more than the step's name; nothing while nothing is. */
export function activityText(module) {
  if (!module.activity) return "";
  const { step, detail } = module.activity;
  const [phase, reason] = detail.split(" ");
  if (step === "push" && detail) return `${detail} written`;
  if (!(phase in PHASES)) return detail || DOING[step];
  return reason ? `${PHASES[phase]}: ${reason.toLowerCase().replaceAll("_", " ")}` : PHASES[phase];
}

// Where the button beside it is the answer, and many modules say the same.
const SHORTER = {
  approval_needed: "It waits for your yes. Nothing was sent to it yet.",
  pop_missing: "What stands on its label, its proof of possession, is not known.",
};

/** What somebody should read about it: why it waits, or what is not well. */
export function told(module) {
  const trouble = module.activity ? null : (module.hold ?? module.trouble);
  if (trouble) return { code: trouble.code, text: SHORTER[trouble.code] ?? plain(trouble.message), until: trouble.until ?? null };
  if (!module.warnings.length) return null;
  return { code: isWeak(module) ? "a-weak-signal" : null, text: module.warnings.join(" "), until: null };
}

/** A failure's sentence, without its name and without the place in the documentation: the page has a link for that. */
export function plain(message) {
  return message.replace(/^[A-Z][A-Z_]+: /, "").replace(/ docs\/OPERATIONS\.md#[a-z0-9-]+$/, "");
}

export function dbm(module) {
  return `${module.evidence.rssi_dbm} dBm`.replace("-", "−");
}

/** Whether what a person types may match it: name, ids, slug, place, model, and how it stands. */
export function matches(module, words) {
  const text = [
    module.name, module.hardware_id, module.announced_id, module.slug, module.device_id, module.endpoint,
    ...module.routes, module.model, module.product, module.firmware, module.hold?.code, standing(module).label,
  ].filter(Boolean).join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

/** Whether only an operator's yes is missing. */
export function waitsForApproval(module) {
  return module.hold?.code === "approval_needed";
}

/** Whether what stands on the module's label is missing, or was mistyped. */
export function wantsProof(module) {
  return ["pop_missing", "pop_wrong"].includes(module.hold?.code);
}

const clockOf = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const dayOf = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** A time of day; with the day, if that is not today. `at`: seconds since the epoch. */
export function time(at) {
  const moment = new Date(at * 1000);
  const clock = clockOf.format(moment);
  return moment.toDateString() === new Date().toDateString() ? clock : `${dayOf.format(moment)}, ${clock}`;
}

/** "12 s", "4 min", "3 h", "2 d". */
export function duration(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.max(0, Math.ceil(seconds))} s`;
}
