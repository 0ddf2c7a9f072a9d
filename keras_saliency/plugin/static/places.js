/** Which place of a map is at a point of its picture, and what it is called. */

/** The index of the place of a map at a point, in C order; -1 if there is none. `across` and `down` are 0..1. */
export function placeAt(cell, across, down) {
  const [height, width] = cell.places ? [cell.pictureHeight, cell.pictureWidth] : [cell.height, cell.width];
  const at = (share, size) => Math.min(Math.max(Math.floor(share * size), 0), size - 1);
  const pixel = at(down, height) * width + at(across, width);
  return cell.places ? cell.places[pixel] : pixel;
}

/** The name of a place, if it is a feature with a name; of several that share a bar, the first and the last. Else "". */
export function placeName(log, maps, place) {
  const names = log.header.feature_names;
  if (!Array.isArray(names) || place < 0) return "";
  const block = Math.ceil(names.length / maps.shape.at(-1));
  const [first, last] = [names[block * place], names[Math.min(block * (place + 1), names.length) - 1]];
  return first === last ? first ?? "" : `${first} … ${last}`;
}
