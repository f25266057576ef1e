"use strict";
(() => {
  const asked = JSON.parse(document.getElementById("survey-data").textContent);
  const at = (id) => document.getElementById(id), key = `boed-survey-${asked.survey}`;
  const number = asked.questions.length;

  // a private window may refuse to keep anything; the survey then goes on without
  const kept = () => { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } };
  const keep = () => { try { localStorage.setItem(key, JSON.stringify(state)); } catch { /* go on */ } };
  const fresh = () => ({ visitor: crypto.getRandomValues(new Uint32Array(1))[0], answers: {}, place: 0 });
  const whole = (given) => given && Number.isInteger(given.visitor) && given.answers
    && Number.isInteger(given.place) && given.place >= 0 && given.place <= number;
  let state = whole(kept()) ? kept() : fresh();

  // order and sides follow from the visitor's number alone, so that a reload changes nothing
  function* chance(seed) {
    let word = seed >>> 0;
    for (;;) {
      word = (word + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(word ^ (word >>> 15), word | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      yield ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    }
  }
  const draws = chance(state.visitor), draw = () => draws.next().value;
  const order = asked.questions.map((_, i) => i);
  for (let i = number - 1; i > 0; i--) {
    const j = Math.floor(draw() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  const sides = asked.questions.map(() => (draw() < 0.5 ? ["most", "least"] : ["least", "most"]));

  function csv() {
    const rows = Object.entries(state.answers).map(([i, answer]) => `${asked.survey},${state.visitor},${i},${answer}`);
    return `survey,visitor,question,answer\n${rows.map((row) => `${row}\n`).join("")}`;
  }

  function show() {
    const done = state.place >= number;
    at("asking").hidden = done;
    at("thanks").hidden = !done;
    at("bar").max = number;
    at("bar").value = state.place;
    at("count").textContent = done ? `${number} of ${number} answered` : `${state.place + 1} of ${number}`;
    at("back").disabled = state.place === 0;
    const link = at("download");
    link.download = `survey-${asked.survey}-${state.visitor}.csv`;
    link.href = `data:text/csv;charset=utf-8,${encodeURIComponent(csv())}`;
    if (done) { at("download").focus(); return; }
    const question = asked.questions[order[state.place]], [left, right] = sides[order[state.place]];
    at("seen").src = question.seen;
    at("left-image").src = question[left];
    at("right-image").src = question[right];
  }

  function answer(side) {
    if (state.place >= number) return;
    const i = order[state.place];
    state.answers[i] = side === null ? "don't know" : sides[i][side] === "most" ? "agree" : "disagree";
    state.place += 1;
    keep();
    show();
  }

  function back() {
    if (state.place === 0) return;
    state.place -= 1;
    keep();
    show();
  }

  at("left").addEventListener("click", () => answer(0));
  at("right").addEventListener("click", () => answer(1));
  at("neither").addEventListener("click", () => answer(null));
  for (const id of ["back", "change"]) at(id).addEventListener("click", back);
  at("again").addEventListener("click", () => { state = fresh(); keep(); location.reload(); });
  const keys = { ArrowLeft: () => answer(0), ArrowRight: () => answer(1), d: () => answer(null), Backspace: back };
  document.addEventListener("keydown", (event) => {
    const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !keys[pressed]) return;
    event.preventDefault();
    keys[pressed]();
  });
  show();
})();
