/** Frames around the cells of the matrix, in the gaps between them. */

export const GAP = 8; // pixels between cells

const WIDTH = 3; // pixels of a frame
const OUTER_WIDTH = GAP - 2 * WIDTH; // of a frame around a frame: the rest is the neighbour's

/** Frames a cell `[left, top, width, height]`: in red if the prediction is wrong, and in blue if it is selected. */
export function frameCell(pixels, cell, { wrong, selected }, colorOf) {
  if (wrong) {
    stroke(pixels, cell, colorOf("--wrong"), 0, WIDTH);
    stroke(pixels, cell, colorOf("--ground"), -1, 1); // so that the red stands out from a hot map
  }
  if (selected) stroke(pixels, cell, colorOf("--accent"), wrong ? WIDTH : 0, wrong ? OUTER_WIDTH : WIDTH);
}

/** A frame of `lineWidth` pixels, `distance` pixels from the cell. */
function stroke(pixels, [left, top, width, height], color, distance, lineWidth) {
  const off = distance + lineWidth / 2;
  pixels.strokeStyle = color;
  pixels.lineWidth = lineWidth;
  pixels.strokeRect(left - off, top - off, width + 2 * off, height + 2 * off);
}
