// Puts the page together.

import { post, Refusal, whoAmI } from "./ask.js";
import { Actions } from "./actions.js";
import { field, openDialog, openForm, toast } from "./dialogs.js";
import { el, icon, setAttribute, setText, show } from "./dom.js";
import { Header } from "./header.js";
import { openHelp } from "./help.js";
import { ModuleList } from "./list.js";
import { Live } from "./live.js";
import { openSheet } from "./sheet.js";
import { Store } from "./store.js";
import { isOpen, WifiView } from "./wifi.js";

const KEPT = "what the box told last";

const store = new Store();
const at = (id) => document.getElementById(id);
const actions = new Actions(store, signedIn);
const live = new Live(store, async () => keepPage(await whoAmI()));
const views = { modules: at("modules"), wifi: at("wifi") };

new Header(store);
new ModuleList(store, actions, views.modules);
const wifi = new WifiView(store, actions, views.wifi);

// ---- who looks -----------------------------------------------------------------------------------

function keepPage(page) {
  if (page) store.take("page", page);
  return page;
}

/** Whether somebody is signed in; asks for it if nobody is. */
async function signedIn() {
  if (store.page.signed_in_as) return true;
  const token = el("input", { type: "text", required: true, autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
  const run = async () => signIn(tokenIn(token.value));
  return openForm({ title: "Sign in first", submit: "Sign in", run },
    el("p", {}, "What changes something is done in your name. On the box, run"), el("pre", {}, "ucmctl page-login"),
    el("p", {}, "and open the address that it prints, or paste it here."), field("Address or token", token));
}

async function signIn(token) {
  keepPage(await post("page/sign-in", { token }));
  toast(`Signed in as ${store.page.signed_in_as}.`);
}

function tokenIn(text) {
  return text.trim().replace(/^.*#sign-in=/, "");
}

async function signOut() {
  keepPage(await post("page/sign-out"));
  toast("Signed out.");
  if (!store.page.private) return;
  store.status = null; // nothing is kept of what only members see
  forget();
  location.reload();
}

/** The address that ucmctl page-login printed. Its end is taken off at once: nothing may remember it. */
async function takeInvitation() {
  if (!location.hash.startsWith("#sign-in=")) return;
  const token = tokenIn(location.hash);
  history.replaceState(null, "", "/");
  try {
    await signIn(token);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    toast(error.message, "bad");
  }
}

// ---- which view ----------------------------------------------------------------------------------

let turn = 0;
let came = false;

/** `#/`, `#/wifi`, `#/module/KEY`, `#/help/ENTRY`: what is open can be linked to, and Back closes it. */
async function route() {
  if (location.hash.startsWith("#sign-in=")) return takeInvitation().then(() => live.again());
  const mine = ++turn;
  const [, view = "", detail = ""] = /^#\/([^/]*)\/?(.*)$/.exec(location.hash) ?? [];
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  // What somebody closes leads back to where it was opened from; what another view has closed does not.
  const closed = () => mine === turn && (came ? history.back() : location.replace("#/"));
  if (view === "module") return openSheet(store, actions, decodeURIComponent(detail), closed);
  if (view === "help") return openHelp(decodeURIComponent(detail), closed);
  if (view === "report") return openReport(closed);
  showView(view === "wifi" ? "wifi" : "modules");
  if (view === "wifi") wifi.open();
}

addEventListener("hashchange", () => {
  came = true;
  route();
});

/** What an engineer hands over, in three forms with the same content. */
function openReport(closed) {
  const form = (format, title, text, properties) =>
    el("a", { class: "choice", href: `/v1/report?format=${format}`, ...properties }, icon("report"),
      el("span", {}, el("strong", {}, title), el("span", { class: "hint" }, text)));
  return openDialog("Commissioning report", { closed }, el("div", { class: "choices" },
    form("html", "To read and print", "Opens in a new tab, and fits A4.", { target: "_blank", rel: "noopener" }),
    form("csv", "CSV", "A line for each module, for a spreadsheet.", { download: true }),
    form("json", "JSON", "For programs.", { download: true })));
}

function showView(name) {
  for (const [each, node] of Object.entries(views)) show(node, each === name);
  for (const link of document.querySelectorAll("[data-view]")) setAttribute(link, "aria-current", link.dataset.view === name ? "page" : null);
}

// ---- what stands around --------------------------------------------------------------------------

function frame() {
  const who = store.page.signed_in_as;
  const locked = store.connection === "locked";
  setText(at("who"), who ? `Signed in as ${who}` : "Sign in");
  setAttribute(at("person"), "aria-label", who ? `Signed in as ${who}: sign out` : "Sign in");
  show(at("locked"), locked);
  show(at("content"), !locked);
  show(at("tabs"), !locked);
  const needs = [...store.modules.values()].filter((module) => module.hold?.waits === "operator").length;
  document.title = `${needs ? `(${needs}) ` : ""}${store.status?.box_id ?? "UCM"} modules`;
  setAttribute(at("moving"), "hidden", isOpen(store.campaign) ? null : "");
}

function toggleTheme() {
  const root = document.documentElement;
  const own = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  try {
    // Back at what the device has, it follows the device again.
    if (root.dataset.theme === own) localStorage.removeItem("theme");
    else localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // it holds until the page is closed
  }
}

// ---- a reload without a connection still shows what was known -------------------------------------

function remember() {
  if (!store.status) return;
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({ modules: [...store.modules.values()], status: store.status, heardAt: store.heardAt }));
  } catch {
    // it was only for convenience
  }
}

function forget() {
  try {
    sessionStorage.removeItem(KEPT);
  } catch {
    // nothing was kept
  }
}

function recall() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT));
    if (!kept) return;
    store.takeSnapshot(kept.modules);
    store.take("status", kept.status);
    store.heardAt = kept.heardAt;
  } catch {
    // another version of the page, or a browser that keeps nothing
  }
}

store.addEventListener("change", frame);
at("theme").addEventListener("click", toggleTheme);
at("person").addEventListener("click", () => (store.page.signed_in_as ? signOut() : signedIn()));
at("unlock").addEventListener("click", async () => (await signedIn()) && live.again());
addEventListener("pagehide", remember);

// On the box itself everybody may read, so that nothing needs to be waited for.
if (location.protocol === "http:") live.connect();
await takeInvitation();
const page = await live.whoAmI();
if (page === null) recall();
if (page?.private && !page.signed_in_as) store.take("connection", "locked");
else if (location.protocol === "https:") live.connect();
route();
// It fetches every file once more, which can wait until the modules are there.
setTimeout(() => {
  navigator.serviceWorker?.register("/sw.js").catch(() => {
    // without one the page works while the box is in reach
  });
}, 2_000);

