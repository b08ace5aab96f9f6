// Starts the page.
import { $ } from "./dom.js";
import { startFleet } from "./fleet.js";
import { startKey } from "./key.js";
import { setModel, startPlay } from "./play.js";

$("origin").textContent = new URL(".", location.href).href.replace(/\/$/, "");
startKey();
startPlay();
startFleet(setModel);
