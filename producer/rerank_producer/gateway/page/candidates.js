// What was typed or pasted as candidates, understood: lines, a JSON list, a whole request body, or JSON lines. Pure.

const TEXT_FIELDS = ["text", "content", "page_content", "passage", "document", "body"];
const LIST_FIELDS = ["documents", "texts", "passages", "candidates", "text_2"];
const QUERY_FIELDS = ["query", "text_1"];
const FUSION_FIELDS = ["fusion", "fusion_weight", "fusion_ratio", "first_stage", "first_stage_order"];
/** A line with a column behind its last tab that holds a first-stage score, or nothing where there is none. */
const SCORED_LINE = /^(.*\S.*)\t[ ]*(?:([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)|[-–]?)[ ]*$/i;

/**
 * Return `{documents, kind, note, query?, topN?, fusion?}`; `documents` are as the request takes them. `kind` says how
 * the text was read, `note` what is wrong with it, if anything. `fusion` has what a body says of first-stage scores.
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
  const found = text.split(/\r\n|[\n\r]/).filter((line) => line.trim());
  const split = found.map((line) => SCORED_LINE.exec(line));
  const scores = split.filter((parts) => Number.isFinite(Number(parts?.[2] ?? NaN))).length;
  // A column is one in every line. A number at the end of a few texts is a part of them.
  if (scores && split.every(Boolean)) return { documents: split.map(([, line, score]) => withScore({ text: line.trim() }, Number(score))), kind: "lines", note };
  const without = found.length - scores;
  const half = scores > without ? `${without} of ${found.length} lines have no score behind a tab, so none is read` : "";
  return { documents: found.map((line) => line.trim()), kind: "lines", note: note || half };
}

/** A text alone is sent as such. */
function withScore(document, score) {
  if (Number.isFinite(score)) return { ...document, score };
  return Object.keys(document).length === 1 ? document.text : document;
}

export const hasScore = (document) => typeof document !== "string" && document.score !== undefined;

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
  const found = scored(list(value[field], "body"), value.scores);
  const query = QUERY_FIELDS.map((name) => value[name]).find((each) => typeof each === "string");
  const topN = [value.top_n, value.top_k].find((each) => Number.isInteger(each) && each > 0);
  const fusion = Object.fromEntries(FUSION_FIELDS.filter((name) => name in value).map((name) => [name, value[name]]));
  return { ...found, query, topN, fusion };
}

/** Take the scores that stand beside the documents of a body into them. */
function scored(found, scores) {
  if (!Array.isArray(scores) || found.note) return found;
  if (scores.length !== found.documents.length) return { ...found, note: `${scores.length} scores for ${found.documents.length} candidates: one for each is expected` };
  return { ...found, documents: found.documents.map((each, at) => withScore(typeof each === "string" ? { text: each } : each, scores[at])) };
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
  if (Number.isFinite(value.score)) found.score = value.score;
  return found;
}

const isPlain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

const reason = (error) => error.message.replace(/^JSON\.parse: /, "").split("\n")[0].slice(0, 80);

export const textOf = (document) => (typeof document === "string" ? document : document.text);
