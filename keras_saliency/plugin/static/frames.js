/** Frames around the cells of the matrix, in the gaps between them. */

export const GAP = 8; // pixels between cells

const WIDE = 3; // pixels of a frame
const SECOND = GAP - 2 * WIDE; // of one around a frame: the rest is the neighbour's

/** Frames a cell `[left, top, width, height]`: of what is wrong in red, of what is chosen in blue around it. */
export function frameCell(pixels, cell, { wrong, chosen }, colorOf) {
  if (wrong) {
    stroke(pixels, cell, colorOf("--wrong"), 0, WIDE);
    stroke(pixels, cell, colorOf("--ground"), -1, 1); // so that the red stands out from a hot map
  }
  if (chosen) stroke(pixels, cell, colorOf("--accent"), wrong ? WIDE : 0, wrong ? SECOND : WIDE);
}

/** A frame of `wide` pixels, `away` from the cell. */
function stroke(pixels, [left, top, width, height], color, away, wide) {
  const off = away + wide / 2;
  pixels.strokeStyle = color;
  pixels.lineWidth = wide;
  pixels.strokeRect(left - off, top - off, width + 2 * off, height + 2 * off);
}
