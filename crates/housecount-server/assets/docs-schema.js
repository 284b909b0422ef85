/** Schemas of /openapi.json as text, and sample values. */

import { createElement } from "./dom.js";

/**
 * @typedef {object} Schema
 * @property {string} [$ref]
 * @property {string | string[]} [type]
 * @property {string} [format]
 * @property {string} [description]
 * @property {Record<string, Schema>} [properties]
 * @property {string[]} [required]
 * @property {Schema} [items]
 * @property {Schema} [additionalProperties]
 * @property {Schema[]} [oneOf]
 * @property {Schema[]} [allOf]
 * @property {unknown[]} [enum]
 * @property {unknown} [default]
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {number} [minLength]
 * @property {number} [maxLength]
 * @property {string} [pattern]
 */

/** @typedef {Record<string, Schema>} Schemas */

/** Depth of a sample: some schemas are recursive. */
const DEPTH_MAX = 6;

/** @param {string} ref */
const refName = (ref) => ref.slice(ref.lastIndexOf("/") + 1);

/**
 * Describes a schema's type, with links to named schemas.
 * @param {Schema} schema
 * @returns {import("./dom.js").Child[]}
 */
export function typeText(schema) {
  const { $ref, oneOf, allOf, items, additionalProperties, properties } = schema;
  if ($ref) return [createElement("a", { href: `#schema-${refName($ref)}` }, refName($ref))];
  const several = oneOf ?? allOf;
  if (several) return several.flatMap((each, i) => [i > 0 && (oneOf ? " or " : " and "), ...typeText(each)]);
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(" or ")];
  if (items) return ["array of ", ...typeText(items)];
  if (additionalProperties && !properties) return ["object, each value: ", ...typeText(additionalProperties)];
  return [[schema.type ?? "any"].flat().join(" or ")];
}

/**
 * Describes the bounds of a value.
 * @param {Schema} schema
 */
function bounds({ minimum, maximum, minLength, maxLength, pattern, default: defaultValue }) {
  const parts = [
    minimum !== undefined && `at least ${minimum}`,
    maximum !== undefined && `at most ${maximum}`,
    minLength !== undefined && `${minLength} characters or more`,
    maxLength !== undefined && `${maxLength} characters or fewer`,
    pattern !== undefined && `matches ${pattern}`,
    defaultValue !== undefined && `by default ${JSON.stringify(defaultValue)}`,
  ];
  return parts.filter((part) => part).join(", ");
}

/**
 * Renders text with `code` spans.
 * @param {string} text
 */
export const prose = (text) =>
  text.split("`").map((part, i) => (i % 2 ? createElement("code", null, part) : part.replace(/\n(?!\n)/g, " ")));

/**
 * Renders a schema: its properties with their types, or its type.
 * @param {Schema} schema
 * @returns {import("./dom.js").Child[]}
 */
export function schemaView(schema) {
  const { properties, required = [], allOf, oneOf, items } = schema;
  const several = allOf ?? oneOf;
  if (several?.some((each) => each.properties)) return several.flatMap((each) => schemaView(each));
  if (items?.properties) return [createElement("p", null, "Array of:"), ...schemaView(items)];
  if (!properties) return [createElement("p", null, typeText(schema))];
  const rows = Object.entries(properties).map(([name, value]) => {
    const limits = bounds(value);
    return createElement(
      "div",
      { class: "property" },
      createElement(
        "dt",
        null,
        createElement("code", null, name),
        createElement("span", { class: "sub" }, typeText(value), required.includes(name) ? "" : ", optional"),
      ),
      createElement(
        "dd",
        null,
        prose(value.description ?? value.oneOf?.[0].description ?? ""),
        limits && createElement("span", { class: "sub" }, limits),
        nested(value),
      ),
    );
  });
  return [createElement("dl", { class: "properties" }, rows)];
}

/** @param {Schema} schema */
function nested(schema) {
  const inner = schema.items?.properties ? schema.items : schema;
  return inner.properties ? schemaView(inner) : null;
}

/**
 * Builds a sample value of a schema, with required properties only.
 * @param {Schema} schema
 * @param {Schemas} schemas
 * @param {string} [name] of the property
 * @returns {unknown}
 */
export function sample(schema, schemas, name = "text", depth = 0) {
  const { $ref, oneOf, allOf, items, properties, required = [] } = schema;
  if (depth > DEPTH_MAX) return null;
  if ($ref) return sample(schemas[refName($ref)] ?? {}, schemas, name, depth + 1);
  if (allOf) return Object.assign({}, ...allOf.map((each) => sample(each, schemas, name, depth + 1)));
  if (oneOf) return sample(oneOf[0], schemas, name, depth + 1);
  if (properties) {
    const names = required.length ? required : Object.keys(properties);
    return Object.fromEntries(names.map((each) => [each, sample(properties[each] ?? {}, schemas, each, depth + 1)]));
  }
  if (items) return [sample(items, schemas, name, depth + 1)];
  const type = [schema.type ?? "string"].flat()[0];
  if (type === "integer" || type === "number") return schema.minimum ?? 0;
  if (type === "boolean") return true;
  if (type === "object") return {};
  return SAMPLES[name] ?? name;
}

/** @type {Record<string, string>} */
const SAMPLES = { stage: "match-1", stageArn: "match-1", viewer: "ann", userId: "ann", participantId: "tab-1" };
