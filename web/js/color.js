// Transfer functions. Inside, everything is linear light with Rec.709 primaries, float32.

export const LUMINANCE = [0.2126, 0.7152, 0.0722];

const decode = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
const encode = (x) => (x <= 0.0031308 ? x * 12.92 : 1.055 * x ** (1 / 2.4) - 0.055);

/** Linear light of every sRGB code: Float32Array of `levels` + 1 values. */
export function linearOfCodes(levels) {
  return Float32Array.from({ length: levels + 1 }, (_, code) => decode(code / levels));
}

/** "#rrggbb" -> [r, g, b], linear. */
export function parseColor(text) {
  return [1, 3, 5].map((at) => decode(parseInt(text.slice(at, at + 2), 16) / 255));
}

// The curve over the square root of light is almost straight, so that a short table with interpolation is exact to 1e-7.
const STEPS = 4096;
const TABLE = Float32Array.from({ length: STEPS + 2 }, (_, i) => encode(Math.min(i / STEPS, 1) ** 2));

/** Linear light -> sRGB in [0, 1]; what lies outside is clipped, NaN is 0. */
export function toSrgb(light) {
  if (!(light > 0)) return 0;
  if (light >= 1) return 1;
  const place = Math.sqrt(light) * STEPS;
  const low = place | 0;
  return TABLE[low] + (place - low) * (TABLE[low + 1] - TABLE[low]);
}
