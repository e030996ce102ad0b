// OpenEXR, written: scan lines, ZIP, float32, linear light. https://openexr.com/en/latest/OpenEXRFileLayout.html

const ROWS = 16;
const CHROMATICITIES = [0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329];

/** Takes strips of rows from top to bottom; `finish()` gives the Blob. What is compressed leaves the tab's memory. */
export class ExrWriter {
  constructor(width, height, { alpha = false } = {}) {
    this.size = { width, height };
    this.names = alpha ? ["A", "B", "G", "R"] : ["B", "G", "R"];
    this.blocks = [];
    this.lengths = [];
    this.y = 0;
    this.buffered = 0;
    this.raw = new Uint8Array(ROWS * width * 4 * this.names.length);
  }

  /** planes: by channel name, a Float32Array of `rows` whole rows. */
  async write(planes, rows) {
    const { width } = this.size;
    for (let y = 0; y < rows; y++) {
      for (const name of this.names) {
        const line = planes[name].slice(y * width, (y + 1) * width);
        this.raw.set(new Uint8Array(line.buffer), this.buffered);
        this.buffered += 4 * width;
      }
      this.y++;
      if (this.y % ROWS === 0 || this.y === this.size.height) await this.#flush();
    }
  }

  async #flush() {
    const raw = this.raw.subarray(0, this.buffered);
    const top = this.y - ((this.y - 1) % ROWS) - 1;
    let data = await deflate(predicted(raw));
    if (data.length >= raw.length) data = raw.slice();
    const head = new Uint8Array(8);
    const view = new DataView(head.buffer);
    view.setInt32(0, top, true);
    view.setInt32(4, data.length, true);
    this.blocks.push(new Blob([head, data]));
    this.lengths.push(8 + data.length);
    this.buffered = 0;
  }

  async finish() {
    const header = this.#header();
    const table = new DataView(new ArrayBuffer(8 * this.lengths.length));
    let at = header.length + table.byteLength;
    this.lengths.forEach((length, i) => {
      table.setBigUint64(8 * i, BigInt(at), true);
      at += length;
    });
    return new Blob([header, table, ...this.blocks], { type: "image/x-exr" });
  }

  #header() {
    const { width, height } = this.size;
    const bytes = [0x76, 0x2f, 0x31, 0x01, 2, 0, 0, 0];
    const text = (value) => [...[...value].map((letter) => letter.charCodeAt(0)), 0];
    const numbers = (kind, ...values) => {
      const view = new DataView(new ArrayBuffer(4 * values.length));
      values.forEach((value, i) => view[kind](4 * i, value, true));
      return [...new Uint8Array(view.buffer)];
    };
    const int = (...values) => numbers("setInt32", ...values);
    const float = (...values) => numbers("setFloat32", ...values);
    const attribute = (name, type, value) => bytes.push(...text(name), ...text(type), ...int(value.length), ...value);
    const channels = this.names.flatMap((name) => [...text(name), ...int(2), 0, 0, 0, 0, ...int(1, 1)]);
    const window = int(0, 0, width - 1, height - 1);
    attribute("channels", "chlist", [...channels, 0]);
    attribute("chromaticities", "chromaticities", float(...CHROMATICITIES));
    attribute("compression", "compression", [3]);
    attribute("dataWindow", "box2i", window);
    attribute("displayWindow", "box2i", window);
    attribute("lineOrder", "lineOrder", [0]);
    attribute("pixelAspectRatio", "float", float(1));
    attribute("screenWindowCenter", "v2f", float(0, 0));
    attribute("screenWindowWidth", "float", float(1));
    return new Uint8Array([...bytes, 0]);
  }
}

/** OpenEXR's own preparation: even bytes, then odd ones, each as its difference to the one before. */
function predicted(raw) {
  const out = new Uint8Array(raw.length);
  const middle = (raw.length + 1) >> 1;
  for (let i = 0; i < raw.length; i++) out[(i >> 1) + (i & 1 ? middle : 0)] = raw[i];
  for (let i = out.length - 1; i > 0; i--) out[i] = out[i] - out[i - 1] + 128;
  return out;
}

async function deflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
