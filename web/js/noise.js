// Start noise: a tile that is stored with the model, cut to size and wrapped. As runtime/decomposition/noise.py has it.

function float16(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 0) return sign * 2 ** -24 * fraction;
  return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
}

/** A NumPy file of float16 (C, S, S) -> {channels, side, data: Float32Array}. */
export function readTile(buffer) {
  const view = new DataView(buffer);
  const start = 10 + view.getUint16(8, true);
  const header = new TextDecoder().decode(new Uint8Array(buffer, 10, start - 10));
  const shape = /'shape': \((\d+), (\d+), (\d+)\)/.exec(header);
  if (!header.includes("'<f2'") || !shape) throw new Error("noise.npy: found another array, expected float16 (C, S, S)");
  const [channels, side] = [Number(shape[1]), Number(shape[2])];
  const data = Float32Array.from({ length: channels * side * side }, (_, i) =>
    float16(view.getUint16(start + 2 * i, true)),
  );
  return { channels, side, data };
}

/** Start noise of seed 0: Float32Array (channels, height, width). */
export function cut({ channels, side, data }, height, width) {
  const out = new Float32Array(channels * height * width);
  for (let c = 0, to = 0; c < channels; c++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) out[to++] = data[(c * side + (y % side)) * side + (x % side)];
  return out;
}
