// The page: files in, layers shown, edits and downloads asked of the worker.

import { isolate, keepOffline } from "./offline.js";
import { Wipe, draw } from "./wipe.js";
import { WorkerCalls } from "./calls.js";

const $ = (id) => document.getElementById(id);
const SWATCHES = ["#2f6fb5", "#2c8c7c", "#6a9a3b", "#d9a21b", "#b83a56", "#7a56a8", "#ece7dc", "#2b2a28"];
const PICK = "Click a surface to paint it.";
const FORMATS = { png: "PNG", exr: "EXR", json: "JSON" };
const options = new URLSearchParams(location.search);

const worker = new WorkerCalls(new URL("./worker.js", import.meta.url), showPhoto);
const wipes = [...document.querySelectorAll("[data-layer]")].map((tile) => new Wipe(tile));
const state = { file: null, name: "", shown: null, kept: [], active: null, color: SWATCHES[0], cross: null };

let fault = 0;
function alertUser(text) {
  $("alert").textContent = text;
  $("alert").classList.add("shown");
  clearTimeout(fault);
  fault = setTimeout(() => $("alert").classList.remove("shown"), 9000);
}

/** kind: "ready", "busy" or "fault"; more: for screens with room. */
function say(text, kind = "ready", more = "") {
  $("state").dataset.state = kind;
  $("state-text").textContent = text;
  $("state-more").textContent = more;
}

const rest = () => say("Ready", "ready", worker.where ?? "");

function report(error) {
  if (!error.stale) alertUser(error.message);
}

// The model.

async function open(backend) {
  say("Opening the model", "busy");
  const folder = (name) => new URL(name, document.baseURI).href;
  const model = await worker.call("open", { models: folder("model/"), runtime: folder("onnxruntime/"), backend });
  const where = model.backend === "webgpu" ? "GPU" : model.threads > 1 ? `CPU, ${model.threads} threads` : "CPU";
  worker.where = ` · ${where}`;
  rest();
  document.body.dataset.ready = model.backend;
  keepOffline(() => {
    worker.where += " · works offline";
    if ($("state").dataset.state === "ready") rest();
  });
}

// A photo.

async function take(file, name = file.name || "pasted.png") {
  Object.assign(state, { file, name });
  $("alert").classList.remove("shown");
  say("Reading the photo", "busy");
  document.body.classList.add("busy");
  try {
    const resolution = Number($("resolution").value);
    const result = await worker.call("decompose", { file, name, resolution }, ({ stage }) => say(stage, "busy"));
    showLayers(result);
  } catch (error) {
    if (error.stale) return;
    alertUser(error.message);
    Object.assign(state, state.shown);
    if (!document.body.dataset.photo) leave();
    else update();
  }
  document.body.classList.remove("busy");
  rest();
}

function leave() {
  $("work").hidden = true;
  $("start").hidden = false;
}

function showPhoto({ bitmap, width, height }) {
  const first = $("work").hidden;
  $("start").hidden = true;
  $("work").hidden = false;
  $("work").style.setProperty("--ratio", width / height);
  $("name").textContent = state.name;
  $("facts").textContent = `${width} × ${height}`;
  draw($("photo"), bitmap);
  draw($("edited"), bitmap);
  for (const wipe of wipes) wipe.cover(bitmap);
  bitmap.close();
  forgetEdits();
  if (first) $("name").scrollIntoView({ block: "nearest" });
}

function showLayers({ albedo, shading, width, height, seconds, depth }) {
  document.body.dataset.photo = state.name;
  state.shown = { file: state.file, name: state.name };
  $("facts").textContent = `${width} × ${height} · ${depth} bits · ${seconds.toFixed(2)} s`;
  wipes[0].reveal(albedo);
  wipes[1].reveal(shading);
  note(PICK);
  $("live").textContent = `Albedo and shading of ${state.name} are there.`;
}

// Edits: one at a time at the worker, the newest next.

const note = (text) => ($("note").textContent = text);
const settings = () => ({
  edits: state.active ? [...state.kept, { ...state.active, ...brush() }] : state.kept,
  light: {
    strength: Number($("strength").value),
    contrast: Number($("contrast").value),
    kelvin: Number($("kelvin").value),
    tint: $("tint").value,
  },
});
const brush = () => ({
  color: state.color,
  tolerance: Number($("tolerance").value),
  everywhere: $("everywhere").checked,
});

let [editing, wanted] = [false, false];
async function update() {
  wanted = true;
  if (editing || !document.body.dataset.photo) return;
  editing = true;
  while (wanted) {
    wanted = false;
    try {
      const { view, share } = await worker.call("edit", settings());
      draw($("edited"), view);
      view.close();
      if (state.active) note(`Painted ${Math.max(share * 100, 0.1).toFixed(share < 0.01 ? 1 : 0)}% of the photo.`);
    } catch (error) {
      report(error);
    }
  }
  editing = false;
}

function buttons() {
  $("keep").disabled = !state.active;
  $("undo").disabled = !state.active && !state.kept.length;
}

function pick(x, y) {
  state.active = { x, y };
  buttons();
  update();
}

function forgetEdits() {
  Object.assign(state, { kept: [], active: null, cross: null });
  $("cross").hidden = true;
  for (const id of ["strength", "contrast", "kelvin", "tint"]) $(id).value = $(id).defaultValue;
  outputs();
  buttons();
}

function outputs() {
  for (const output of document.querySelectorAll(".slider output")) {
    const input = $(output.htmlFor.value);
    const value = Number(input.value);
    output.textContent = input.id === "kelvin" ? `${value} K` : input.id === "tolerance" ? value : value.toFixed(2);
    input.style.setProperty("--at", `${((value - input.min) / (input.max - input.min)) * 100}%`);
    if (input.id === "kelvin") input.setAttribute("aria-valuetext", `${value} kelvin`);
  }
}

function swatch(color, custom = false) {
  const button = document.createElement(custom ? "label" : "button");
  button.className = "swatch";
  button.style.setProperty("--color", color);
  if (custom) {
    button.classList.add("custom");
    button.title = "Another colour";
    button.innerHTML = '<input type="color" value="#8a5a3c" aria-label="Another colour" />';
    const input = button.firstElementChild;
    input.addEventListener("input", () => {
      button.style.setProperty("--color", input.value);
      chooseColor(input.value, button);
    });
    input.addEventListener("click", () => chooseColor(input.value, button));
  } else {
    button.type = "button";
    button.setAttribute("aria-label", `Colour ${color}`);
    button.addEventListener("click", () => chooseColor(color, button));
  }
  return button;
}

function chooseColor(color, chosen) {
  state.color = color;
  for (const other of $("swatches").children) {
    other.classList.toggle("chosen", other === chosen);
    if (other.localName === "button") other.setAttribute("aria-pressed", String(other === chosen));
  }
  if (state.active) update();
}

// Downloads.

async function save(button) {
  const [layer, format] = button.dataset.save.split(" ");
  const text = `Writing ${layer} as ${FORMATS[format]}`;
  const bar = $("progress");
  bar.hidden = false;
  $("progress-text").textContent = text;
  bar.firstElementChild.value = 0;
  button.disabled = true;
  try {
    const onProgress = ({ progress }) => (bar.firstElementChild.value = progress);
    const { blob, name } = await worker.call("save", { layer, format, ...settings() }, onProgress);
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    $("live").textContent = `${name} is saved.`;
  } catch (error) {
    report(error);
  }
  button.disabled = false;
  bar.hidden = true;
}

// What a visitor does.

function listen() {
  const choose = () => $("file").click();
  $("choose").addEventListener("click", choose);
  $("another").addEventListener("click", choose);
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    $("file").value = "";
    if (file) take(file);
  });
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (file) take(file);
  });
  let depth = 0;
  const veil = (change) => {
    depth = change === 0 ? 0 : depth + change;
    $("veil").classList.toggle("shown", depth > 0);
  };
  addEventListener("dragenter", (event) => event.dataTransfer?.types.includes("Files") && veil(1));
  addEventListener("dragleave", (event) => event.dataTransfer?.types.includes("Files") && veil(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    veil(0);
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
  for (const button of document.querySelectorAll("[data-example]"))
    button.addEventListener("click", async () => {
      const name = `${button.dataset.example}.png`;
      const response = await fetch(`examples/${name}`).catch(() => null);
      if (response?.ok) take(await response.blob(), name);
      else alertUser(`${name} cannot be fetched.`);
    });
  $("resolution").addEventListener("change", () => state.file && take(state.file, state.name));
  $("backend").addEventListener("change", () => {
    options.set("backend", $("backend").value);
    location.search = options;
  });

  const stage = $("stage");
  stage.addEventListener("click", (event) => {
    const box = $("edited").getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    if (x >= 0 && x < 1 && y >= 0 && y < 1) pick(x, y);
  });
  stage.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (move) {
      event.preventDefault();
      const step = event.shiftKey ? 0.1 : 0.02;
      const at = state.cross ?? [0.5, 0.5];
      state.cross = at.map((value, i) => Math.min(Math.max(value + move[i] * step, 0), 0.999));
      $("cross").hidden = false;
      $("cross").style.left = `${state.cross[0] * 100}%`;
      $("cross").style.top = `${state.cross[1] * 100}%`;
    } else if ((event.key === "Enter" || event.key === " ") && state.cross) {
      event.preventDefault();
      pick(...state.cross);
    }
  });
  for (const id of ["tolerance", "everywhere", "strength", "contrast", "kelvin", "tint"]) {
    $(id).addEventListener("input", () => {
      outputs();
      update();
    });
    $(id).addEventListener("dblclick", () => {
      if ($(id).type !== "range") return;
      $(id).value = $(id).defaultValue;
      outputs();
      update();
    });
  }
  $("keep").addEventListener("click", () => {
    state.kept = settings().edits;
    state.active = null;
    buttons();
    note(`${state.kept.length} ${state.kept.length === 1 ? "surface" : "surfaces"} kept. ${PICK}`);
  });
  $("undo").addEventListener("click", () => {
    if (!state.active) state.kept = state.kept.slice(0, -1);
    state.active = null;
    buttons();
    note(PICK);
    update();
  });
  $("reset").addEventListener("click", () => {
    forgetEdits();
    note(PICK);
    update();
  });
  $("panel").addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll("[data-save]")) button.addEventListener("click", () => save(button));

  $("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
    localStorage.theme = document.documentElement.dataset.theme = dark ? "light" : "dark";
  });
}

if (localStorage.theme) document.documentElement.dataset.theme = localStorage.theme;
$("swatches").append(...SWATCHES.map((color) => swatch(color)), swatch("conic-gradient(#e55,#ea3,#6b4,#3ad,#75d,#e55)", true));
chooseColor(SWATCHES[0], $("swatches").firstElementChild);
listen();
outputs();
if (!(await isolate())) {
  $("backend").value = options.get("backend") ?? "auto";
  open($("backend").value).catch((error) => {
    say("No model", "fault");
    alertUser(`The model does not open: ${error.message}`);
  });
}
