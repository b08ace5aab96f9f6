// What was typed or pasted as candidates, understood: lines, a JSON list, a whole request body, or JSON lines. Pure.

const TEXT_FIELDS = ["text", "content", "page_content", "passage", "document", "body"];
const LIST_FIELDS = ["documents", "texts", "passages", "candidates", "text_2"];
const QUERY_FIELDS = ["query", "text_1"];

/**
 * Return `{documents, kind, note, query?, topN?}`; `documents` are as the request takes them. `kind` says how the text
 * was read, `note` what is wrong with it, if anything.
 */
export function readCandidates(text) {
  const trimmed = text.trim();
  if (!trimmed) return { documents: [], kind: "lines", note: "" };
  const looksLikeJson = trimmed[0] === "[" || trimmed[0] === "{";
  if (!looksLikeJson) return lines(text, "");
  let value;
  try {
    value = JSON.parse(trimmed);
  } catch (error) {
    return jsonLines(trimmed) ?? lines(text, `not JSON (${reason(error)}), so each line is a candidate`);
  }
  return Array.isArray(value) ? list(value, "json") : body(value, text);
}

function lines(text, note) {
  const documents = text.split(/\r\n|[\n\r]/).map((line) => line.trim()).filter(Boolean);
  return { documents, kind: "lines", note };
}

function list(values, kind) {
  const documents = values.map(document);
  const wrong = documents.indexOf(null);
  if (wrong >= 0) return { documents: [], kind, note: `candidate ${wrong + 1} has no text: a string, or an object with “text”, is expected` };
  return { documents, kind, note: values.length ? "" : "the list is empty" };
}

function body(value, text) {
  const field = LIST_FIELDS.find((name) => Array.isArray(value[name]));
  if (!field) {
    const single = document(value);
    return single ? { documents: [single], kind: "jsonl", note: "" } : lines(text, "no list of documents in this object, so each line is a candidate");
  }
  const found = list(value[field], "body");
  const query = QUERY_FIELDS.map((name) => value[name]).find((each) => typeof each === "string");
  const topN = [value.top_n, value.top_k].find((each) => Number.isInteger(each) && each > 0);
  return { ...found, query, topN };
}

function jsonLines(text) {
  const documents = [];
  for (const line of text.split(/\r\n|[\n\r]/)) {
    if (!line.trim()) continue;
    try {
      const found = document(JSON.parse(line));
      if (!found) return null;
      documents.push(found);
    } catch {
      return null;
    }
  }
  return { documents, kind: "jsonl", note: "" };
}

/** Return a document as the request takes it, null for what has no text. */
function document(value) {
  if (typeof value === "string") return value;
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  const name = TEXT_FIELDS.find((each) => typeof value[each] === "string");
  if (!name) return typeof value.document === "object" ? document(value.document) : null;
  const found = { text: value[name] };
  if (typeof value.id === "string" || typeof value.id === "number") found.id = String(value.id);
  if (isPlain(value.metadata)) found.metadata = value.metadata;
  return found;
}

const isPlain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

const reason = (error) => error.message.replace(/^JSON\.parse: /, "").split("\n")[0].slice(0, 80);

export const textOf = (document) => (typeof document === "string" ? document : document.text);
