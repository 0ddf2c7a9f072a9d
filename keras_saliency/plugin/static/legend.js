/** What the colors mean: a color bar with the values at its ends. */

import { el } from "./dom.js";
import { number } from "./format.js";

const OWNERS = { epoch: "each map's", probe: "each probe's" };

/** The legend of the maps that are shown; `update()`. */
export function createLegend(context) {
  const canvas = el("canvas", { height: 1, "aria-hidden": "true" });
  const [least, most] = [el("span"), el("span")];
  return {
    element: el("span", { class: "legend", "data-testid": "legend" }, least, canvas, most),
    update() {
      const { clips, log, method, scale } = context;
      const name = clips ? log.header.clip : "peak";
      const owner = OWNERS[scale];
      const end = owner ? `${owner} ${name}` : number(log.limit(method, context.step, 0, scale, clips));
      least.textContent = log.signed(method) ? "−" : "0";
      most.textContent = log.signed(method) ? `+ ${end}` : end;
      paintColors(canvas, context.colors(log, method));
    },
  };
}

function paintColors(canvas, colors) {
  const count = colors.length / 3;
  const image = new ImageData(count, 1);
  for (let code = 0; code < count; code++) {
    image.data.set(colors.subarray(3 * code, 3 * code + 3), 4 * code);
    image.data[4 * code + 3] = 255;
  }
  canvas.width = count;
  canvas.getContext("2d").putImageData(image, 0, 0);
}
