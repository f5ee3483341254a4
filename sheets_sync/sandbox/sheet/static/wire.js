// The server: questions, edits one after the other, and the stream that says when to look again.

export const key = document.body.dataset.spreadsheet;
export const root = `/spreadsheets/${encodeURIComponent(key)}`;
export const pageId = crypto.randomUUID(); // whose undo this is

export class Away extends Error {} // no answer: whether an edit was applied is not known
export class Refusal extends Error {
  constructor(status, body) {
    super(body.error || `the server answered ${status}`);
    Object.assign(this, { status, body });
  }
}

async function answered(request) {
  let answer;
  try {
    answer = await request;
  } catch {
    throw new Away("the local sheet's server can not be reached");
  }
  let body = {};
  try {
    body = await answer.json();
  } catch {
    if (answer.ok) throw new Away("the answer was cut off");
  }
  if (!answer.ok) throw new Refusal(answer.status, body);
  return body;
}

export function ask(path, query) {
  return answered(fetch(`${root}/${path}?${new URLSearchParams(query)}`));
}

export function tell(path, body) {
  return answered(fetch(`${root}/${path}`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ page: pageId, ...body }),
  }));
}

export function send(address, type, content) {
  return answered(fetch(address, { method: "POST", headers: { "Content-Type": type }, body: content }));
}

// A browser opens six connections to a host; so that the seventh page does not hang, one page follows and tells the others.
export function follow(heard, lost) {
  const others = new BroadcastChannel(`local-sheet:${key}`);
  others.onmessage = (event) => heard(event.data);
  function open() {
    const stream = new EventSource(`${root}/changes`);
    stream.onmessage = (event) => {
      others.postMessage(event.lastEventId);
      heard(event.lastEventId);
    };
    stream.onerror = () => {
      lost(); // tells whether the server is gone; where it is only full, this page looks now and then
      if (stream.readyState === EventSource.CLOSED) setTimeout(open, 3000);
    };
  }
  if (!navigator.locks) return open(); // not a secure address: each page follows for itself
  navigator.locks.request(`local-sheet:${key}`, () => new Promise(open)); // never ends: held while the page is open
}
