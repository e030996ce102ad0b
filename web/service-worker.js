// Serves the page without a network, and with the two headers that threads need where the host sets none.

const VERSION = "development"; // the build writes its own hash
const FILES = []; // and what the page needs
const CACHE = `intrinsic-flow-${VERSION}`;
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

// A second version waits until the tabs of the first are closed, so that no page gets files of both.
self.addEventListener("install", () => self.registration.active || self.skipWaiting());

self.addEventListener("activate", (event) => {
  const clear = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith("intrinsic-flow-") && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(clear());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && new URL(request.url).origin === location.origin) event.respondWith(answer(request));
});

async function answer(request) {
  const cache = await caches.open(CACHE);
  const key = request.mode === "navigate" ? new URL("./", self.registration.scope).href : request;
  let response = await cache.match(key, { ignoreSearch: true });
  if (!response) {
    response = await fetch(request);
    if (response.status === 200) cache.put(key, response.clone()).catch(() => {});
  }
  if (response.status === 0 || response.redirected) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

// What the page has not asked for yet, once it is at rest; answers when it all is there.
self.addEventListener("message", (event) => {
  const keep = async () => {
    const cache = await caches.open(CACHE);
    for (const file of ["./", ...FILES]) {
      const url = new URL(file, self.registration.scope).href;
      if (!(await cache.match(url))) await cache.add(url);
    }
    event.source?.postMessage("kept");
  };
  if (event.data === "keep") event.waitUntil(keep().catch(() => {}));
});
