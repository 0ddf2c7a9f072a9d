/** Arrays of a log: .npy files (version 1.0, C order, `|u1` or `<i4`), compressed by zlib. */

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]; // \x93NUMPY, version 1.0

export const MOST_BYTES = 2 ** 30; // the largest size of any array
export const MAX_PICTURE_SIDE = 4096;
const MAX_HEADER = 65545; // the largest size of what stands before the data of a .npy file

/**
 * The array in a buffer: `{shape, data}`, `data` a Uint8Array or Int32Array in C order.
 *
 * @param most the largest size of the data in bytes; no more than that is decompressed.
 */
export async function decode(buffer, most) {
  return parse(await inflate(buffer, most + MAX_HEADER));
}

/** The same array's items along its first axis, without a copy. */
export function item(array, index) {
  const size = array.data.length / (array.shape[0] || 1);
  return array.data.subarray(index * size, (index + 1) * size);
}

async function inflate(buffer, most) {
  const stream = new Blob([buffer]).stream().pipeThrough(new DecompressionStream("deflate"));
  const reader = stream.getReader();
  const pieces = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new Error("An array in this log is truncated or corrupted.");
    });
    if (done) return new Blob(pieces).arrayBuffer();
    size += value.length;
    if (size > most) {
      reader.cancel().catch(() => {});
      throw new Error("An array in this log is larger than its probes allow.");
    }
    pieces.push(value);
  }
}

function parse(file) {
  const bytes = new Uint8Array(file);
  if (bytes.length < 10 || MAGIC.some((byte, index) => bytes[index] !== byte)) {
    throw new Error("An array in this log is not a .npy file of version 1.0.");
  }
  const start = 10 + bytes[8] + 256 * bytes[9];
  const header = new TextDecoder("latin1").decode(bytes.subarray(10, start));
  const type = /'descr':\s*'(\|u1|<i4)'/.exec(header)?.[1];
  const shape = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  if (!type || shape === undefined || !/'fortran_order':\s*False/.test(header)) {
    throw new Error("An array in this log has a data type or a layout that this page can't read.");
  }
  const sizes = shape.split(",").filter((text) => text.trim()).map(Number);
  const itemSize = type === "<i4" ? 4 : 1;
  const expected = sizes.reduce((product, size) => product * size, itemSize);
  if (bytes.length - start !== expected) {
    const found = Math.max(0, bytes.length - start);
    throw new Error(`An array in this log has ${found} bytes, but its shape needs ${expected}.`);
  }
  const data = itemSize === 4 ? new Int32Array(file.slice(start)) : bytes.subarray(start);
  return { shape: sizes, data };
}
