// What the browser notices of a page, in `window.noticed`. It runs before the page's own scripts.
const noticed = (window.noticed = {
  states: 0, // of jobs that came
  shift: 0, // layout shift that no input explains
  forced: 0, // ms of layout that scripts forced
  interactions: {}, // ms of each
  painted: {}, // when the end of a job could be seen, ms since 1970
});
const now = () => performance.timeOrigin + performance.now();

function watch(type, take, options = {}) {
  const observer = new PerformanceObserver((list) => list.getEntries().forEach(take));
  observer.observe({ type, buffered: true, ...options });
}

watch("layout-shift", (entry) => {
  if (!entry.hadRecentInput) noticed.shift += entry.value;
});
watch("long-animation-frame", ({ scripts }) => {
  for (const script of scripts) noticed.forced += script.forcedStyleAndLayoutDuration;
});
const timed = ({ interactionId: id, duration }) => {
  if (id) noticed.interactions[id] = Math.max(noticed.interactions[id] ?? 0, duration);
};
watch("event", timed, { durationThreshold: 16 });

// Every way to show jobs reads JSON.
const { parse } = JSON;
JSON.parse = (...rest) => (noticed.states++, parse(...rest));
const { json } = Response.prototype;
Response.prototype.json = function () {
  noticed.states++;
  return json.call(this);
};

// --- when something can be seen ---

// Within a frame: what is posted comes when the frame has been painted.
function afterThisFrame(callback) {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = callback;
  port2.postMessage(null);
}
const afterNextFrame = (callback) => requestAnimationFrame(() => afterThisFrame(callback));
const seen = ({ detail: { id } }) => (noticed.painted[id] = now());
for (const name of ["task-succeeded", "task-failed", "job-drawn"])
  addEventListener(name, (event) => afterThisFrame(() => seen(event)));
addEventListener("job-done", (event) => afterNextFrame(() => seen(event)));

// --- what a click on a form brings, in this page or in the next one ---

const { clicked, feedback } = location.protocol === "http:" ? sessionStorage : {};
const isAnswer = clicked && !feedback;
if (isAnswer)
  watch("paint", ({ name, startTime }) => {
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

// Returns ms until the first byte, and until something could be seen; null until both are known.
window.answer = () => {
  const { clicked, feedback } = sessionStorage;
  const [page] = performance.getEntriesByType("navigation");
  const fetched = performance
    .getEntriesByType("resource")
    .find(({ initiatorType, name }) => initiatorType === "fetch" && name === location.href);
  const entry = isAnswer ? page : fetched;
  if (!feedback || !entry?.responseStart) return null;
  return [entry.responseStart - entry.startTime, feedback - clicked];
};
