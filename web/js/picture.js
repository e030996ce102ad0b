// A visitor's file -> pixels. PNGs are read here, exactly; all else by the browser, whose pictures are 8-bit sRGB.

import { linearOfCodes } from "./color.js";
import * as png from "./png.js";

export const MOST_PIXELS = 64e6;
const STRIP = 256;
// In which a file says what it is and how large; a JPEG may put a profile and a thumbnail first.
const HEAD = 1 << 20;

/** Gives an array's memory back at once, where the browser can: a large one would wait for the garbage collector. */
export function free(array) {
  if (array?.length) array.buffer.transfer?.(0);
}

/** A message for the visitor, in one line. */
export class PictureError extends Error {}

/** Interleaved RGB codes of 8 or 16 bits, all of them or those of some rows, and alpha where there is some. */
export class Picture {
  constructor(width, height, levels, rows = height) {
    Object.assign(this, { width, height, levels, alpha: null, freed: false });
    this.table = linearOfCodes(levels);
    this.Array = levels > 255 ? Uint16Array : Uint8Array;
    this.codes = new this.Array(3 * width * rows);
  }

  /** Rows can be read until as many calls of `close`. */
  async open() {}
  close() {}

  /** Where the codes of row y begin. */
  at(y) {
    return 3 * y * this.width;
  }

  /** Row y as linear light, interleaved, into `row`; the part of a row from column `left` on. */
  linearRow(y, row, left = 0) {
    const from = this.at(y) + 3 * left;
    const { codes, table } = this;
    for (let i = 0; i < row.length; i++) row[i] = table[codes[from + i]];
  }

  /** Rows as three planes of linear light, times a gain, into `planes` (3 * rows * width). */
  linearPlanes(top, rows, planes, gain = 1) {
    const area = rows * this.width;
    const { width, table } = this;
    for (let y = 0, i = 0; y < rows; y++) {
      let from = this.at(top + y);
      const { codes } = this;
      for (let x = 0; x < width; x++, i++) {
        planes[i] = table[codes[from++]] * gain;
        planes[area + i] = table[codes[from++]] * gain;
        planes[2 * area + i] = table[codes[from++]] * gain;
      }
    }
  }

  free() {
    this.freed = true;
    free(this.codes);
    free(this.alpha);
  }

  /** alpha: codes of a row; kept from the first row on that is not opaque. */
  keepAlpha(y, values) {
    if (!this.alpha) {
      if (values.every((value) => value === this.levels)) return;
      this.alpha = new this.Array(this.width * this.height).fill(this.levels);
    }
    this.alpha.set(values, y * this.width);
  }
}

/** A picture that the browser decodes, anew each time that it is opened: between, its file alone is in memory. */
class DecodedPicture extends Picture {
  constructor(blob, bitmap) {
    super(bitmap.width, bitmap.height, 255, Math.min(STRIP, bitmap.height));
    Object.assign(this, { blob, bitmap: Promise.resolve(bitmap), users: 0, first: -1, seen: 0 });
    const canvas = new OffscreenCanvas(this.width, Math.min(STRIP, this.height));
    this.context = canvas.getContext("2d", { willReadFrequently: true });
  }

  async open() {
    this.users++;
    this.bitmap ??= decode(this.blob);
    try {
      this.decoded = await this.bitmap;
    } catch (error) {
      this.users--;
      this.bitmap = null;
      throw error;
    }
  }

  close() {
    if (--this.users === 0) this.#release();
  }

  free() {
    super.free();
    if (!this.users) this.#release();
  }

  #release() {
    this.bitmap?.then((bitmap) => bitmap.close());
    this.bitmap = this.decoded = null;
    this.first = -1;
  }

  at(y) {
    const first = y - (y % STRIP);
    if (first !== this.first) this.#read(first);
    return 3 * (y - first) * this.width;
  }

  #read(top) {
    const { width, codes, context } = this;
    const rows = Math.min(STRIP, this.height - top);
    context.clearRect(0, 0, width, rows);
    context.drawImage(this.decoded, 0, top, width, rows, 0, 0, width, rows);
    const { data } = context.getImageData(0, 0, width, rows);
    for (let from = 0, to = 0; from < data.length; from += 4) {
      codes[to++] = data[from];
      codes[to++] = data[from + 1];
      codes[to++] = data[from + 2];
    }
    // Every row is read in order the first time.
    const alpha = top >= this.seen ? new Uint8Array(width) : null;
    for (let y = 0; alpha && y < rows; y++) {
      for (let x = 0; x < width; x++) alpha[x] = data[4 * (y * width + x) + 3];
      this.keepAlpha(top + y, alpha);
    }
    this.seen = Math.max(this.seen, top + rows);
    this.first = top;
    free(data);
  }
}

const decode = (blob) => createImageBitmap(blob, { imageOrientation: "from-image" });

/** Reads a File or Blob. name: for messages. Throws PictureError. */
export async function readPicture(file, name) {
  const fail = (found, expected) => {
    throw new PictureError(`${name}: found ${found}, expected ${expected}`);
  };
  if (file.size === 0) fail("an empty file", "a picture");
  let bytes = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  const limit = (width, height) => {
    if (width * height > MOST_PIXELS)
      fail(`${width} x ${height} pixels`, `at most ${MOST_PIXELS / 1e6} megapixels, what fits a tab's memory`);
  };
  const kind = kindOf(bytes);
  const size = storedSize(bytes);
  if (size) limit(...size);
  if (png.isPng(bytes)) {
    try {
      bytes = new Uint8Array(await file.arrayBuffer());
      const header = png.readHeader(bytes);
      if (header.width && header.height && png.isPlain(header)) return await readPng(header);
    } catch (error) {
      fail(...error.message.replace(/^found /, "").split(", expected "));
    }
  }
  free(bytes);
  let bitmap;
  let blob;
  try {
    // The file may change or go while the page has it.
    const content = new Uint8Array(await file.arrayBuffer());
    blob = new Blob([content], { type: file.type });
    free(content);
    bitmap = await decode(blob);
  } catch {
    if (kind === "HEIC") fail("a HEIC file, which this browser does not open", "JPEG, PNG, WebP or AVIF");
    if (kind === "EXR" || kind === "TIFF" || kind === "raw")
      fail(`${kind === "EXR" ? "an" : "a"} ${kind} file`, "a photo; the command line reads these");
    fail(kind ? `a damaged ${kind} file` : "no picture", "JPEG, PNG, WebP or AVIF");
  }
  try {
    limit(bitmap.width, bitmap.height);
  } catch (error) {
    bitmap.close();
    throw error;
  }
  return new DecodedPicture(blob, bitmap);
}

async function readPng(header) {
  const { width, height, depth, type } = header;
  const picture = new Picture(width, height, depth === 16 ? 65535 : 255);
  const channels = { 0: 1, 2: 3, 4: 2, 6: 4 }[type];
  const [green, blue] = type & 2 ? [1, 2] : [0, 0];
  const alpha = type & 4 ? new picture.Array(width) : null;
  await png.readRows(header, (y, samples) => {
    const value = depth === 16 ? (i) => (samples[2 * i] << 8) | samples[2 * i + 1] : (i) => samples[i];
    for (let x = 0, from = 0, to = 3 * y * width; x < width; x++, from += channels) {
      picture.codes[to++] = value(from);
      picture.codes[to++] = value(from + green);
      picture.codes[to++] = value(from + blue);
      if (alpha) alpha[x] = value(from + channels - 1);
    }
    if (alpha) picture.keepAlpha(y, alpha);
  });
  return picture;
}

/** What the file's first bytes say it is, "" where they say nothing. */
function kindOf(bytes) {
  const text = String.fromCharCode(...bytes.subarray(0, 64));
  const brand = text.slice(4, 8) === "ftyp" ? text.slice(8, 32) : "";
  if (brand) return /avi[fs]/.test(brand) ? "AVIF" : /hei|hev|mif1|msf1/.test(brand) ? "HEIC" : "";
  if (png.isPng(bytes)) return "PNG";
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return "JPEG";
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return "WebP";
  if (text.startsWith("GIF8")) return "GIF";
  if (text.startsWith("\x76\x2f\x31\x01")) return "EXR";
  if (text.startsWith("FUJIFILM") || text.slice(8, 10) === "CR") return "raw";
  if (text.startsWith("II*\0") || text.startsWith("MM\0*")) return "TIFF";
  return "";
}

/** [width, height] as a PNG's or JPEG's header states them, before anything is decoded; null elsewhere. */
function storedSize(bytes) {
  const word = (at) => (bytes[at] << 8) | bytes[at + 1];
  if (png.isPng(bytes)) return bytes.length < 24 ? null : [word(16) * 65536 + word(18), word(20) * 65536 + word(22)];
  if (word(0) !== 0xffd8) return null;
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff; ) {
    const marker = bytes[at + 1];
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) return [word(at + 7), word(at + 5)];
    at += marker === 0xff ? 1 : 2 + word(at + 2);
  }
  return null;
}
