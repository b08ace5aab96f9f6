// A small line of the last two minutes. What was not known is a gap.
import { svg } from "./dom.js";

const POINTS = 120;
/** Fewer are no line yet, only a dot. */
const LEAST = 4;
const [WIDTH, HEIGHT] = [120, 26];

export class Series {
  #values = [];

  add(value) {
    this.#values.push(value);
    if (this.#values.length > POINTS) this.#values.shift();
  }

  /** Draw from zero to `most`, or to the highest value. */
  draw(most = 0) {
    const values = this.#values;
    const high = Math.max(most, ...values.filter((value) => value !== null)) || 1;
    const x = (at) => (1 + (at * (WIDTH - 3)) / (POINTS - 1)).toFixed(1);
    const y = (value) => (HEIGHT - 1.5 - (value / high) * (HEIGHT - 4)).toFixed(1);
    let path = "";
    values.forEach((value, at) => {
      if (value === null) return;
      path += `${at && values[at - 1] !== null ? "L" : "M"}${x(at)} ${y(value)}`;
    });
    const begun = values.length >= LEAST;
    const last = begun ? values.at(-1) : null;
    return svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("path", { class: "floor", d: `M0 ${HEIGHT - 1.5}H${WIDTH}` }),
      svg("path", { d: (begun && path) || "M0 0" }),
      last !== null && last !== undefined && svg("path", { class: "now", d: `M${x(values.length - 1)} ${y(last)}h0` }));
  }
}
