// Collects metrics of a page in `window.pageMetrics`. Runs before the page's own scripts.
const pageMetrics = (window.pageMetrics = {
  updates: 0, // received states of jobs
  shift: 0, // layout shift without input
  forced: 0, // ms of layout that scripts forced
  interactions: {}, // ms by interaction id
  painted: {}, // when the final state of a job was visible, ms since 1970, by job id
});
const now = () => performance.timeOrigin + performance.now();

function observe(type, callback, options = {}) {
  const observer = new PerformanceObserver((list) => list.getEntries().forEach(callback));
  observer.observe({ type, buffered: true, ...options });
}

observe("layout-shift", (entry) => {
  if (!entry.hadRecentInput) pageMetrics.shift += entry.value;
});
observe("long-animation-frame", ({ scripts }) => {
  for (const script of scripts) pageMetrics.forced += script.forcedStyleAndLayoutDuration;
});
const recordInteraction = ({ interactionId: id, duration }) => {
  if (id) pageMetrics.interactions[id] = Math.max(pageMetrics.interactions[id] ?? 0, duration);
};
observe("event", recordInteraction, { durationThreshold: 16 });

// All transports receive JSON.
const { parse } = JSON;
JSON.parse = (...parameters) => {
  pageMetrics.updates++;
  return parse(...parameters);
};
const { json } = Response.prototype;
Response.prototype.json = function () {
  pageMetrics.updates++;
  return json.call(this);
};

// --- when the final state of a job is visible ---

// Within a frame: a posted message arrives when the frame has been painted.
function afterThisFrame(callback) {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = callback;
  port2.postMessage(null);
}
const afterNextFrame = (callback) => requestAnimationFrame(() => afterThisFrame(callback));
const recordPaint = ({ detail: { id } }) => (pageMetrics.painted[id] = now());
for (const name of ["task-succeeded", "task-failed", "job-drawn"])
  addEventListener(name, (event) => afterThisFrame(() => recordPaint(event)));
addEventListener("job-done", (event) => afterNextFrame(() => recordPaint(event)));

// --- the response to a click on a form, in this page or in the next one ---

const { clicked, feedback } = location.protocol === "http:" ? sessionStorage : {};
const isNextPage = clicked && !feedback;
if (isNextPage)
  observe("paint", ({ name, startTime }) => {
    if (name === "first-contentful-paint")
      sessionStorage.feedback = performance.timeOrigin + startTime;
  });

addEventListener(
  "click",
  ({ target, timeStamp }) => {
    if (!target.closest("form")) return;
    sessionStorage.clicked = performance.timeOrigin + timeStamp;
    const observer = new MutationObserver(() => {
      observer.disconnect();
      afterNextFrame(() => (sessionStorage.feedback = now()));
    });
    const all = { subtree: true, childList: true, attributes: true, characterData: true };
    observer.observe(document.body, all);
  },
  true,
);

// Returns ms until the first byte, and until visible feedback; null until both are known.
window.clickLatency = () => {
  const { clicked, feedback } = sessionStorage;
  const [page] = performance.getEntriesByType("navigation");
  const fetched = performance
    .getEntriesByType("resource")
    .find(({ initiatorType, name }) => initiatorType === "fetch" && name === location.href);
  const entry = isNextPage ? page : fetched;
  if (!feedback || !entry?.responseStart) return null;
  return [entry.responseStart - entry.startTime, feedback - clicked];
};
