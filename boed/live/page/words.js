// numbers and looks in words

const short = (number) => String(Number(number.toPrecision(3)));
const where = (design) => (state.shape[1] > 1 && design.length === 2
  ? `row ${short(design[0])}, column ${short(design[1])}` : `design ${design.map(short).join(", ")}`);
const fixed = (number, digits) => number.toFixed(digits).replace(/^-(?=[0.]*$)/, "");  // no -0.00
const nats = (look) => (look.eig === null ? "" :
  `, ${fixed(look.eig, 3)}${look.standard_error === null ? "" : ` ± ${fixed(look.standard_error, 3)}`} nats expected`);
const percent = (share) => (share > 0.995 && share < 1 ? "> 99" : Math.round(100 * share)) + " %";
const span = (name, first, number) => (number === 1 ? `${name} ${first}` : `${name}s ${first} to ${first + number - 1}`);

function status() {
  const over = ended(), look = current();
  const what = state.beliefs.length > 1 ? "the next look" : "the first look";
  if (deciding()) return `Deciding ${state.deciding_what || what} …`;
  if (over) return `Finished: ${over}.`;
  if (!look) return "No look is suggested.";
  if (pending().length > 1) return `${pending().length} looks are pending; this is look ${look.id}.`;
  return look.suggested ? `Look ${look.id} is suggested.` : `Look ${look.id} is your own choice.`;
}

function next() {
  const look = current();
  if (look) return `${where(look.design)}${nats(look)}, cost ${short(look.cost)}`;
  return deciding() ? "…" : ended() ? "none; Undo takes the last thing back, and goes on" : "none";
}

// which pixels a look shows, where that is not the whole scene
function shows(look) {
  const box = look && boxOf(look);
  if (!box || state.drawn !== "pixels" || state.shape[1] === 1 || (box[2] === state.shape[1] && box[3] === state.shape[2])) return "";
  return `Shows ${span("row", box[0], box[2])}, ${span("column", box[1], box[3])}: pixels, counted from 0 at the top left.`;
}
