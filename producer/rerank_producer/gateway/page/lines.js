// The lines from each document's old place to its new one; drawn anew whenever rows change their height.
import { put, svg } from "./dom.js";

/** Draw them, and return what draws them again where rows have changed places. */
export function drawLines(place, before, after) {
  let drawn = false;
  const draw = () => {
    const [width, height] = [place.clientWidth, place.clientHeight];
    if (!width || !height) return put(place);
    const top = place.getBoundingClientRect().top;
    const from = new Map([...before.children].map((row) => [row.dataset.index, middle(row, top)]));
    const paths = [...after.children]
      .filter((row) => from.has(row.dataset.index))
      .map((row) => svg("path", {
        "data-index": row.dataset.index,
        "data-moved": row.dataset.moved,
        class: row.classList.contains("unscored") ? "unscored" : null,
        d: curve(from.get(row.dataset.index), middle(row, top), width),
        pathLength: 1,
      }));
    // The lines grow once; those that only follow a row that grew are there at once.
    const stay = (event) => event.currentTarget.classList.remove("first");
    put(place, svg("svg", { class: drawn ? null : "first", animationend: stay, viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, paths));
    drawn = true;
  };
  const watch = new ResizeObserver(() => (place.isConnected ? draw() : watch.disconnect()));
  for (const each of [place, before, after]) watch.observe(each);
  return draw;
}

function middle(row, top) {
  const box = row.getBoundingClientRect();
  return box.top - top + Math.min(box.height, 46) / 2;
}

const curve = (y0, y1, width) => {
  const bend = width * 0.55;
  return `M0 ${y0.toFixed(1)}C${bend.toFixed(1)} ${y0.toFixed(1)} ${(width - bend).toFixed(1)} ${y1.toFixed(1)} ${width} ${y1.toFixed(1)}`;
};
