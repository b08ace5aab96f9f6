// The request on the page as code to copy. A key is never written into it: it is read from the environment. Pure.
import { hasScore, textOf } from "./candidates.js";

const VARIABLE = "RERANK_API_KEY";
/** Linux takes 128 KiB as one argument of a command. */
const ARGUMENT_BYTES = 100_000;
/** A name of Cohere's that the gateway answers for, where the fleet's own is not known. */
const STAND_IN = "rerank-v3.5";
const JINA_MODEL = "jina-reranker-v2-base-multilingual";

/** Return `[{name, code}]` of a request to the gateway at `origin`; `model` is what the fleet serves. Code is written when
 * it is read. */
export function snippets(request, { origin, keyed, partial, model }) {
  const at = { request, origin: origin.replace(/\/+$/, ""), keyed, partial, model };
  return [
    { name: "curl", get code() { return curl(at); } },
    { name: "Python", get code() { return python(at); } },
    { name: "Cohere SDK", get code() { return cohere(at); } },
    { name: "Jina", get code() { return jina(at); } },
    { name: "TEI", get code() { return tei(at); } },
    { name: "Application", get code() { return application(at); } },
  ];
}

function curl({ request, ...at }) {
  return post("/v1/fleet/rerank", request, at);
}

function jina({ request, ...at }) {
  const { query, top_n } = request;
  const content = { model: JINA_MODEL, query, documents: request.documents.map(textOf), top_n, ...firstStage(request) };
  return [...lacks("Jina", request), post("/v1/rerank", content, { ...at, ...terms(request) })].join("\n");
}

function tei({ request, ...at }) {
  const { query, top_n } = request;
  const content = { query, texts: request.documents.map(textOf), top_n, ...firstStage(request) };
  return [...lacks("TEI", request), post("/rerank", content, { ...at, ...terms(request) })].join("\n");
}

/** How first-stage scores count, for APIs whose documents are texts alone. */
function firstStage({ documents, fusion, fusion_weight, fusion_ratio, first_stage, first_stage_order }) {
  const asked = { fusion, fusion_weight, fusion_ratio, first_stage, first_stage_order };
  if (fusion && documents.some(hasScore)) asked.scores = documents.map((each) => (hasScore(each) ? each.score : null));
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined));
}

/** What other APIs have no field for goes as a header. */
const terms = (request) => ({ deadlineMs: request.deadline_ms });

/** Or not at all: then it is said. No apostrophes: some shells take a pasted comment for a command. */
function lacks(api, request) {
  const lines = [];
  if (request.class) lines.push(`# The API of ${api} has no classes: this is asked as interactive, not as ${request.class}.`);
  if (request.max_length) lines.push(`# The API of ${api} has no max_length: pairs are cut where the model ends, not after ${request.max_length} tokens.`);
  return lines;
}

/** What to type into which box of an application that lets its reranker's address be changed. */
function application({ origin, keyed, model }) {
  const here = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])([:/]|$)/.test(origin);
  return [
    "Provider   Cohere or Jina; else vLLM, Xinference or LocalAI",
    `Base URL   ${origin}/v1`,
    `           if that is not found: ${origin}`,
    `           if the whole address is asked for: ${origin}/v1/rerank`,
    `Model      ${model ?? STAND_IN}`,
    `           if only a list is offered: ${STAND_IN} or ${JINA_MODEL}`,
    keyed ? "API key    yours for this gateway: rrf_…" : "API key    any: this gateway asks for none",
    ...(here ? ["", "From inside a container, localhost is the container:", "take this machine’s name or address, and start the gateway with --host 0.0.0.0."] : []),
  ].join("\n");
}

function post(path, content, { origin, keyed, partial, deadlineMs }) {
  const lines = [`curl -sS ${quoted(`${origin}${path}`)}`, "  -H 'Content-Type: application/json'"];
  if (keyed) lines.push(`  -H "Authorization: Bearer $${VARIABLE}"`);
  if (deadlineMs) lines.push(`  -H 'X-Rerank-Deadline-Ms: ${deadlineMs}'`);
  if (!partial) lines.push("  -H 'X-Rerank-Partial: false'");
  const body = JSON.stringify(content, null, 1);
  const fits = new TextEncoder().encode(body).length <= ARGUMENT_BYTES;
  // No line of JSON is but a word, so that none ends the here-document.
  lines.push(fits ? `  --data-raw ${quoted(body)}` : `  --data-binary @- <<'EOF'\n${body}\nEOF`);
  return lines.join(" \\\n");
}

function python({ request, origin, keyed, partial }) {
  const headers = {};
  if (!partial) headers["X-Rerank-Partial"] = '"false"';
  if (keyed) headers.Authorization = `f"Bearer {os.environ['${VARIABLE}']}"`;
  const spelled = Object.entries(headers).map(([name, value]) => `"${name}": ${value}`);
  return [
    ...(keyed ? ["import os", ""] : []),
    "import httpx",
    "",
    "response = httpx.post(",
    `    ${JSON.stringify(`${origin}/v1/fleet/rerank`)},`,
    ...(spelled.length ? [`    headers={${spelled.join(", ")}},`] : []),
    `    json=${indented(literal(request, 0))},`,
    `    timeout=${timeout(request)},`,
    ")",
    "response.raise_for_status()",
    'for result in response.json()["results"]:',
    `    print(result["index"], result["${request.fusion && request.fusion !== "none" ? "fused_score" : "relevance_score"}"])`,
  ].join("\n");
}

function cohere({ request, origin, keyed, partial, model }) {
  const options = { model: request.model ?? model ?? STAND_IN, query: request.query, documents: request.documents.map(textOf) };
  if (request.top_n) options.top_n = request.top_n;
  if (request.max_length) options.max_tokens_per_doc = request.max_length;
  const spelled = Object.entries(options).map(([name, value]) => `    ${name}=${indented(literal(value, 0))},`);
  const headers = {};
  if (request.deadline_ms) headers["X-Rerank-Deadline-Ms"] = String(request.deadline_ms);
  if (!partial) headers["X-Rerank-Partial"] = "false";
  const more = {};
  if (Object.keys(headers).length) more.additional_headers = headers;
  if (request.deadline_ms) more.timeout_in_seconds = timeout(request);
  const fusion = firstStage(request);
  if (Object.keys(fusion).length) more.additional_body_parameters = fusion;
  if (Object.keys(more).length) spelled.push(`    request_options=${literal(more, 1)},`);
  return [
    ...(keyed ? ["import os", ""] : []),
    "import cohere",
    "",
    "client = cohere.ClientV2(",
    `    api_key=${keyed ? `os.environ["${VARIABLE}"]` : '"none-needed"'},`,
    `    base_url=${JSON.stringify(origin)},`,
    ")",
    "response = client.rerank(",
    ...lacks("Cohere", { class: request.class }).map((line) => `    ${line}`),
    ...spelled,
    ")",
    "for result in response.results:",
    "    print(result.index, result.relevance_score)",
  ].join("\n");
}

/** Without a deadline of its own a request has the fleet's or its key's, which nothing here knows. */
const timeout = (request) => (request.deadline_ms ? Math.ceil(request.deadline_ms / 1000) + 5 : "None");

/** For a POSIX shell: nothing is special between single quotes but a single quote. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const indented = (code) => code.replaceAll("\n", "\n    ");

/** A JSON value as Python writes it: JSON's strings are Python's, lone surrogates are not text in either. */
function literal(value, depth) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value) && value.every((each) => each === null || typeof each === "number")) return `[${value.map((each) => literal(each, depth)).join(", ")}]`;
  const pad = "    ".repeat(depth + 1);
  const [open, close, items] = Array.isArray(value)
    ? ["[", "]", value.map((each) => literal(each, depth + 1))]
    : ["{", "}", Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${literal(each, depth + 1)}`)];
  if (!items.length) return open + close;
  if (!Array.isArray(value) && depth > 0) return `${open}${items.join(", ")}${close}`;
  return `${open}\n${items.map((item) => `${pad}${item},\n`).join("")}${"    ".repeat(depth)}${close}`;
}
