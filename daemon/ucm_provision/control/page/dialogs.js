// Dialogs: the browser's own, so that focus, Escape and the page behind them are taken care of.

import { Refusal } from "./ask.js";
import { button, el, icon } from "./dom.js";

let numbered = 0;

/** Opens a dialog and returns its node; it is removed when it closes. `kind`: "sheet" for one at the side. */
export function openDialog(title, { kind = "", closed = () => {} } = {}, ...content) {
  const id = `dialog-${++numbered}`;
  const close = el("button", { type: "button", class: "close", "aria-label": "Close" }, icon("close"));
  const dialog = el("dialog", { class: kind, "aria-labelledby": id },
    el("header", {}, el("h2", { id }, title), close), el("div", { class: "content" }, ...content));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** A field with its label, and perhaps a hint below. */
export function field(label, input, hint = null) {
  const id = input.id || (input.id = `field-${++numbered}`);
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return el("div", { class: "field" }, el("label", { for: id }, label), input, hint && el("p", { class: "hint", id: `${id}-hint` }, hint));
}

/** A field that may be read or not: gloves and long labels want to be looked at. */
export function secretField(label, input, hint = null) {
  input.type = "password";
  const seen = el("input", { type: "checkbox", on: { change: () => (input.type = seen.checked ? "text" : "password") } });
  const node = field(label, input, hint);
  node.append(el("label", { class: "check" }, seen, "Show what I type"));
  return node;
}

/**
 * Asks, does, and closes once it is done; a refusal is shown in place, and nothing that was typed is lost.
 * Resolves to whether it was done.
 */
export function openForm({ title, submit, danger = false, run }, ...content) {
  return new Promise((resolve) => {
    const alert = el("p", { class: "alert", role: "alert" });
    const go = el("button", { type: "submit", class: danger ? "button danger" : "button primary" }, submit);
    const form = el("form", { novalidate: true }, ...content, alert,
      el("div", { class: "buttons end" }, button("Cancel", {}, () => dialog.close()), go));
    let done = false;
    const dialog = openDialog(title, { closed: () => resolve(done) }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      alert.textContent = "";
      if (!form.reportValidity()) return;
      go.disabled = true;
      try {
        await run();
        done = true;
        dialog.close();
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        alert.textContent = error.message;
      } finally {
        go.disabled = false;
      }
    });
    form.querySelector("input:not([type=checkbox]), select, textarea")?.focus();
  });
}

/** A line that comes, is read out, and goes. */
export function toast(text, tone = "ok") {
  const host = document.getElementById("toasts");
  const node = el("p", { class: "toast", data: { tone } }, icon(tone === "ok" ? "check" : "alert"), el("span", {}, text));
  host.append(node);
  while (host.children.length > 3) host.firstChild.remove();
  setTimeout(() => node.remove(), tone === "ok" ? 5_000 : 12_000);
}
