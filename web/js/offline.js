// The service worker: the page without a network, and threads on hosts that set no headers.

const supported = "serviceWorker" in navigator && isSecureContext;
let registration = null;

/** Registers it. Returns true where the page is about to be loaded again under its headers, once. */
export async function isolate() {
  if (!supported) return false;
  const before = navigator.serviceWorker.controller;
  registration = await navigator.serviceWorker.register("service-worker.js").catch(() => null);
  if (!registration || crossOriginIsolated || sessionStorage.loadedAgain) return false;
  const taken = new Promise((resolve) =>
    before ? resolve(true) : navigator.serviceWorker.addEventListener("controllerchange", () => resolve(true), { once: true }),
  );
  if (!(await Promise.race([taken, new Promise((resolve) => setTimeout(resolve, 2000, false))]))) return false;
  sessionStorage.loadedAgain = "1";
  location.reload();
  return true;
}

/** Keeps what the page needs; calls back when it would work without a network. */
export async function keepOffline(onKept) {
  if (!registration) return;
  navigator.serviceWorker.addEventListener("message", (event) => event.data === "kept" && onKept());
  (await navigator.serviceWorker.ready).active?.postMessage("keep");
}
