// Rows that change places: they glide from the old one to the new one.

const GLIDE_MS = 240;
/** More rows change places at once: nobody follows so many, and each costs a measurement. */
const MOST = 60;

/** Run `change`, which reorders the items of a list. Who asked for no motion sees the new order at once. */
export function glide(list, change) {
  const moves = list.children.length <= MOST && !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const old = new Map(moves ? [...list.children].map((item) => [item, item.getBoundingClientRect().top]) : []);
  for (const item of old.keys()) for (const motion of motions(item)) motion.cancel();
  change();
  for (const item of list.children) {
    if (!old.has(item)) continue;
    const way = old.get(item) - item.getBoundingClientRect().top;
    if (way) item.animate([{ transform: `translateY(${way}px)` }, { transform: "none" }], { id: "glide", duration: GLIDE_MS, easing: "ease-out" });
  }
}

const motions = (item) => item.getAnimations().filter((motion) => motion.id === "glide");
