// the session as the server says it is, and what follows from that by itself

const demo = at("live").dataset.demo === "yes";
const act = (action, given = {}) => post(`api/${action}`, JSON.stringify(given));
let state = null, attended = null, selected = -1;
let running = false, busy = false, automatic = true, asking = false, reading = null, again = false;

const pending = () => state.looks.filter((each) => each.status === "pending");
const current = () => pending().find((each) => each.id === attended) || pending()[0];
const ended = () => state.stopped || (!pending().length && state.reason);
const deciding = () => state.deciding || (!pending().length && !ended() && (automatic || asking));

// what the user asked for: one thing at a time, then whatever follows from it
async function does(work) {
  if (busy) return false;
  at("live").setAttribute("aria-busy", busy = true);
  complain(null);
  automatic = true;
  let fine = true;
  try { await work(); } catch (error) { complain(error); fine = false; }
  at("live").setAttribute("aria-busy", busy = false);
  await refresh();
  return fine;
}

// whoever waits for it sees a state that was asked for after that
function refresh() {
  again = true;
  reading = reading || (async () => {
    while (again) {
      again = false;
      try { state = await ask("api/view"); show(); } catch (error) { complain(error); }
    }
    reading = null;
    follow();
  })();
  return reading;
}

// a look is suggested whenever none is pending
async function follow() {
  if (!state || busy || !automatic || state.deciding || pending().length || ended()) return;
  automatic = false;
  asking = true;
  let refused = null;
  try { await act("next"); automatic = true; } catch (error) { refused = error; }
  asking = false;
  await refresh();
  if (refused && !ended()) complain(refused);
}

// ---- what happens elsewhere; a page that nobody sees leaves its connection to others, as a
// browser has six for all pages of a server

let events = null, lost = false;

function listen() {
  events = new EventSource("api/events");
  events.onmessage = refresh;
  events.onopen = () => {
    if (lost) complain(null);
    lost = false;
  };
  events.onerror = () => {
    lost = true;
    if (events.readyState === EventSource.CLOSED) refresh();  // which is told why
    else complain(new Error("the connection to the server is lost; it is tried again"));
  };
}

document.addEventListener("visibilitychange", () => {
  events.close();
  if (!document.hidden) listen();
});
