// A small client of the WebSocket: the newest states, drawn once per frame.
const places = new Map();
for (const place of document.querySelectorAll("[data-job]")) places.set(place.dataset.job, place);
const waiting = new Map();

function draw() {
  for (const [id, { phase, done }] of waiting) {
    const place = places.get(id);
    place.textContent = phase;
    if (done) place.dispatchEvent(new CustomEvent("job-drawn", { detail: { id }, bubbles: true }));
  }
  waiting.clear();
}

function take(state) {
  if (!waiting.size) requestAnimationFrame(draw);
  waiting.set(state.id, state);
}

const url = new URL("/tasks/ws/", location);
url.protocol = "ws:";
const socket = new WebSocket(url);
socket.onopen = () => socket.send(JSON.stringify({ subscribe: [...places.keys()] }));
socket.onmessage = ({ data }) => {
  const { event, data: body } = JSON.parse(data);
  if (event === "task") take(body);
  if (event === "snapshot") body.items.forEach(take);
};
