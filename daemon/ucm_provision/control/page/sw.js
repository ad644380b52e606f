// Keeps the page's own files for when the box is out of reach. What the daemon says is never kept here.

const CACHE = "page";
const FILES = [
  "/", "/actions.js", "/ask.js", "/describe.js", "/dialogs.js", "/dom.js", "/header.js", "/help.js", "/icon.svg", "/list.js", "/live.js",
  "/main.js", "/page.webmanifest", "/parts.js", "/sheet.js", "/store.js", "/style.css", "/theme.js", "/wifi.js", "/OPERATIONS.md",
];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { pathname, origin } = new URL(event.request.url);
  if (event.request.method === "GET" && origin === self.location.origin && FILES.includes(pathname)) event.respondWith(answer(event.request, pathname));
});

/** The box's own answer, which is the newest; what was kept of it where there is none. */
async function answer(request, pathname) {
  const cache = await caches.open(CACHE);
  try {
    const fresh = await fetch(request);
    if (fresh.ok) await cache.put(pathname, fresh.clone());
    return fresh;
  } catch {
    return (await cache.match(pathname)) ?? Response.error();
  }
}
