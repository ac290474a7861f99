// Calls of the API with the session of the page, and what happens when it has ended.

import { make } from "./dom.js";

/** A Failure is an answer of the API that is not ok, or none at all. */
export class Failure extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, code?: string, details?: {field: string, message: string}[], record?: any, etag?: string, requestID?: string}} [more]
   */
  constructor(message, more = {}) {
    super(message);
    this.status = more.status ?? 0; // 0: nothing came back
    this.code = more.code ?? "";
    this.details = more.details ?? [];
    this.record = more.record;
    this.etag = more.etag;
    this.requestID = more.requestID ?? "";
  }
}

/**
 * call makes a call of the API and returns its data. A call that finds the session ended is made again
 * once the person has signed in.
 * @param {string} path below the address of the API
 * @param {{method?: string, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal}} [options]
 * @returns {Promise<{data: any, etag: string}>}
 */
export async function call(path, options = {}) {
  for (;;) {
    try {
      return await send(path, options);
    } catch (failure) {
      if (!(failure instanceof Failure) || failure.status !== 401) throw failure;
      await signInAgain();
    }
  }
}

/** @type {typeof call} */
async function send(path, { method = "GET", body, headers = {}, signal } = {}) {
  /** @type {RequestInit} */
  const init = { method, signal, headers: { ...headers } };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { ...headers, "Content-Type": "application/json" };
  }
  let response, answer;
  try {
    response = await fetch(path, init);
    answer = await response.json();
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new Failure("The server cannot be reached. Nothing that you typed is lost; try again.");
  }
  if (answer.ok) return { data: answer.data, etag: response.headers.get("ETag") ?? "" };
  throw new Failure(answer.error.message, { status: response.status, ...answer.error, requestID: answer.request_id });
}

/** @type {Promise<void> | undefined} */
let signingIn;

/** signInAgain asks for name and password over the page, which stays as it is. */
function signInAgain() {
  signingIn ??= new Promise((resolve) => {
    const fault = make("p", { className: "fault", role: "alert" });
    const name = make("input", { name: "username", autocomplete: "username", required: true });
    const password = make("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
    const form = make(
      "form",
      { className: "fields" },
      make("h2", { textContent: "Your session has ended" }),
      make("p", { textContent: "Sign in again. What you typed is still here." }),
      fault,
      make("label", {}, "Name", name),
      make("label", {}, "Password", password),
      make("button", { textContent: "Sign in" }),
    );
    const dialog = make("dialog", { className: "ask", ariaLabel: "Sign in" }, form);
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const body = new URLSearchParams({ username: name.value, password: password.value });
      const answer = await fetch(document.body.dataset.signIn ?? "/admin/sign-in", { method: "POST", body, redirect: "manual" }).catch(() => null);
      if (answer?.type !== "opaqueredirect") {
        fault.textContent = answer ? "That did not work. Check name and password." : "The server cannot be reached.";
        return;
      }
      dialog.close();
      dialog.remove();
      signingIn = undefined;
      resolve();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return signingIn;
}
