// Requests to the daemon. What it refuses comes back as its own sentence.

import { plain } from "./describe.js";

export class Refusal extends Error {
  constructor(code, message) {
    super(plain(message));
    this.code = code;
  }
}

const UNREACHABLE = new Refusal("daemon_unreachable", "The box does not answer. Nothing was changed as far as this page knows.");

/** The decoded answer. Throws a Refusal. */
export async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch(`/v1/${path}`, {
      method,
      headers: { "Content-Type": "application/json", "X-UCM-Page": "1" },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw UNREACHABLE;
  }
  const decoded = await answer.json().catch(() => null);
  if (answer.ok && decoded) return decoded;
  if (decoded?.error) throw new Refusal(decoded.error.code, decoded.error.message);
  throw UNREACHABLE;
}

export const get = (path) => ask("GET", path);
export const post = (path, body = {}) => ask("POST", path, body);

/** The path of a module, whatever it is called. */
export function modulePath(module, action = "") {
  return `modules/${encodeURIComponent(module.session)}${action && `/${action}`}`;
}

/** Who is signed in here; null while the daemon does not answer. */
export async function whoAmI() {
  try {
    return await get("page");
  } catch {
    return null;
  }
}
