// A layer over the photo, with an edge between them that is dragged, or moved by the arrow keys.

const REVEAL_MS = 900;
// A browser holds a canvas two or three times: so none is much larger than what is seen of it.
const SPARE = 1.3;

/** Shows a bitmap as large as its frame on this screen wants it. */
export function draw(canvas, bitmap) {
  const seen = Math.max(canvas.parentElement.clientWidth, 320) * devicePixelRatio * SPARE;
  const scale = Math.min(1, seen / bitmap.width);
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}

export class Wipe {
  constructor(tile) {
    this.tile = tile;
    [this.under, this.over] = tile.querySelectorAll("canvas");
    this.input = tile.querySelector("input");
    this.input.addEventListener("input", () => this.#show());
  }

  #show() {
    this.tile.style.setProperty("--wipe", `${this.input.value}%`);
  }

  /** The photo alone, while its layer is being found. */
  cover(bitmap) {
    draw(this.under, bitmap);
    this.tile.classList.add("waiting");
    this.input.value = 100;
    this.#show();
  }

  /** The layer comes in from the right. */
  reveal(bitmap) {
    draw(this.over, bitmap);
    bitmap.close();
    this.tile.classList.remove("waiting");
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const start = performance.now();
    const step = (now) => {
      const part = still ? 1 : Math.min((now - start) / REVEAL_MS, 1);
      this.input.value = 100 * (1 - part) ** 3;
      this.#show();
      if (part < 1 && !this.tile.matches(":active")) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

}
