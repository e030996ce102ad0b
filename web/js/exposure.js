// The gain under which the network sees a picture, as runtime/decomposition/exposure.py has it.

import { LUMINANCE } from "./color.js";

function percentile(sorted, percent) {
  const place = (percent / 100) * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}

/** Float32Array of three planes, linear -> luminance, Float32Array of one. */
export function luminance(data) {
  const area = data.length / 3;
  const light = new Float32Array(area);
  const [r, g, b] = LUMINANCE;
  for (let i = 0; i < area; i++) light[i] = r * data[i] + g * data[area + i] + b * data[2 * area + i];
  return light;
}

/** The gain for an image at working size. rule: the manifest's tone_map. 1 for a black image. */
export function exposureGain({ data }, rule) {
  const light = luminance(data).sort();
  const reference = Math.max(percentile(light, rule.reference_percentile), 0);
  const limit = rule.dark_fraction * reference;
  const lit = light.subarray(light.findIndex((value) => value > limit));
  if (!(light[light.length - 1] > limit)) return 1;
  return Math.min(Math.max(rule.target / percentile(lit, rule.percentile), rule.min_gain), rule.max_gain);
}
