"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const demo = at("live").dataset.demo === "yes";
  let state = null, drawn = [], selected = -1, running = false, busy = false, automatic = true;
  let reading = null, again = false, drawnOf = null;

  // ---- talking to the session

  async function ask(path, options) {
    let answer;
    try { answer = await fetch(path, options); } catch { throw new Error("the server does not answer"); }
    const content = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(content.error || `the server says ${answer.status}`);
    return content;
  }
  const post = (path, body) => ask(path, { method: "POST", body });
  const act = (action, given = {}) => post(`api/${action}`, JSON.stringify(given));

  function complain(error) {
    at("error").hidden = !error;
    at("error").textContent = error ? error.message : "";
  }

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
    try { await act("next"); automatic = true; } catch (error) {
      await refresh();
      if (!ended()) complain(error);
    }
  }

  const pending = () => state.looks.filter((each) => each.status === "pending");
  const current = () => pending()[0];
  const ended = () => state.stopped || (!pending().length && state.reason);

  // ---- words

  const short = (number) => String(Number(number.toPrecision(3)));
  const where = (design) => (state.shape[1] > 1 && design.length === 2
    ? `row ${short(design[0])}, column ${short(design[1])}` : design.map(short).join(", "));
  const fixed = (number, digits) => number.toFixed(digits).replace(/^-(?=[0.]*$)/, "");  // no -0.00
  const nats = (look) => (look.eig === null ? "" :
    `, ${fixed(look.eig, 3)}${look.standard_error === null ? "" : ` ± ${fixed(look.standard_error, 3)}`} nats expected`);
  const percent = (share) => (share > 0.995 && share < 1 ? "> 99" : Math.round(100 * share)) + " %";

  function status() {
    const over = ended(), look = current();
    at("status").classList.toggle("busy", state.deciding);
    if (state.deciding) return `Deciding ${state.deciding_what} …`;
    if (over) return `Finished: ${over}.`;
    if (!look) return "No look is suggested.";
    return look.suggested ? `Look ${look.id} is suggested.` : `Look ${look.id} is your own choice.`;
  }

  // ---- showing

  function show() {
    const look = current(), over = Boolean(ended());
    const said = status();
    if (at("status").textContent !== said) at("status").textContent = said;
    at("trouble").hidden = !state.trouble;
    at("trouble").textContent = state.trouble ? `${state.trouble}; it is tried again` : "";
    at("look").textContent = look ? `${where(look.design)}${nats(look)}, cost ${short(look.cost)}`
      : state.deciding ? "…" : "none";
    for (const id of ["fail", "veto"]) at(id).disabled = !look;
    at("undo").disabled = state.events === 0 || state.deciding;
    at("stop").disabled = Boolean(state.stopped);
    at("next").hidden = Boolean(look) || state.deciding || over;
    if (demo) {
      at("take").disabled = !look;
      at("run").disabled = over;
      at("run").setAttribute("aria-pressed", String(running));
      at("run").firstChild.textContent = running ? "Pause" : "Run to the end";
    } else {
      at("file").disabled = !look;
      at("shape").textContent = look ? `.npy${look.shape.length === 3 ? ", .png or .dcm" : ""} of shape ${look.shape.join(" × ")}` : "";
    }
    at("seen").src = state.seen;
    at("stage").style.aspectRatio = `${state.shape[2]} / ${state.shape[1]}`;
    if (selected >= state.map.length) selected = -1;
    belief();
    cost();
    looks();
    draw();
    spot();
    truth();
    completions();
  }

  function element(name, text, options = {}) {
    const made = document.createElement(name);
    if (text !== null) made.textContent = text;
    return Object.assign(made, options);
  }

  function line(shares) {
    const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg");
    const path = document.createElementNS(space, "polyline"), last = Math.max(shares.length - 1, 1);
    svg.setAttribute("viewBox", "0 0 74 20");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `after each reading: ${shares.map(percent).join(", ")}`);
    const all = shares.length > 1 ? shares : [shares[0], shares[0]];
    path.setAttribute("points", all.map((share, i) => `${(74 * i) / last},${19 - 18 * share}`).join(" "));
    svg.append(path);
    return svg;
  }

  function belief() {
    const now = state.beliefs.at(-1), best = now.indexOf(Math.max(...now));
    at("readings").textContent = `after ${state.beliefs.length - 1} reading${state.beliefs.length === 2 ? "" : "s"}`;
    at("belief").replaceChildren(...state.answers.map((name, i) => {
      const row = element("tr", null, { className: (state.several ? now[i] > 0.5 : i === best) ? "best" : "" });
      const bar = element("td", null, { className: "bar" }), fill = element("span", null);
      fill.style.width = `${100 * now[i]}%`;
      bar.append(fill);
      const past = element("td", null);
      past.append(line(state.beliefs.map((each) => each[i])));
      row.append(element("th", name, { scope: "row" }), bar,
        element("td", percent(now[i]), { className: "percent" }), past);
      return row;
    }));
  }

  function cost() {
    at("spent").textContent = `cost spent: ${short(state.spent)}${state.budget === null ? "" : ` of ${short(state.budget)}`}`;
    at("budget").hidden = state.budget === null;
    if (state.budget !== null) at("budget").value = Math.min(state.spent / state.budget, 1);
  }

  function looks() {
    at("looks").replaceChildren(...state.looks.slice().reverse().map((look) => {
      const row = element("tr", null), what = look.suggested ? look.status : `${look.status}, your choice`;
      row.append(element("th", `look ${look.id}`, { scope: "row" }), element("td", look.design.map(short).join(", ")),
        element("td", what), element("td", look.eig === null ? "" : `${fixed(look.eig, 3)} nats`, { className: "n" }));
      return row;
    }));
    if (!state.looks.length) at("looks").append(element("tr", null));
  }

  function truth() {
    const known = demo && state.demo && state.demo.scene;
    at("truth").hidden = !known;
    if (!known) return;
    at("scene").src = state.demo.scene;
    at("scene").alt = "The whole scene";
    at("answer").textContent = `what it was: ${state.demo.truth}`;
  }

  // ---- completions, drawn while nobody waits

  async function completions() {
    at("maybe").hidden = !state.completes && at("truth").hidden;
    const now = state.beliefs.length + state.seen;
    if (!state.completes || state.deciding || drawnOf === now) return;
    drawnOf = now;
    try {
      drawn = (await ask("api/completions")).completions;
      at("leaf").max = drawn.length - 1;
      leaf(0);
    } catch (error) { complain(error); }
  }

  function leaf(step) {
    if (!drawn.length) return;
    const number = (Number(at("leaf").value) + step + drawn.length) % drawn.length;
    at("leaf").value = number;
    at("completion").src = drawn[number];
    at("completion").alt = `Completion ${number + 1} of ${drawn.length}: the scene as it may be`;
    at("which").textContent = `completion ${number + 1} of ${drawn.length}`;
  }

  // ---- the map

  const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  function colour(share) {
    const place = Math.min(Math.max(share, 0), 1) * 4, low = Math.min(Math.floor(place), 3);
    return STOPS[low].map((from, i) => Math.round(from + (place - low) * (STOPS[low + 1][i] - from)));
  }
  const centre = ([top, left, height, width]) => [top + height / 2, left + width / 2];

  // how far candidates are apart along an axis; all of the box where they do not differ
  function pitch(axis) {
    const places = [...new Set(state.map.map((each) => centre(each.box)[axis]))].sort((a, b) => a - b);
    const gaps = places.slice(1).map((place, i) => place - places[i]);
    return gaps.length ? Math.min(...gaps) : state.map[0].box[2 + axis];
  }

  function draw() {
    const canvas = at("map"), ratio = window.devicePixelRatio || 1;
    const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(high * ratio);
    const pen = canvas.getContext("2d");
    const [x, y] = [canvas.width / state.shape[2], canvas.height / state.shape[1]];
    const scores = state.map.map((each) => each.score).filter((score) => score !== null);
    const [low, top] = [Math.min(...scores), Math.max(...scores)], shade = at("shade").checked && scores.length > 0 && !ended();
    const some = scores.length > 0 && top >= 0.005;  // of what is shown with two digits
    at("ramp").hidden = !some;
    at("low").textContent = some ? fixed(low, 2) : "";
    at("high").textContent = some ? `${fixed(top, 2)} nats` : scores.length ? "nothing left to gain" : "no scores";
    if (shade) {
      const cell = [pitch(0), pitch(1)];
      for (const { box, score } of state.map) {
        if (score === null) continue;
        const [row, column] = centre(box), share = top > low ? (score - low) / (top - low) : 0.5;
        pen.fillStyle = `rgb(${colour(share).join(" ")} / .62)`;
        const [left, right] = [column - cell[1] / 2, column + cell[1] / 2].map((edge) => Math.round(edge * x));
        const [upper, lower] = [row - cell[0] / 2, row + cell[0] / 2].map((edge) => Math.round(edge * y));
        pen.fillRect(left, upper, right - left, lower - upper);
      }
    }
    if (shade && at("seen").complete) {  // what was seen stays to be seen
      pen.globalAlpha = 0.65;
      pen.imageSmoothingEnabled = false;
      pen.drawImage(at("seen"), 0, 0, canvas.width, canvas.height);
      pen.globalAlpha = 1;
    }
    const boxOf = (look) => (state.map.find((each) => each.design.every((value, i) => value === look.design[i])) || {}).box;
    const frame = ([upper, left, height, width], style, thick, dashes = []) => {
      pen.setLineDash([]);
      const inside = [left * x + 2, upper * y + 2, width * x - 4, height * y - 4];
      pen.lineWidth = (thick + 2) * ratio;
      pen.strokeStyle = "rgb(0 0 0 / .65)";
      pen.strokeRect(...inside);
      pen.setLineDash(dashes.map((each) => each * ratio));
      pen.lineWidth = thick * ratio;
      pen.strokeStyle = style;
      pen.strokeRect(...inside);
    };
    for (const look of state.looks) {
      const box = boxOf(look);
      if (!box || look.status === "pending" || look.status === "replaced") continue;
      if (look.status === "taken") frame(box, "rgb(255 255 255 / .75)", 1);
      else frame(box, "#ff9d6b", 1, [4, 4]);
    }
    for (const look of pending()) {
      const box = boxOf(look);
      if (!box) continue;
      frame(box, "#ffffff", 3);
      const size = 15 * ratio, text = `look ${look.id}`;
      pen.font = `600 ${size}px system-ui, sans-serif`;
      const width = pen.measureText(text).width + 10 * ratio;
      const [left, upper] = [Math.min(box[1] * x, canvas.width - width), Math.max(box[0] * y - size * 1.5, 0)];
      pen.fillStyle = "rgb(0 0 0 / .8)";
      pen.fillRect(left, upper, width, size * 1.5);
      pen.fillStyle = "#fff";
      pen.fillText(text, left + 5 * ratio, upper + size * 1.1);
    }
    if (selected >= 0) frame(state.map[selected].box, "#ffe14d", 3, [7, 5]);
  }

  function spot() {
    const other = selected >= 0 && !state.stopped;
    at("choose").disabled = !other;
    if (selected < 0) return;
    const { design, score } = state.map[selected];
    at("spot").textContent = `${where(design)}${score === null ? "" : `: ${fixed(score, 3)} nats`}`;
  }

  function select(number) {
    selected = number;
    draw();
    spot();
  }

  function pick(event) {
    if (!state || !state.map.length) return;
    const frame = at("map").getBoundingClientRect(), cell = [pitch(0), pitch(1)];
    const row = ((event.clientY - frame.top) / frame.height) * state.shape[1];
    const column = ((event.clientX - frame.left) / frame.width) * state.shape[2];
    const far = state.map.map(({ box }) => Math.hypot((centre(box)[0] - row) / cell[0], (centre(box)[1] - column) / cell[1]));
    select(far.indexOf(Math.min(...far)));
  }

  function move(rows, columns) {
    const look = current();
    let from = selected;
    if (from < 0 && look) from = state.map.findIndex((each) => each.design.every((value, i) => value === look.design[i]));
    if (from < 0) return select(0);
    const [row, column] = centre(state.map[from].box), cell = [pitch(0), pitch(1)];
    let best = -1, nearest = Infinity;
    state.map.forEach(({ box }, i) => {
      const [down, right] = [(centre(box)[0] - row) / cell[0], (centre(box)[1] - column) / cell[1]];
      const along = down * rows + right * columns, aside = Math.abs(down * columns) + Math.abs(right * rows);
      if (along > 1e-6 && aside <= along && along + 3 * aside < nearest) { best = i; nearest = along + 3 * aside; }
    });
    return best >= 0 ? select(best) : undefined;
  }

  // ---- what can be done

  const choose = () => does(async () => {
    if (selected < 0) return;
    const look = current(), design = state.map[selected].design;
    await act("choose", look ? { design, instead: look.id } : { design });
    selected = -1;
    at("spot").textContent = "";
  });
  const withCurrent = (action) => () => does(async () => { if (current()) await act(action, { look: current().id }); });
  const take = withCurrent("take"), fail = withCurrent("fail"), veto = withCurrent("veto");
  const stop = () => { running = false; return does(() => act("stop")); };

  // suggestions follow by themselves, so what the user did lies behind them
  const undo = () => {
    running = false;
    return does(async () => {
      let done = await act("undo");
      while (done.undone === "suggestion" && done.left > 0) done = await act("undo");
    });
  };

  async function run() {
    running = !running;
    show();
    while (running && !ended()) {
      if (!at("error").hidden) running = false;
      else if (busy || !current()) await new Promise((wake) => setTimeout(wake, 30));
      else if (!(await take())) running = false;
    }
    running = false;
    show();
  }

  const upload = (file) => does(async () => {
    const look = current();
    if (!look) throw new Error("no look is pending, so no reading is expected");
    if (file.size > state.limit) throw new Error(`${file.name} has ${file.size} bytes, expected at most ${state.limit}`);
    await post(`api/looks/${look.id}/reading`, file);
  });

  const buttons = { take, run, fail, veto, undo, stop, choose, next: () => does(() => act("next")), before: () => leaf(-1), after: () => leaf(1) };
  for (const [id, work] of Object.entries(buttons)) if (at(id)) at(id).addEventListener("click", work);
  at("leaf").addEventListener("input", () => leaf(0));
  at("shade").addEventListener("change", draw);
  at("seen").addEventListener("load", () => { if (state) draw(); });
  at("map").addEventListener("click", pick);
  at("map").addEventListener("keydown", (event) => {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.ctrlKey || event.metaKey || event.altKey || !state) return;
    if (steps[event.key]) move(...steps[event.key]);
    else if (event.key === "Enter") choose();
    else if (event.key === "Escape") { selected = -1; draw(); spot(); } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const keys = { t: "take", r: "run", f: "fail", v: "veto", u: "undo", s: "stop", ArrowLeft: "before", ArrowRight: "after" };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest && event.target.closest("input");
    if (!at("keys").checked || typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const button = at(keys[event.key] || keys[event.key.toLowerCase()] || "");
    if (!button || button.disabled) return;
    event.preventDefault();
    button.click();
  });
  if (!demo) {
    at("file").addEventListener("change", () => {
      if (at("file").files.length) upload(at("file").files[0]);
      at("file").value = "";
    });
    for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
      window.addEventListener(kind, (event) => {
        event.preventDefault();
        at("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
        if (kind === "drop" && event.dataTransfer.files.length) upload(event.dataTransfer.files[0]);
      });
    }
  }
  window.addEventListener("resize", () => { if (state) draw(); });

  // ---- what happens elsewhere

  const events = new EventSource("api/events");
  events.onmessage = refresh;
  events.onerror = () => complain(new Error("the connection to the server is lost; it is tried again"));
  events.onopen = () => complain(null);
})();
