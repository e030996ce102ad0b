// Recolour a surface in the albedo, change the light in the shading, multiply again. As runtime/demo/editing.py has it.
// Layers are three planes of linear light, Float32Array. An edit is decided at preview size and applied at any size.

import { LUMINANCE } from "./color.js";
import { luminance } from "./exposure.js";

export const DAYLIGHT = 6500;
const LIGHTNESS_WEIGHT = 0.5;
const CLICK_RADIUS = 2;

/** CIELAB under D65 as OpenCV's COLOR_LRGB2Lab computes it, lightness weighed. */
function lab(r, g, b) {
  const f = (t) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
  const x = f((0.412453 * r + 0.35758 * g + 0.180423 * b) / 0.950456);
  const y = 0.212671 * r + 0.71516 * g + 0.072169 * b;
  const z = f((0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.088754);
  const lightness = y > 0.008856 ? 116 * Math.cbrt(y) - 16 : 903.3 * y;
  return [LIGHTNESS_WEIGHT * lightness, 500 * (x - f(y)), 200 * (f(y) - z)];
}

/** 1 where the albedo is close to the reference, 0 from `tolerance` on, smooth between. */
function similarity(albedo, reference, tolerance) {
  const area = albedo.length / 3;
  const out = new Float32Array(area);
  const [l0, a0, b0] = lab(...reference);
  const most = Math.max(tolerance, 1e-3);
  for (let i = 0; i < area; i++) {
    const [l, a, b] = lab(albedo[i], albedo[area + i], albedo[2 * area + i]);
    const distance = Math.sqrt((l - l0) ** 2 + (a - a0) ** 2 + (b - b0) ** 2);
    const ramp = Math.min(Math.max(2 * (1 - distance / most), 0), 1);
    out[i] = ramp * ramp * (3 - 2 * ramp);
  }
  return out;
}

/**
 * The surface under a click. image: {height, width, albedo}. edit: {x, y} as fractions, tolerance, everywhere.
 * Returns {reference, tolerance, region: Uint8Array of preview size or null, size, weight at preview size}.
 */
export function select({ height, width, albedo }, { x, y, tolerance, everywhere }) {
  const [row, column] = [Math.min(Math.floor(y * height), height - 1), Math.min(Math.floor(x * width), width - 1)];
  const area = height * width;
  const near = [[], [], []];
  for (let i = Math.max(row - CLICK_RADIUS, 0); i <= Math.min(row + CLICK_RADIUS, height - 1); i++)
    for (let j = Math.max(column - CLICK_RADIUS, 0); j <= Math.min(column + CLICK_RADIUS, width - 1); j++)
      near.forEach((values, c) => values.push(albedo[c * area + i * width + j]));
  const reference = near.map(median);
  const weight = similarity(albedo, reference, tolerance);
  const selection = { reference, tolerance, region: null, size: { height, width }, weight };
  if (everywhere) return selection;
  selection.region = connected(weight, height, width, row * width + column);
  for (let i = 0; i < area; i++) weight[i] *= selection.region[i];
  return selection;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** What hangs together with `start` through weights above 0, diagonals included: Uint8Array of 0 and 1. */
function connected(weight, height, width, start) {
  const region = new Uint8Array(weight.length);
  const stack = [start];
  region[start] = 1;
  while (stack.length) {
    const at = stack.pop();
    const [y, x] = [Math.floor(at / width), at % width];
    for (let i = Math.max(y - 1, 0); i <= Math.min(y + 1, height - 1); i++)
      for (let j = Math.max(x - 1, 0); j <= Math.min(x + 1, width - 1); j++) {
        const next = i * width + j;
        if (!region[next] && weight[next] > 0) {
          region[next] = 1;
          stack.push(next);
        }
      }
  }
  return region;
}

/** The weight of a selection on rows top.. of an albedo at full size {height, width}. */
function weightOfStrip(albedo, selection, top, rows, full) {
  const weight = similarity(albedo, selection.reference, selection.tolerance);
  const { region, size } = selection;
  if (!region) return weight;
  const same = size.height === full.height && size.width === full.width;
  for (let y = 0, i = 0; y < rows; y++) {
    const from = Math.floor(((top + y) * size.height) / full.height);
    for (let x = 0; x < full.width; x++, i++) {
      const column = Math.floor((x * size.width) / full.width);
      if (weight[i]) weight[i] *= same ? region[from * size.width + column] : touched(region, size, from, column);
    }
  }
  return weight;
}

function touched(region, { height, width }, y, x) {
  for (let i = Math.max(y - 1, 0); i <= Math.min(y + 1, height - 1); i++)
    for (let j = Math.max(x - 1, 0); j <= Math.min(x + 1, width - 1); j++) if (region[i * width + j]) return 1;
  return 0;
}

/** Gives a surface another mean colour; its texture stays. Changes `albedo`. */
function paint(albedo, weight, reference, color) {
  const area = albedo.length / 3;
  const mean = Math.max(dot(reference), 1e-4);
  for (let i = 0; i < area; i++) {
    const w = weight[i];
    if (!w) continue;
    const pixel = [albedo[i], albedo[area + i], albedo[2 * area + i]];
    const texture = dot(pixel) / mean;
    for (let c = 0; c < 3; c++)
      albedo[c * area + i] = pixel[c] + w * (Math.min(texture * color[c], 1) - pixel[c]);
  }
}

const dot = ([r, g, b]) => LUMINANCE[0] * r + LUMINANCE[1] * g + LUMINANCE[2] * b;

/** The geometric mean of the light, around which its contrast turns; 1 without light. */
export function lightLevel(shading) {
  let [sum, count] = [0, 0];
  for (const value of luminance(shading)) {
    if (value > 0) {
      sum += Math.log(value);
      count++;
    }
  }
  return count ? Math.exp(sum / count) : 1;
}

/** Linear Rec.709 colour of luminance 1 of a black body: Kim et al. (2002), US patent 7024034. */
export function blackBody(kelvin) {
  const t = 1e3 / kelvin;
  const x =
    kelvin <= 4000
      ? -0.2661239 * t ** 3 - 0.2343589 * t ** 2 + 0.8776956 * t + 0.17991
      : -3.0258469 * t ** 3 + 2.1070379 * t ** 2 + 0.2226347 * t + 0.24039;
  const y =
    kelvin <= 2222
      ? -1.1063814 * x ** 3 - 1.3481102 * x ** 2 + 2.18555832 * x - 0.20219683
      : kelvin <= 4000
        ? -0.9549476 * x ** 3 - 1.37418593 * x ** 2 + 2.09137015 * x - 0.16748867
        : 3.0817580 * x ** 3 - 5.8733867 * x ** 2 + 3.75112997 * x - 0.37001483;
  const [X, Y, Z] = [x / y, 1, (1 - x - y) / y];
  const color = [
    3.2406 * X - 1.5372 * Y - 0.4986 * Z,
    -0.9689 * X + 1.8758 * Y + 0.0415 * Z,
    0.0557 * X - 0.204 * Y + 1.057 * Z,
  ].map((value) => Math.max(value, 0.02));
  const light = dot(color);
  return color.map((value) => value / light);
}

/** Colour of luminance 1 by which a light multiplies what it falls on. light: {kelvin, tint}. */
export function lightColor({ kelvin, tint }) {
  const day = blackBody(DAYLIGHT);
  const color = blackBody(kelvin).map((value, c) => (value / day[c]) * Math.max(tint[c], 1e-3));
  const level = dot(color);
  return color.map((value) => value / level);
}

/** What the edits make of each pixel: changes `shading` in place. light: {strength, contrast, kelvin, tint}. */
export function relight(shading, light, level) {
  const area = shading.length / 3;
  const factor = lightColor(light).map((value) => value * light.strength);
  const power = light.contrast - 1;
  const bright = power ? luminance(shading) : null;
  for (let i = 0; i < area; i++) {
    const more = power ? Math.max(bright[i] / level, 1e-3) ** power : 1;
    for (let c = 0; c < 3; c++) shading[c * area + i] *= more * factor[c];
  }
}

export const isNeutral = ({ strength, contrast, kelvin, tint }) =>
  strength === 1 && contrast === 1 && kelvin === DAYLIGHT && tint.every((value) => value === tint[0]);

/** Paints a strip of an albedo at full size {height, width}; changes it. edits: [{selection, color}]. */
export function recolourStrip(albedo, edits, top, rows, full) {
  for (const { selection, color } of edits)
    paint(albedo, weightOfStrip(albedo, selection, top, rows, full), selection.reference, color);
}

/** The whole at preview size, a copy. */
export function recolourPreview(albedo, edits) {
  const painted = albedo.slice();
  for (const { selection, color } of edits) paint(painted, selection.weight, selection.reference, color);
  return painted;
}
