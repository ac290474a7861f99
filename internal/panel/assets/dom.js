// Making elements; texts become text nodes and never markup.

/**
 * make returns a new element with properties and children.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, unknown>} [properties]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/**
 * find returns the element with an id, which must exist.
 * @param {string} id
 */
export function find(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

/**
 * ask shows a dialog and returns the value of the button that closed it, "" for Escape.
 * @param {string} title
 * @param {(Node | string)[]} content
 * @param {{value: string, label: string, kind?: string}[]} choices
 * @returns {Promise<string>}
 */
export function ask(title, content, choices) {
  const before = document.activeElement;
  const buttons = choices.map(({ value, label, kind = "second" }) => make("button", { value, textContent: label, className: kind, autofocus: label === "Cancel" }));
  const dialog = make("dialog", { className: "ask", ariaLabel: title }, make("form", { method: "dialog" }, make("h2", { textContent: title }), ...content, make("div", { className: "row" }, ...buttons)));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before instanceof HTMLElement) before.focus({ preventScroll: true });
      resolve(dialog.returnValue);
    });
  });
}

/**
 * remembered reads what the browser keeps under a name; nothing that does not fit breaks the page.
 * @param {Storage} storage
 * @param {string} name
 * @returns {any} null if there is nothing
 */
export function remembered(storage, name) {
  try {
    return JSON.parse(storage.getItem(name) ?? "null");
  } catch {
    return null;
  }
}

/**
 * remember keeps a value under a name, null for none, and reports whether there was room.
 * @param {Storage} storage
 * @param {string} name
 * @param {unknown} value
 */
export function remember(storage, name, value) {
  try {
    if (value === null) storage.removeItem(name);
    else storage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false; // full, or switched off
  }
}
