// the list of sessions

const SESSIONS = "api/sessions", EVERY = 1000;
let shown = "";

function state(session) {
  if (session.deciding) return "deciding";
  if (session.ended) return `finished: ${session.ended}`;
  return session.pending.length ? `waits for look ${session.pending.join(", ")}` : "ready";
}

function row(session) {
  const made = document.createElement("tr"), link = document.createElement("a");
  const [answer, share] = Object.entries(session.belief).reduce((best, each) => (each[1] > best[1] ? each : best));
  link.href = `sessions/${session.session}/`;
  link.textContent = session.session;
  const cells = [link, state(session), session.readings, `${answer} (${Math.round(100 * share)} %)`, Number(session.spent.toPrecision(3))];
  made.append(...cells.map((content) => {
    const cell = document.createElement("td");
    cell.append(content);
    return cell;
  }));
  return made;
}

async function refresh() {
  const { sessions } = await ask(SESSIONS);
  const now = JSON.stringify(sessions);
  if (now !== shown) at("sessions").replaceChildren(...sessions.map(row));
  shown = now;
}

at("new").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await post(SESSIONS, JSON.stringify({ session: at("name").value }));
    at("name").value = "";
    complain(null);
    await refresh();
  } catch (error) { complain(error); }
});
let lost = false;
(async () => {
  for (;;) {
    try {
      await refresh();
      if (lost) complain(null);
      lost = false;
    } catch (error) {
      lost = true;
      complain(error);
    }
    await new Promise((wake) => setTimeout(wake, EVERY));
  }
})();
