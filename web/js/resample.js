// Sizes and resampling: the size at which the network runs, area averages, padding. As runtime/decomposition/working_size.py has them.

export const SIDE_MULTIPLE = 32;
const MAX_ASPECT = 4;

const half = (x) => {
  // Python rounds halves to even.
  const low = Math.floor(x);
  const rest = x - low;
  return rest === 0.5 ? low + (low % 2) : Math.round(x);
};

/** {height, width} at which the network sees a picture: short side `resolution`, nothing enlarged but to reach 32. */
export function workingSize(height, width, resolution) {
  const short = Math.min(height, width);
  const long = Math.max(height, width);
  let scale = Math.min(1, resolution / short, (MAX_ASPECT * resolution) / long);
  scale = Math.max(scale, Math.min(SIDE_MULTIPLE / short, (MAX_ASPECT * resolution) / long));
  return {
    height: Math.max(SIDE_MULTIPLE, half(height * scale)),
    width: Math.max(SIDE_MULTIPLE, half(width * scale)),
  };
}

/** {height, width} with the long side at most `side`, nothing enlarged. */
export function fitted(height, width, side) {
  const scale = Math.min(1, side / Math.max(height, width));
  return { height: Math.max(1, Math.round(height * scale)), width: Math.max(1, Math.round(width * scale)) };
}

/** Cells of `whole` pixels that share into `part`: for each, the first pixel and the weights of it and its followers. */
function areas(whole, part) {
  const size = whole / part;
  return Array.from({ length: part }, (_, i) => {
    const [from, to] = [i * size, (i + 1) * size];
    const first = Math.min(Math.floor(from + 1e-9), whole - 1);
    const last = Math.min(Math.ceil(to - 1e-9), whole);
    const weights = [];
    for (let p = first; p < last; p++) weights.push((Math.min(p + 1, to) - Math.max(p, from)) / size);
    return { first, weights };
  });
}

/** Rows of light shrunk by area average, as they come: `push(row)` of interleaved RGB, top to bottom, fills `planes`. */
class AreaAverage {
  constructor(height, width, toHeight, toWidth) {
    this.rows = areas(height, toHeight);
    this.columns = areas(width, toWidth);
    this.size = { height: toHeight, width: toWidth };
    this.planes = new Float32Array(3 * toHeight * toWidth);
    this.line = new Float64Array(3 * toWidth);
    this.at = 0;
    this.next = 0;
  }

  push(row) {
    const { columns, line, planes } = this;
    const { height, width } = this.size;
    for (let x = 0; x < width; x++) {
      const { first, weights } = columns[x];
      let [r, g, b] = [0, 0, 0];
      for (let k = 0, at = 3 * first; k < weights.length; k++, at += 3) {
        const w = weights[k];
        r += w * row[at];
        g += w * row[at + 1];
        b += w * row[at + 2];
      }
      line[3 * x] = r;
      line[3 * x + 1] = g;
      line[3 * x + 2] = b;
    }
    const area = height * width;
    for (let y = this.next; y < height && this.rows[y].first <= this.at; y++) {
      const { first, weights } = this.rows[y];
      const weight = weights[this.at - first];
      if (weight === undefined) {
        if (this.at >= first + weights.length) this.next = y + 1;
        continue;
      }
      for (let x = 0, at = y * width; x < width; x++, at++) {
        planes[at] += weight * line[3 * x];
        planes[area + at] += weight * line[3 * x + 1];
        planes[2 * area + at] += weight * line[3 * x + 2];
      }
    }
    this.at++;
  }
}

/**
 * A picture at one or several sizes, read once. sizes: {height, width}; a side that grows is interpolated.
 * Returns an array of {height, width, data}: linear light, three planes, Float32Array.
 */
export function resample(picture, sizes) {
  const averages = sizes.map(
    ({ height, width }) =>
      new AreaAverage(picture.height, picture.width, Math.min(height, picture.height), Math.min(width, picture.width)),
  );
  const row = new Float32Array(3 * picture.width);
  for (let y = 0; y < picture.height; y++) {
    picture.linearRow(y, row);
    for (const average of averages) average.push(row);
  }
  return averages.map(({ size, planes }, i) => bilinear({ ...size, data: planes }, sizes[i].height, sizes[i].width));
}

function bilinear(image, height, width) {
  if (image.height === height && image.width === width) return image;
  const taps = (count, whole) =>
    Array.from({ length: count }, (_, i) => {
      const place = Math.min(Math.max(((i + 0.5) * whole) / count - 0.5, 0), whole - 1);
      const low = Math.floor(place);
      return [low, Math.min(low + 1, whole - 1), place - low];
    });
  const rows = taps(height, image.height);
  const columns = taps(width, image.width);
  const data = new Float32Array(3 * height * width);
  for (let c = 0, to = 0; c < 3; c++) {
    const plane = image.data.subarray(c * image.height * image.width, (c + 1) * image.height * image.width);
    for (const [top, bottom, down] of rows) {
      for (const [left, right, across] of columns) {
        const mix = (y) =>
          plane[y * image.width + left] * (1 - across) + plane[y * image.width + right] * across;
        data[to++] = mix(top) * (1 - down) + mix(bottom) * down;
      }
    }
  }
  return { height, width, data };
}

/** Three planes reflected at the bottom and the right to multiples of 32, clipped to [0, 1]. */
export function padded({ height, width, data }) {
  const up = (side) => Math.ceil(side / SIDE_MULTIPLE) * SIDE_MULTIPLE;
  const [rows, columns] = [up(height), up(width)];
  const reflect = (i, side) => (i < side ? i : 2 * side - 2 - i);
  const out = new Float32Array(3 * rows * columns);
  for (let c = 0, to = 0; c < 3; c++) {
    for (let y = 0; y < rows; y++) {
      const from = (c * height + reflect(y, height)) * width;
      for (let x = 0; x < columns; x++) out[to++] = Math.min(Math.max(data[from + reflect(x, width)], 0), 1);
    }
  }
  return { height: rows, width: columns, data: out };
}
