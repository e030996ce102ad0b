// One photo, decomposed: the network once at its own size, the layers at any size from what it said.

import { exposureGain } from "./exposure.js";
import { STRIP_PIXELS } from "./model.js";
import { free } from "./picture.js";
import { fitted, padded, resample, workingSize } from "./resample.js";

const PREVIEW_SIDE = 1280;
const PERCENTILE = 99.9;
// Floats that are not negative sort like their bits; so many of them make a bin that is 5e-4 of its value wide.
const BIN_BITS = 12;

export class Decomposition {
  constructor(model, picture, name) {
    Object.assign(this, { model, picture, name, scale: null });
  }

  /** Gives its memory back. What still works on it ends with an error. */
  free() {
    this.picture.free();
    for (const layer of ["image", "albedo", "shading"]) free(this.preview?.[layer]);
  }

  /** Reads the picture once, for network and preview. Sets `low`, `gain`, `preview.image`. */
  async measure(resolution) {
    const { picture, model } = this;
    const low = workingSize(picture.height, picture.width, resolution);
    const preview = fitted(picture.height, picture.width, PREVIEW_SIDE);
    await picture.open();
    let sizes;
    try {
      sizes = resample(picture, [low, preview]);
    } finally {
      picture.close();
    }
    const [image, shown] = sizes;
    this.gain = exposureGain(image, model.manifest.tone_map);
    this.low = { ...image, data: image.data.map((value) => value * this.gain) };
    this.preview = { height: shown.height, width: shown.width, image: shown.data };
  }

  /** Runs network and upsampler. Sets `maps` and the preview's layers. */
  async solve() {
    const { low, model, preview } = this;
    const albedo = await model.albedo(padded(low));
    const dims = [1, 3, low.height, low.width];
    const guide = { data: low.data, dims };
    this.maps = { ...(await model.run("low_shading", { albedo, guide })), guide };
    for (const layer of ["albedo", "shading"]) preview[layer] = new Float32Array(preview.image.length);
    const area = preview.height * preview.width;
    const rows = Math.max(1, Math.floor(STRIP_PIXELS / preview.width));
    for (let top = 0; top < preview.height; top += rows) {
      const count = Math.min(rows, preview.height - top);
      const [from, length] = [top * preview.width, count * preview.width];
      const image = new Float32Array(3 * length);
      for (let c = 0; c < 3; c++)
        image.set(preview.image.subarray(c * area + from, c * area + from + length), c * length);
      const layers = await this.#layers(image, top, count, preview);
      for (const layer of ["albedo", "shading"])
        for (let c = 0; c < 3; c++)
          preview[layer].set(layers[layer].subarray(c * length, (c + 1) * length), c * area + from);
    }
    // The layers' product from here on.
    free(preview.image);
    delete preview.image;
  }

  /** Rows of the photo at full size, top to bottom: {top, rows, albedo, shading}, three planes each. */
  async *strips() {
    const { picture } = this;
    const most = Math.max(1, Math.floor(STRIP_PIXELS / picture.width));
    await picture.open();
    try {
      for (let top = 0; top < picture.height; top += most) {
        const rows = Math.min(most, picture.height - top);
        const image = new Float32Array(3 * rows * picture.width);
        picture.linearPlanes(top, rows, image);
        yield { top, rows, ...(await this.#layers(image, top, rows, picture)) };
      }
    } finally {
      picture.close();
    }
  }

  /** The factor that stands for white in an 8-bit shading: the 99.9th percentile of the largest channel, at full size. */
  async shadingScale(onStrip = () => {}) {
    if (this.scale !== null) return this.scale;
    const counts = new Uint32Array(1 << (32 - BIN_BITS));
    let light = false;
    for await (const { top, rows, albedo, shading } of this.strips()) {
      onStrip((top + rows) / this.picture.height);
      light ||= albedo.some((value) => value !== 0);
      const area = shading.length / 3;
      const most = new Float32Array(area);
      for (let i = 0; i < area; i++) most[i] = Math.max(shading[i], shading[area + i], shading[2 * area + i]);
      for (const bits of new Uint32Array(most.buffer)) counts[bits >>> BIN_BITS]++;
    }
    this.scale = light ? percentile(counts, this.picture.width * this.picture.height) : 1;
    return this.scale;
  }

  /** image: three planes, linear; rows top.. of a whole {height, width}. The product is the image: runtime/decomposition/product.py. */
  async #layers(image, top, rows, { height, width }) {
    const { gain, model } = this;
    const exposed = image.map((value) => value * gain);
    const { shading } = await model.run("upsampler", {
      ...this.maps,
      image: { data: exposed, dims: [1, 3, rows, width] },
      rows: { data: Float32Array.of(top, height), dims: [2] },
    });
    const light = new Float32Array(image.length);
    const albedo = exposed;
    for (let i = 0; i < image.length; i++) {
      light[i] = Math.max(shading.data[i] / gain, image[i], 1.1754944e-38);
      albedo[i] = Math.min(image[i] / light[i], 1);
    }
    return { albedo, shading: light };
  }
}

/** From counts of floats by their highest bits, interpolated inside a bin. */
function percentile(counts, total) {
  const rank = (PERCENTILE / 100) * (total - 1);
  const edge = (bin) => new Float32Array(Uint32Array.of(bin << BIN_BITS).buffer)[0];
  let below = 0;
  for (let bin = 0; bin < counts.length; bin++) {
    if (below + counts[bin] > rank) {
      const [low, high] = [edge(bin), edge(bin + 1)];
      return low + ((rank - below + 0.5) / counts[bin]) * (high - low);
    }
    below += counts[bin];
  }
  return 1;
}
