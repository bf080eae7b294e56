// A fetch() of streams over a WebSocket, or over HTTP if that fails. A page loads this module
// before task-status.js by {% task_status_media transport="websocket" %}.

const FIRST_MESSAGE_MS = 3_000; // then use HTTP: task-status.js waits 5 s for both
const AVOID_MS = 300_000; // use HTTP, before a WebSocket is tried again

const encoder = new TextEncoder();
let avoidedUntil = 0;

globalThis.offloadFetch = async (address, options) => {
  if (performance.now() > avoidedUntil) {
    const response = await connect(new URL(address), options);
    if (response) return response;
    avoidedUntil = performance.now() + AVOID_MS;
  }
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error.name === "TypeError") avoidedUntil = 0; // the network failed, not the WebSocket
    throw error;
  }
};

// Returns a response in the format of the stream, or null if no message arrives.
function connect(url, { headers, signal }) {
  const socket = open(url);
  if (!socket) return null;
  return new Promise((resolve, reject) => {
    let stream;
    const response = new Response(new ReadableStream({ start: (it) => (stream = it) }));
    const timer = setTimeout(() => finish(null), FIRST_MESSAGE_MS);
    const finish = (result) => {
      clearTimeout(timer);
      socket.close();
      resolve(result);
    };
    socket.onopen = () => socket.send(JSON.stringify(subscription(url, headers)));
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.event === "error") return finish(refusal(message.data));
      clearTimeout(timer);
      stream.enqueue(encoder.encode(`data: ${JSON.stringify(message.data ?? {})}\n\n`));
      resolve(response);
    };
    socket.onclose = () => {
      stream.close();
      finish(null);
    };
    signal.addEventListener("abort", () => {
      socket.onclose = null;
      stream.error(signal.reason);
      reject(signal.reason);
      finish();
    });
  });
}

function open(url) {
  try {
    return new WebSocket(new URL("../ws/", url).href.replace(/^http/, "ws"));
  } catch {
    return null; // some browsers throw if a policy allows no WebSocket
  }
}

// Returns a message with the header and query of the request: a WebSocket cannot send headers.
function subscription(url, headers) {
  const versions = headers["Last-Event-ID"].split(",").filter(Boolean);
  return {
    subscribe: url.searchParams.get("ids").split(","),
    known: Object.fromEntries(
      versions.map((each) => each.split(".")).map(([id, version]) => [id, Number(version)]),
    ),
    token: headers.Authorization?.replace(/^Offload /, ""),
  };
}

// Returns a problem as the response that fetch() would return.
function refusal({ status, retry_after: seconds }) {
  if (status < 400) return Response.error(); // a redirect to sign in, which is not followed
  return new Response(null, {
    status,
    headers: seconds == null ? {} : { "Retry-After": seconds },
  });
}
