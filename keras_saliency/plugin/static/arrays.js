/** Arrays of a log: .npy files (version 1.0, C order, `|u1` or `<i4`), compressed by zlib. */

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]; // \x93NUMPY, version 1.0

/** The array in a buffer: `{shape, data}`, `data` a Uint8Array or Int32Array in C order. */
export async function decode(buffer) {
  return parse(await inflate(buffer));
}

/** The same array's items along its first axis, without a copy. */
export function item(array, index) {
  const size = array.data.length / (array.shape[0] || 1);
  return array.data.subarray(index * size, (index + 1) * size);
}

async function inflate(buffer) {
  const stream = new Blob([buffer]).stream().pipeThrough(new DecompressionStream("deflate"));
  try {
    return await new Response(stream).arrayBuffer();
  } catch {
    throw new Error("An array in this log is truncated or corrupted.");
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
