// A small WebSocket client that draws the newest states once per frame.
const elements = new Map();
for (const element of document.querySelectorAll("[data-job]"))
  elements.set(element.dataset.job, element);
const pending = new Map();

function draw() {
  for (const [id, { phase, is_finished: isFinished }] of pending) {
    const element = elements.get(id);
    element.textContent = phase;
    const drawn = new CustomEvent("job-drawn", { detail: { id }, bubbles: true });
    if (isFinished) element.dispatchEvent(drawn);
  }
  pending.clear();
}

function update(state) {
  if (!pending.size) requestAnimationFrame(draw);
  pending.set(state.id, state);
}

const url = new URL("/tasks/ws/", location);
url.protocol = "ws:";
const socket = new WebSocket(url);
socket.onopen = () => socket.send(JSON.stringify({ subscribe: [...elements.keys()] }));
socket.onmessage = ({ data }) => {
  const { event, data: body } = JSON.parse(data);
  if (event === "update") update(body);
  if (event === "snapshot") body.items.forEach(update);
};
