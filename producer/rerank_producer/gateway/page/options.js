// The options of the form as the fields of a request, and a pasted request's fields as options.
import { hasScore } from "./candidates.js";
import { $ } from "./dom.js";

const NUMBERS = [["top-n", "top_n"], ["deadline", "deadline_ms"], ["max-length", "max_length"]];
const FUSION_NUMBERS = [["fusion-weight", "fusion_weight"], ["fusion-ratio", "fusion_ratio"]];

/** Return the fields that the form asks for; those of fusion only where there is a first stage to fuse with. */
export function readOptions(documents) {
  const found = numbers(NUMBERS);
  if ($("class").value) found.class = $("class").value;
  const method = $("fusion").value;
  if (method !== "rrf" && !documents.some(hasScore)) return found;
  if (method) found.fusion = method;
  if (method === "none") return found;
  Object.assign(found, numbers(FUSION_NUMBERS));
  if (method && method !== "weighted") delete found.fusion_ratio;
  if ($("first-stage").value.trim()) found.first_stage = $("first-stage").value.trim();
  if ($("ascending").checked) found.first_stage_order = "ascending";
  return found;
}

/** The method that is asked for, where no candidate has the score that it needs; else nothing. */
export function methodWithoutScores(documents) {
  const method = $("fusion").value;
  return ["weighted", "zscore"].includes(method) && !documents.some(hasScore) ? method : "";
}

/** Fill in what a request says of first-stage scores; what it does not say is left to the fleet. */
export function writeFusion({ fusion, fusion_weight: weight, fusion_ratio: ratio, first_stage: name, first_stage_order: order } = {}) {
  $("fusion").value = fusion ?? "";
  $("fusion-weight").value = weight ?? "";
  $("fusion-ratio").value = ratio ?? "";
  $("first-stage").value = name ?? "";
  $("ascending").checked = order === "ascending";
}

/** Fill in a weight, unless it was typed there: what is being typed is not spelled anew. */
export function writeWeight(weight) {
  const field = $("fusion-weight");
  if (field.value === "" || Number(field.value) !== weight) field.value = weight;
}

/** Whether the fleet may fuse: the request asks for it, or has the scores and leaves it to the settings. */
export const mayFuse = (request) => request.fusion === "rrf" || (request.fusion !== "none" && request.documents.some(hasScore));

function numbers(fields) {
  const found = {};
  for (const [id, name] of fields) {
    const value = Number($(id).value);
    if ($(id).value !== "" && Number.isFinite(value)) found[name] = value;
  }
  return found;
}
