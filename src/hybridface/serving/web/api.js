// The OpenAPI description as a page, with nothing from elsewhere.
import { byId, make } from "./elements.js";

const description = await (await fetch("openapi.json")).json();
const kindOf = (name) => description.components.schemas[name];
byId("example").textContent = `curl -F pictures=@photo.jpg ${new URL("v1/predict", location.href)}`;

// ``words`` of the docstrings as code.
const text = (words = "") => words.split("``").map((part, place) => (place % 2 ? make("code", {}, part) : part));

const nameOf = (schema = {}) => schema.$ref?.split("/").at(-1);

function typeOf(schema = {}) {
  if (nameOf(schema)) return make("a", { href: `#${nameOf(schema)}` }, nameOf(schema));
  if (schema.anyOf) return make("span", {}, ...schema.anyOf.flatMap((each, place) => (place ? [" or ", typeOf(each)] : [typeOf(each)])));
  if (schema.type === "array") return make("span", {}, "list of ", typeOf(schema.items ?? { type: "numbers" }));
  return make("span", {}, schema.format ?? schema.type ?? "anything");
}

function table(head, rows) {
  return make("div", { class: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {}, ...head.map((each) => make("th", { scope: "col" }, each)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, ...[cell].flat())))))));
}

function operation(path, method, about) {
  const parameters = (about.parameters ?? []).map((each) => [make("code", {}, each.name), typeOf(each.schema), text(each.description)]);
  const bodies = Object.keys(about.requestBody?.content ?? {});
  const answers = Object.entries(about.responses).map(([status, each]) => [
    status, text(each.description), typeOf(each.content?.["application/json"]?.schema)]);
  return make("section", { class: "card" },
    make("h2", {}, make("code", {}, `${method.toUpperCase()} ${path}`)),
    ...(about.description ?? "").split("\n\n").map((each) => make("p", {}, ...text(each))),
    ...(bodies.length ? [make("p", {}, `Takes: ${bodies.join(" or ")}`)] : []),
    ...(parameters.length ? [make("h3", {}, "In the query"), table(["Name", "Type", "What"], parameters)] : []),
    make("h3", {}, "Answers"), table(["Status", "When", "Content"], answers));
}

function schema(name) {
  const about = kindOf(name);
  const rows = Object.entries(about.properties ?? {}).map(([key, each]) => [make("code", {}, key), typeOf(each), text(each.description)]);
  return make("section", { class: "card", id: name }, make("h2", {}, name),
    ...(about.description ?? "").split("\n\n").map((each) => make("p", {}, ...text(each))),
    table(["Name", "Type", "What"], rows));
}

const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, about]) => operation(path, method, about)));
const hidden = ["HTTPValidationError", "ValidationError"];
const schemas = Object.keys(description.components.schemas).filter((name) => !hidden.includes(name));
byId("paths").replaceChildren(...operations, ...schemas.map(schema));
