// What an operator asks of modules. Everything that changes something needs a sign-in, and asks for one when it must.

import { modulePath, post, Refusal } from "./ask.js";
import { idOf, nameOf, shortId, wantsProof } from "./describe.js";
import { field, openForm, secretField, toast } from "./dialogs.js";
import { el } from "./dom.js";

const OPENS_PORT = "Its port is opened for that, which may reset what hangs on it.";

export class Actions {
  /** `signIn`: resolves to whether somebody is signed in afterwards. */
  constructor(store, signIn) {
    this.store = store;
    this.signIn = signIn;
  }

  /** Does it and says so; or says why not. */
  async do(work, said) {
    if (!(await this.signIn())) return false;
    try {
      const answer = await work();
      if (answer?.module) this.store.takeModule(answer.module);
      if (said) toast(typeof said === "function" ? said(answer) : said);
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      toast(error.message, "bad");
      return false;
    }
  }

  /** A question first. */
  async confirm(title, text, submit, danger, work, said) {
    if (!(await this.signIn())) return;
    const run = async () => {
      const answer = await work();
      if (answer?.module) this.store.takeModule(answer.module);
      toast(typeof said === "function" ? said(answer) : said);
    };
    await openForm({ title, submit, danger, run }, el("p", {}, text));
  }

  retry(module) {
    return this.do(() => post(modulePath(module, "retry")), `${nameOf(module)} goes on.`);
  }

  identify(module) {
    const blink = () => post(modulePath(module, "identify"), { seconds: 15 });
    const said = `${nameOf(module)} blinks for 15 seconds.`;
    if (module.carrier === "http") return this.do(blink, said);
    return this.confirm(`Make ${nameOf(module)} blink?`, OPENS_PORT, "Blink", false, blink, said);
  }

  verify(module) {
    const look = () => post(modulePath(module, "verify"), { cables: true });
    const said = (answer) => (answer.well ? `${nameOf(module)} is well.` : `${nameOf(module)} is not well: see its reason.`);
    if (module.carrier === "http") return this.do(look, said);
    return this.confirm(`Look at ${nameOf(module)}?`, `Nothing is changed on it. ${OPENS_PORT}`, "Look", false, look, said);
  }

  reprovision(module) {
    return this.confirm(`Provision ${nameOf(module)} anew?`,
      "The same device in the API, fresh credentials, and the present Wi-Fi. Until the new configuration has proved itself, the module keeps the old one.",
      "Provision anew", true, () => post(modulePath(module, "reprovision")), `${nameOf(module)} is provisioned anew.`);
  }

  cancel(module) {
    return this.confirm(`Leave ${nameOf(module)} alone?`,
      "The box does nothing more with it until you retry it, provision it anew, or plug it in again. What it holds stays as it is.",
      "Leave alone", true, () => post(modulePath(module, "cancel")), `${nameOf(module)} is left alone.`);
  }

  async rename(module) {
    if (!(await this.signIn())) return;
    const name = el("input", { type: "text", required: true, maxlength: "128", autocomplete: "off", value: module.name ?? "" });
    const run = async () => {
      const answer = await post(modulePath(module, "name"), { name: name.value.trim() });
      this.store.takeModule(answer.module);
      toast(`It is called ${answer.module.name} now.`);
    };
    await openForm({ title: `Name ${nameOf(module)}`, submit: "Save name", run },
      field("Name", name, "As its device is called in the provisioning API."));
  }

  /** With a name, and with the proof of possession from its label where that is not known. */
  async approve(module) {
    if (!(await this.signIn())) return;
    const id = idOf(module);
    const name = el("input", { type: "text", maxlength: "128", autocomplete: "off", value: module.name ?? "" });
    const proof = el("input", { required: wantsProof(module), maxlength: "1024", autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
    const run = async () => {
      const called = name.value.trim() === (module.name ?? "") ? {} : { name: name.value.trim() };
      const answer = await post(modulePath(module, "approve"), { ...labelOf(proof.value.trim()), ...called });
      this.store.takeModule(answer.module);
      toast(`${nameOf(answer.module)} is approved.`);
    };
    await openForm({ title: wantsProof(module) ? "What its label says" : "Approve this module", submit: "Approve", run },
      el("p", {}, "Compare with the label: ", el("strong", { class: "mono" }, id ? shortId(id) : "hardware id not known yet"), "."),
      field("Name", name, "Leave it empty to have it named after its model."),
      secretField("Proof of possession", proof,
        wantsProof(module) ? "It stands on the module’s label. The text of its QR code does, too."
          : "From the module’s label. Leave it empty if the manifest has it."));
  }

  async approveAll(modules) {
    if (!(await this.signIn())) return;
    const boxes = modules.map((module) => el("input", { type: "checkbox", checked: true, data: { session: module.session } }));
    const run = async () => {
      const chosen = modules.filter((_, index) => boxes[index].checked);
      const refused = [];
      for (const module of chosen) {
        try {
          this.store.takeModule((await post(modulePath(module, "approve"))).module);
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
          refused.push(`${nameOf(module)}: ${error.message}`);
        }
      }
      if (refused.length) throw new Refusal("", refused.join(" "));
      toast(`${chosen.length} modules are approved.`);
    };
    await openForm({ title: `Approve ${modules.length} modules`, submit: "Approve those", run },
      el("p", {}, "Those whose proof of possession is not known will ask for it afterwards."),
      el("ul", { class: "checks", role: "list" }, ...modules.map((module, index) =>
        el("li", {}, el("label", { class: "check" }, boxes[index], el("span", {}, nameOf(module)),
          el("span", { class: "mono muted" }, shortId(idOf(module) ?? "")))))));
  }
}

/** What was typed or scanned off a label: the proof alone, or the text of Espressif's QR code. */
export function labelOf(text) {
  if (!text.startsWith("{")) return text ? { pop: text } : {};
  try {
    const { pop, username } = JSON.parse(text);
    return username ? { pop, username } : { pop };
  } catch {
    throw new Refusal("", "This looks like a QR code’s text, but is not complete.");
  }
}
