// what stands beside the map: belief, cost, looks, completions

// words that are read out when they are written, so only when they are others
function say(id, words) {
  if (at(id).textContent !== words) at(id).textContent = words;
}

function show() {
  const look = current(), over = Boolean(ended());
  say("status", status());
  at("status").classList.toggle("busy", deciding());
  at("trouble").hidden = !state.trouble;
  say("trouble", state.trouble ? `${state.trouble}; it is tried again` : "");
  at("look").textContent = next();
  at("shows").textContent = shows(look);
  for (const id of ["fail", "veto"]) at(id).disabled = !look || over;
  at("undo").disabled = state.events === 0 || state.deciding;
  at("stop").disabled = Boolean(state.stopped);
  at("next").hidden = Boolean(look) || deciding() || over;
  if (demo) {
    at("take").disabled = !look || over;
    at("run").disabled = over;
    at("run").setAttribute("aria-pressed", String(running));
    at("run").firstChild.textContent = running ? "Pause" : "Run to the end";
  } else {
    at("file").disabled = !look || over;
    at("shape").textContent = look ? `The reading of look ${look.id}: .npy${look.shape.length === 3 ? ", .png or .dcm" : ""} of shape ${look.shape.join(" × ")}` : "";
  }
  at("seen").src = state.seen;
  at("stage").style.aspectRatio = `${state.shape[2]} / ${state.shape[1]}`;
  if (selected >= state.map.length) selected = -1;
  alternatives();
  belief();
  cost();
  looks();
  draw();
  spot();
  truth();
  completions();
}

// which of several pending looks is spoken of
function alternatives() {
  const ids = pending().map((each) => each.id), holder = at("pending");
  holder.hidden = ids.length < 2;
  if (holder.dataset.ids !== String(ids)) {
    holder.dataset.ids = String(ids);
    holder.replaceChildren(...ids.map((id) => element("button", `look ${id}`, {
      value: id,
      onclick: () => { attended = id; show(); },
    })));
  }
  for (const each of holder.children) each.setAttribute("aria-pressed", String(Number(each.value) === current().id));
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

let drawn = [], drawnOf = null;

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
