// PNG (W3C, third edition), read and written row by row: 16 bits and colours under alpha stay what they are, which a
// canvas would lose, and a large picture is never whole in memory a second time.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc(bytes, value = 0xffffffff) {
  for (let i = 0; i < bytes.length; i++) value = CRC_TABLE[(value ^ bytes[i]) & 255] ^ (value >>> 8);
  return value;
}

export const isPng = (bytes) => SIGNATURE.every((value, i) => bytes[i] === value);

/** {width, height, depth, type, interlaced, chunks: Map of name -> arrays of bytes}. Throws Error in one line. */
export function readHeader(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks = new Map();
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (at + 12 + length > bytes.length) break;
    chunks.set(name, [...(chunks.get(name) ?? []), bytes.subarray(at + 8, at + 8 + length)]);
    at += 12 + length;
    if (name === "IEND") break;
  }
  const head = chunks.get("IHDR")?.[0];
  if (!head || head.length !== 13) throw new Error("found a damaged PNG, expected a complete one");
  const fields = new DataView(head.buffer, head.byteOffset, 13);
  return {
    width: fields.getUint32(0),
    height: fields.getUint32(4),
    depth: head[8],
    type: head[9],
    interlaced: head[12] !== 0,
    chunks,
  };
}

/** Whether `readRows` reads it: grey or RGB, with alpha or without, 8 or 16 bits, whose colours are sRGB. */
export function isPlain({ depth, type, interlaced, chunks }) {
  const tagged = ["iCCP", "cICP", "gAMA", "tRNS", "acTL", "eXIf"].some((name) => chunks.has(name) && !chunks.has("sRGB"));
  const special = ["tRNS", "acTL", "eXIf", "cICP"].some((name) => chunks.has(name));
  return [0, 2, 4, 6].includes(type) && (depth === 8 || depth === 16) && !interlaced && !tagged && !special;
}

/** Calls `onRow(y, samples)` for every row; samples: bytes as stored, unfiltered, valid during the call. */
export async function readRows({ width, height, depth, type, chunks }, onRow) {
  const step = ({ 0: 1, 2: 3, 4: 2, 6: 4 }[type] * depth) / 8;
  const stride = 1 + width * step;
  let [row, before] = [new Uint8Array(stride), new Uint8Array(stride)];
  let [filled, y] = [0, 0];
  const source = new Blob(chunks.get("IDAT") ?? []).stream().pipeThrough(new DecompressionStream("deflate"));
  const reader = source.getReader();
  try {
    while (y < height) {
      const { done, value } = await reader.read();
      if (done) break;
      for (let at = 0; at < value.length && y < height; ) {
        const count = Math.min(stride - filled, value.length - at);
        row.set(value.subarray(at, at + count), filled);
        filled += count;
        at += count;
        if (filled < stride) continue;
        unfilter(row, before, step);
        onRow(y++, row.subarray(1));
        [row, before, filled] = [before, row, 0];
      }
    }
  } catch {
    // A damaged stream ends early.
  }
  reader.cancel().catch(() => {});
  if (y < height) throw new Error(`found ${y} of ${height} rows, expected a complete picture`);
}

function paeth(a, b, c) {
  const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

function unfilter(row, before, step) {
  const kind = row[0];
  if (kind > 4) throw new Error("found an unknown filter");
  for (let i = 1; i < row.length; i++) {
    const left = i > step ? row[i - step] : 0;
    const corner = i > step ? before[i - step] : 0;
    if (kind === 1) row[i] += left;
    else if (kind === 2) row[i] += before[i];
    else if (kind === 3) row[i] += (left + before[i]) >> 1;
    else if (kind === 4) row[i] += paeth(left, before[i], corner);
  }
}

/** A chunk, ready to be a part of a Blob. */
function chunk(name, ...parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const head = new Uint8Array(8);
  new DataView(head.buffer).setUint32(0, length);
  head.set([...name].map((letter) => letter.charCodeAt(0)), 4);
  let check = crc(head.subarray(4));
  for (const part of parts) check = crc(part, check);
  const tail = new Uint8Array(4);
  new DataView(tail.buffer).setUint32(0, ~check >>> 0);
  return [head, ...parts, tail];
}

/**
 * Writes a PNG: RGB, or RGBA with `alpha`, of 8 or 16 bits. `write(row)` takes the samples' bytes, top to bottom;
 * `finish()` gives the Blob. What is compressed leaves the tab's memory.
 */
export class PngWriter {
  constructor(width, height, { depth = 8, alpha = false } = {}) {
    this.step = ((alpha ? 4 : 3) * depth) / 8;
    const head = new Uint8Array(13);
    const view = new DataView(head.buffer);
    view.setUint32(0, width);
    view.setUint32(4, height);
    head.set([depth, alpha ? 6 : 2], 8);
    this.parts = [new Uint8Array(SIGNATURE), ...chunk("IHDR", head), ...chunk("sRGB", new Uint8Array(1))];
    this.before = new Uint8Array(width * this.step);
    const { readable, writable } = new CompressionStream("deflate");
    this.writer = writable.getWriter();
    this.collected = this.#collect(readable);
  }

  async #collect(readable) {
    let [waiting, size] = [[], 0];
    const flush = () => {
      if (size) this.parts.push(new Blob(chunk("IDAT", ...waiting)));
      [waiting, size] = [[], 0];
    };
    for (const reader = readable.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      waiting.push(value);
      size += value.length;
      if (size > 1 << 22) flush();
    }
    flush();
  }

  /** samples: bytes of whole rows. */
  async write(samples) {
    const length = this.before.length;
    const out = new Uint8Array((samples.length / length) * (length + 1));
    for (let from = 0, to = 0; from < samples.length; from += length) {
      const row = samples.subarray(from, from + length);
      out[to++] = 4;
      for (let i = 0; i < length; i++) {
        const left = i >= this.step ? row[i - this.step] : 0;
        const corner = i >= this.step ? this.before[i - this.step] : 0;
        out[to++] = row[i] - paeth(left, this.before[i], corner);
      }
      this.before = row;
    }
    this.before = this.before.slice();
    await this.writer.write(out);
  }

  async finish() {
    await this.writer.close();
    await this.collected;
    return new Blob([...this.parts, ...chunk("IEND")], { type: "image/png" });
  }
}
