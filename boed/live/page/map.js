// the map: what was seen, what each look is expected to tell, and which one is pointed at

const HINT = at("spot").textContent;
const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
function colour(share) {
  const place = Math.min(Math.max(share, 0), 1) * 4, low = Math.min(Math.floor(place), 3);
  return STOPS[low].map((from, i) => Math.round(from + (place - low) * (STOPS[low + 1][i] - from)));
}
const boxOf = (look) => (state.map.find((each) => each.design.every((value, i) => value === look.design[i])) || {}).box;
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
    else frame(box, "#ff9d6b", 2, [4, 4]);
  }
  for (const look of pending()) {
    const box = boxOf(look);
    if (!box) continue;
    frame(box, "#ffffff", look === current() ? 3 : 1.5);
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
  if (selected < 0) return say("spot", state.drawn === "bands" ? `${HINT} From left to right, each band is a look.` : HINT);
  const { design, score } = state.map[selected];
  return say("spot", `${where(design)}${score === null ? "" : `: ${fixed(score, 3)} nats`}`);
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
