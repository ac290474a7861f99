"use strict";

// The page is made of the OpenAPI document. Nothing in it is ever put into the
// page as HTML: texts are set as text.

const byId = (id) => document.getElementById(id);

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

function resolve(spec, schema) {
  while (schema && schema.$ref) {
    schema = spec.components.schemas[schema.$ref.split("/").pop()];
  }
  return schema || {};
}

// sample returns a value to begin with, made of what the schema requires.
function sample(spec, schema, depth = 0) {
  schema = resolve(spec, schema);
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  const choices = schema.anyOf || schema.oneOf;
  if (choices && !schema.properties) return sample(spec, choices[0], depth);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === "object") {
    const value = {};
    for (const [name, property] of Object.entries(schema.properties || {})) {
      if (depth < 3 && mustSend(schema, name)) value[name] = sample(spec, property, depth + 1);
    }
    return value;
  }
  return { array: [], integer: 0, number: 0, boolean: false, string: "" }[type] ?? null;
}

// mustSend tells whether a member is required; of several names for it, the
// first is sent.
function mustSend(schema, name) {
  if ((schema.required || []).includes(name)) return true;
  return (schema.allOf || []).some((part) => part.anyOf && part.anyOf[0].required && part.anyOf[0].required[0] === name);
}

function typeName(spec, schema) {
  const name = schema.$ref ? schema.$ref.split("/").pop() : "";
  schema = resolve(spec, schema);
  if (name) return name;
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(" | ");
  if (schema.anyOf) return [...new Set(schema.anyOf.map((s) => typeName(spec, s)))].join(" | ");
  if (schema.items) return "[" + typeName(spec, schema.items) + "]";
  return [].concat(schema.type || "any").join(" | ");
}

function fieldTable(spec, schema) {
  schema = resolve(spec, schema);
  const rows = Object.entries(schema.properties || {}).map(([name, property]) =>
    element("tr", {},
      element("td", {}, element("code", { textContent: name + (mustSend(schema, name) ? " *" : "") })),
      element("td", { className: "quiet", textContent: typeName(spec, property) }),
      element("td", { textContent: property.description || resolve(spec, property).description || "" })));
  return rows.length ? element("table", {}, element("tbody", {}, ...rows)) : null;
}

function parameterInput(parameter) {
  const schema = parameter.schema || {};
  const hint = [schema.default !== undefined ? "default " + schema.default : "", schema.description || parameter.description || ""];
  const input = schema.enum
    ? element("select", {}, element("option", { value: "" }), ...schema.enum.map((v) => element("option", { textContent: v })))
    : element("input", { placeholder: hint[0], spellcheck: false });
  const label = element("label", { title: hint[1] }, parameter.name + (parameter.required ? " *" : ""), input);
  return { parameter, input, label };
}

// requestOf puts the fields of a form together.
function requestOf(method, path, fields, body, file) {
  const query = new URLSearchParams();
  const headers = { Authorization: "Bearer " + byId("token").value.trim() };
  for (const { parameter, input } of fields) {
    const value = input.value;
    if (parameter.in === "path") path = path.replace("{" + parameter.name + "}", encodeURIComponent(value).replaceAll("%2C", ","));
    else if (value !== "" && parameter.in === "query") query.append(parameter.name, value);
    else if (value !== "") headers[parameter.name] = value;
  }
  path = path.replace("{project}", encodeURIComponent(byId("project").value.trim()));
  const options = { method, headers, cache: "no-store" };
  if (body && body.value.trim() !== "") {
    options.body = body.value;
    headers["Content-Type"] = "application/json";
  }
  const chosen = file && file.files && file.files[0];
  if (chosen) {
    options.body = chosen;
    headers["Content-Type"] = file.dataset.type;
    headers["X-File-Name"] = encodeURIComponent(chosen.name);
  }
  return { url: path + (query.size ? "?" + query : ""), options };
}

function curl({ url, options }) {
  const quote = (text) => "'" + text.replaceAll("'", "'\\''") + "'";
  const parts = ["curl -X " + options.method + " " + quote(location.origin + url)];
  for (const [name, value] of Object.entries(options.headers)) {
    parts.push("-H " + quote(name === "Authorization" ? "Authorization: Bearer $TOKEN" : name + ": " + value).replace("'Authorization: Bearer $TOKEN'", '"Authorization: Bearer $TOKEN"'));
  }
  if (typeof options.body === "string") parts.push("-d " + quote(options.body));
  else if (options.body) parts.push("--data-binary " + quote("@" + options.body.name));
  return parts.join(" \\\n  ");
}

async function send(request, output) {
  output.replaceChildren(element("p", { className: "quiet", textContent: "Sending …" }));
  const began = performance.now();
  try {
    const response = await fetch(request.url, request.options);
    const text = await response.text();
    const took = Math.round(performance.now() - began);
    const headers = ["content-type", "content-disposition", "etag", "location", "preference-applied", "retry-after", "x-request-id"]
      .filter((name) => response.headers.has(name)).map((name) => name + ": " + response.headers.get(name));
    output.replaceChildren(
      element("h3", { textContent: response.status + " " + response.statusText + ", " + took + " ms" }),
      element("pre", { textContent: headers.join("\n") }),
      element("pre", { textContent: readable(response, text) }),
      element("h3", { textContent: "The same with curl" }),
      element("pre", { textContent: curl(request) }));
  } catch (error) {
    output.replaceChildren(element("p", { textContent: "The request failed: " + error.message }));
  }
}

// readable breaks JSON into lines without touching its numbers: a parser would
// round large integers.
function readable(response, text) {
  const most = 200000;
  if (!(response.headers.get("content-type") || "").startsWith("application/json") || text.length > most) return text.slice(0, most);
  let out = "", depth = 0, inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (inString) {
      out += c;
      if (c === "\\") out += text[++i];
      else if (c === '"') inString = false;
      continue;
    }
    const line = () => "\n" + "  ".repeat(depth);
    if (c === '"') { inString = true; out += c; }
    else if ((c === "{" || c === "[") && (text[i + 1] === "}" || text[i + 1] === "]")) out += c + text[++i];
    else if (c === "{" || c === "[") { depth++; out += c + line(); }
    else if (c === "}" || c === "]") { depth--; out += line() + c; }
    else if (c === ",") out += c + line();
    else if (c === ":") out += ": ";
    else if (!/\s/.test(c)) out += c;
  }
  return out;
}

function operationDetails(spec, method, path, operation) {
  const parameters = (operation.parameters || []).map((p) => (p.$ref ? spec.components.parameters[p.$ref.split("/").pop()] : p));
  const fields = parameters.filter((p) => p.name !== "project").map(parameterInput);
  const kinds = (operation.requestBody && operation.requestBody.content) || {};
  const content = kinds["application/json"];
  const sent = Object.keys(kinds).find((kind) => kind !== "application/json" && kind !== "multipart/form-data");
  const options = kinds["multipart/form-data"] && kinds["multipart/form-data"].schema.properties.options;
  const file = sent && element("input", { type: "file" });
  if (file) file.dataset.type = sent === "*/*" ? "application/octet-stream" : sent;
  const body = content && element("textarea", { value: JSON.stringify(sample(spec, content.schema), null, 2), spellcheck: false });
  const output = element("div", { ariaLive: "polite" });
  const form = element("form", {},
    fields.length ? element("div", { className: "fields" }, ...fields.map((f) => f.label)) : null,
    body || file ? element("h3", { textContent: file ? "File" : "Body" }) : null, body || file || null,
    element("button", { textContent: "Send" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(requestOf(method.toUpperCase(), path, fields, body, file), output);
  });
  const answers = Object.entries(operation.responses).map(([status, response]) =>
    element("tr", {}, element("td", { textContent: status }), element("td", { textContent: response.description })));
  return element("div", { className: "inside" },
    operation.description ? element("p", { className: "quiet", textContent: operation.description.replaceAll("`", "") }) : null,
    content ? fieldTable(spec, content.schema) : null,
    options ? element("h3", { textContent: "Options" }) : null, options ? fieldTable(spec, options) : null,
    form, output,
    element("h3", { textContent: "Answers" }), element("table", {}, element("tbody", {}, ...answers)));
}

// show builds the insides of an operation when it is first opened.
function show(spec, method, path, operation) {
  const details = element("details", { id: operation.operationId },
    element("summary", {}, element("span", { className: "method", textContent: method.toUpperCase() }),
      element("code", { textContent: path }), element("span", { className: "quiet", textContent: operation.summary || "" })));
  details.dataset.words = (method + " " + path + " " + operation.summary).toLowerCase();
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(operationDetails(spec, method, path, operation));
  });
  return details;
}

function find() {
  const words = byId("find").value.toLowerCase().split(/\s+/);
  for (const section of document.querySelectorAll("main section")) {
    let shown = 0;
    for (const details of section.querySelectorAll("details")) {
      details.hidden = !words.every((word) => details.dataset.words.includes(word));
      if (!details.hidden) shown++;
    }
    section.hidden = shown === 0;
  }
}

async function start() {
  const spec = await (await fetch("/openapi.json")).json();
  const groups = new Map();
  for (const [path, item] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const group = (operation.tags || ["Other"])[0];
      groups.set(group, [...(groups.get(group) || []), show(spec, method, path, operation)]);
    }
  }
  const order = ["Projects", "Tokens", "Tables", "Columns", "Records", "Query and indexes", "Exports", "Reference"];
  const place = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
  for (const name of [...groups.keys()].sort((a, b) => place(a) - place(b))) {
    const id = name.toLowerCase().replaceAll(" ", "-");
    byId("groups").append(element("a", { href: "#" + id, textContent: name }));
    byId("operations").append(element("section", { id }, element("h2", { textContent: name }), ...groups.get(name)));
  }
  byId("find").addEventListener("input", find);
  byId("access").addEventListener("submit", (event) => event.preventDefault());
  const wanted = location.hash && byId(location.hash.slice(1));
  if (wanted) {
    wanted.open = true;
    wanted.scrollIntoView();
  }
}

start().catch((error) => byId("operations").append(element("p", { textContent: "The document could not be read: " + error.message })));
