// The model bundle in ONNX Runtime: on WebAssembly, or on WebGPU where the visitor's machine has an adapter.

import { cut, readTile } from "./noise.js";
import { free } from "./picture.js";

const GRAPHS = ["decompose_2step", "low_shading", "upsampler"];
// Pixels that the upsampler gets at once; what it needs beside them is some forty times as many bytes.
export const STRIP_PIXELS = 1 << 18;

export class Model {
  /** manifest, the bundle's; sessions by graph. Use `openModel`. */
  constructor(ort, backend, manifest, tile, sessions) {
    Object.assign(this, { ort, backend, manifest, tile, sessions });
    this.queue = Promise.resolve();
  }

  /** Runs a graph on {name: {data, dims}}; one at a time, for a session takes no second call. Returns arrays by name. */
  run(graph, inputs) {
    const call = this.queue.then(async () => {
      const feeds = {};
      for (const [name, { data, dims }] of Object.entries(inputs)) feeds[name] = new this.ort.Tensor("float32", data, dims);
      const results = await this.sessions[graph].run(feeds);
      const out = {};
      for (const [name, tensor] of Object.entries(results)) {
        out[name] = { data: tensor.data, dims: tensor.dims };
      }
      return out;
    });
    this.queue = call.catch(() => {});
    return call;
  }

  /** image: {height, width, data}, sides multiples of 32, in [0, 1] -> albedo {data, dims} of that size. */
  async albedo({ height, width, data }) {
    const [rows, columns] = [height / 8, width / 8];
    const z = { data: cut(this.tile, rows, columns), dims: [1, this.tile.channels, rows, columns] };
    return (await this.run("decompose_2step", { image: { data, dims: [1, 3, height, width] }, z })).albedo;
  }
}

/** Whether this machine has a GPU that a page may use; `software` counts one that is emulated on the CPU too. */
export async function hasAdapter(software = false) {
  const adapter = await globalThis.navigator?.gpu?.requestAdapter?.().catch(() => null);
  if (!adapter) return false;
  const info = adapter.info ?? {};
  const emulated = adapter.isFallbackAdapter || info.isFallbackAdapter || /swiftshader|llvmpipe/i.test(info.description ?? "");
  return software || !emulated;
}

/** Opens the bundle in `folder` (a URL that ends with /). backend: "wasm" or "webgpu". */
export async function openModel(folder, runtime, backend, threads) {
  const get = async (file, kind) => {
    const response = await fetch(new URL(file, folder));
    if (!response.ok) throw new Error(`${file}: found status ${response.status}, expected the model's file`);
    return response[kind]();
  };
  const library = backend === "webgpu" ? "ort.webgpu.bundle.min.mjs" : "ort.wasm.bundle.min.mjs";
  const loading = [import(new URL(library, runtime)), get("bundle.json", "json"), get("noise.npy", "arrayBuffer")];
  const weights = get("model.safetensors", "arrayBuffer");
  const graphs = Promise.all(GRAPHS.map((graph) => get(`${graph}.onnx`, "arrayBuffer")));
  const [ort, manifest, noise] = await Promise.all(loading);
  if (manifest.version !== 2) throw new Error(`bundle.json: found version ${manifest.version}, expected version 2`);
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = {
    wasm: new URL(`ort-wasm-simd-threaded${backend === "webgpu" ? ".asyncify" : ""}.wasm`, runtime).href,
  };
  const data = new Uint8Array(await weights);
  const sessions = {};
  for (const [i, bytes] of (await graphs).entries()) {
    sessions[GRAPHS[i]] = await ort.InferenceSession.create(new Uint8Array(bytes), {
      executionProviders: backend === "webgpu" ? ["webgpu", "wasm"] : ["wasm"],
      externalData: [{ path: "model.safetensors", data }],
      // Folding constants would take as long as all the rest of opening, and runs no faster.
      graphOptimizationLevel: backend === "webgpu" ? "basic" : "disabled",
      logSeverityLevel: 3,
    });
  }
  free(data);
  return new Model(ort, backend, manifest, readTile(noise), sessions);
}
