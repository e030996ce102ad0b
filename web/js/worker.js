// All work on pictures, beside the page's own thread. Messages in: {id, call, ...}; out: {id, result | error | event}.

import { parseColor, toSrgb } from "./color.js";
import { Decomposition } from "./decomposition.js";
import { isNeutral, lightLevel, recolourPreview, recolourStrip, relight, select } from "./editing.js";
import { ExrWriter } from "./exr.js";
import { hasAdapter, openModel } from "./model.js";
import { free, readPicture } from "./picture.js";
import { PngWriter } from "./png.js";

let opening = null;
let current = null;
let last = null;
let newest = 0;

const calls = { open, decompose, edit, save };

self.onmessage = async ({ data: { id, call, ...values } }) => {
  const tell = (event) => self.postMessage({ id, event });
  try {
    const { transfer = [], ...result } = (await calls[call](values, tell)) ?? {};
    self.postMessage({ id, result }, transfer);
  } catch (error) {
    const text = error instanceof RangeError ? "There is not enough memory for a picture of this size." : error.message;
    self.postMessage({ id, error: String(text ?? error), stale: error instanceof Stale });
  }
};

/** Another photo came while this one was at work. */
class Stale extends Error {}

async function open({ models, runtime, backend }) {
  const wanted = backend === "auto" ? ((await hasAdapter()) ? "webgpu" : "wasm") : backend;
  const threads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  const attempt = async (name) => {
    const model = await openModel(models, runtime, name, threads);
    // The first call is several times as slow as all that follow, and the browser's compiler takes as much memory during it
    // as a large photo: so it is over before one is read.
    const { data } = await model.albedo({ height: 256, width: 256, data: new Float32Array(3 * 256 * 256) });
    free(data);
    return model;
  };
  opening = attempt(wanted).catch((error) => {
    if (wanted === "wasm" || backend !== "auto") throw error;
    return attempt("wasm");
  });
  const model = await opening;
  return { backend: model.backend, threads: model.backend === "wasm" ? threads : 0, model: model.manifest.name };
}

async function decompose({ file, name, resolution }, tell) {
  const ticket = ++newest;
  const fresh = () => {
    if (ticket !== newest) throw new Stale("another photo came");
  };
  tell({ stage: "Opening the model" });
  await opening;
  fresh();
  // Its memory is needed for the next one.
  current?.free();
  current = null;
  selections = new Map();
  const shown = (photo) => self.postMessage({ id: undefined, photo }, [photo.bitmap]);
  try {
    const photo = await solved({ file, name, resolution }, fresh, tell, shown);
    current = photo;
    last = { file, name, resolution };
    const [albedo, shading] = await Promise.all([
      bitmap(photo.preview, photo.preview.albedo, 1),
      bitmap(photo.preview, photo.preview.shading, 1 / photo.white),
    ]);
    const { width, height, levels } = photo.picture;
    const { seconds, gain } = photo;
    return { albedo, shading, width, height, seconds, gain, depth: levels > 255 ? 16 : 8, transfer: [albedo, shading] };
  } catch (error) {
    // What is still shown can be edited and saved again.
    if (last && ticket === newest) current = await solved(last, fresh).catch(() => null);
    throw error;
  }
}

/** A photo with its layers. onShown: gets it at preview size before they are found. Throws Stale where `fresh` does. */
async function solved({ file, name, resolution }, fresh, tell = () => {}, onShown = null) {
  tell({ stage: "Reading the photo" });
  const picture = await readPicture(file, name);
  const photo = new Decomposition(await opening, picture, name);
  try {
    fresh();
    tell({ stage: "Finding the surfaces" });
    const start = performance.now();
    await photo.measure(resolution);
    if (onShown) onShown({ bitmap: await bitmap(photo.preview, photo.preview.image, 1), width: picture.width, height: picture.height });
    await photo.solve();
    fresh();
    photo.seconds = (performance.now() - start) / 1000;
    photo.level = lightLevel(photo.preview.shading);
    photo.white = whiteOf(photo.preview.shading);
    return photo;
  } catch (error) {
    photo.free();
    throw error;
  }
}

/** Shading that is shown as white: as in the files, from the preview. */
function whiteOf(shading) {
  const area = shading.length / 3;
  const most = new Float32Array(area);
  for (let i = 0; i < area; i++) most[i] = Math.max(shading[i], shading[area + i], shading[2 * area + i]);
  most.sort();
  return most[Math.floor(0.999 * (area - 1))] || 1;
}

let selections = new Map();

/** edits: [{x, y, color, tolerance, everywhere}] -> [{selection, color}]; surfaces are found once. */
function found(photo, edits) {
  if (selections.photo !== photo) selections = Object.assign(new Map(), { photo });
  return edits.map(({ x, y, color, tolerance, everywhere }) => {
    const key = [x, y, tolerance, everywhere].join();
    if (!selections.has(key)) {
      if (selections.size > 8) selections.clear();
      selections.set(key, select({ ...photo.preview }, { x, y, tolerance, everywhere }));
    }
    return { selection: selections.get(key), color: parseColor(color) };
  });
}

const lightOf = (light) => ({ ...light, tint: parseColor(light.tint) });

/** The edited photo at preview size, and how much of it the last surface is. */
async function edit({ edits, light }) {
  const photo = current;
  if (!photo) throw new Stale("no photo");
  const surfaces = found(photo, edits);
  const { preview } = photo;
  const lit = lightOf(light);
  const albedo = surfaces.length ? recolourPreview(preview.albedo, surfaces) : preview.albedo;
  const image = preview.shading.slice();
  if (!isNeutral(lit)) relight(image, lit, photo.level);
  for (let i = 0; i < image.length; i++) image[i] *= albedo[i];
  const view = await bitmap(preview, image, 1);
  free(image);
  if (albedo !== preview.albedo) free(albedo);
  const last = surfaces.at(-1)?.selection.weight;
  const share = last ? last.reduce((sum, value) => sum + value, 0) / last.length : 0;
  return { view, share, transfer: [view] };
}

/** layer: "albedo", "shading" or "edited"; format: "png", "exr" or "json". Returns {blob, name}. */
async function save({ layer, format, edits, light }, tell) {
  const photo = current;
  if (!photo) throw new Stale("no photo");
  const { picture } = photo;
  const { width, height, alpha } = picture;
  const stem = photo.name.replace(/\.[^.]*$/, "").slice(0, 60) || "photo";
  const name = `${stem}_${layer}.${format}`;
  const passes = layer === "shading" && format !== "exr" && photo.scale === null ? 2 : 1;
  const progress = (pass) => (part) => {
    if (current !== photo || picture.freed) throw new Stale("another photo came");
    tell({ progress: (pass + part) / passes });
  };
  const scale = layer === "shading" && format !== "exr" ? await photo.shadingScale(progress(0)) : 1;
  if (format === "json") return { name, blob: facts(photo, scale, picture) };
  const depth = picture.levels > 255 ? 16 : 8;
  const writer =
    format === "exr" ? new ExrWriter(width, height, { alpha: !!alpha }) : new PngWriter(width, height, { depth, alpha: !!alpha });
  const surfaces = layer === "edited" ? found(photo, edits) : [];
  const lit = layer === "edited" ? lightOf(light) : null;
  for await (const { top, rows, albedo, shading } of photo.strips()) {
    let planes = { albedo, shading }[layer];
    if (layer === "edited") {
      recolourStrip(albedo, surfaces, top, rows, picture);
      if (!isNeutral(lit)) relight(shading, lit, photo.level);
      planes = albedo.map((value, i) => value * shading[i]);
    }
    const opacity = alpha?.subarray(top * width, (top + rows) * width);
    if (format === "exr") {
      const area = rows * width;
      const channel = (c) => planes.subarray(c * area, (c + 1) * area);
      const named = { R: channel(0), G: channel(1), B: channel(2) };
      if (opacity) named.A = Float32Array.from(opacity, (value) => value / picture.levels);
      await writer.write(named, rows);
    } else {
      await writer.write(samples(planes, scale, opacity, depth));
    }
    progress(passes - 1)((top + rows) / height);
  }
  return { name, blob: await writer.finish() };
}

/** Three planes of linear light -> interleaved sRGB bytes of a PNG, big endian. */
function samples(planes, scale, alpha, depth) {
  const area = planes.length / 3;
  const channels = alpha ? 4 : 3;
  const out = new Uint8Array((area * channels * depth) / 8);
  const factor = 1 / scale;
  let to = 0;
  const put = (value) => {
    if (depth === 16) out[to++] = value >> 8;
    out[to++] = value;
  };
  const most = depth === 16 ? 65535 : 255;
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) put((toSrgb(planes[c * area + i] * factor) * most + 0.5) | 0);
    if (alpha) put(alpha[i]);
  }
  return out;
}

/** What stands beside an integer shading, as the command line writes it. */
function facts(photo, scale, { levels }) {
  const text = {
    format: "intrinsic-flow-shading",
    version: 1,
    source: photo.name,
    shading_scale: scale,
    decoding: `linear shading = shading_scale * srgb_to_linear(value / ${levels})`,
    exposure_gain: photo.gain,
    bundle: photo.model.manifest.name,
    engine: `ONNX Runtime Web, ${photo.model.backend}`,
  };
  return new Blob([JSON.stringify(text, null, 2), "\n"], { type: "application/json" });
}

/** Three planes of linear light times a factor -> an ImageBitmap in sRGB. */
async function bitmap({ height, width }, planes, factor) {
  const area = height * width;
  const pixels = new Uint8ClampedArray(4 * area);
  for (let i = 0, to = 0; i < area; i++) {
    pixels[to++] = toSrgb(planes[i] * factor) * 255;
    pixels[to++] = toSrgb(planes[area + i] * factor) * 255;
    pixels[to++] = toSrgb(planes[2 * area + i] * factor) * 255;
    pixels[to++] = 255;
  }
  const made = await createImageBitmap(new ImageData(pixels, width, height));
  free(pixels);
  return made;
}
