// what can be done, by buttons, keys and files

const choose = () => does(async () => {
  if (selected < 0) return;
  const look = current(), design = state.map[selected].design;
  await act("choose", look ? { design, instead: look.id } : { design });
  selected = -1;
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

function upload(files) {
  if (!files.length || !state) return;
  if (files.length > 1) complain(new Error(`${files.length} files are there, expected one: the reading of one look`));
  else if (busy) complain(new Error(`${files[0].name} was not read, as something else was being done; try it again`));
  else send(files[0], current());
}

const send = (file, look) => does(async () => {
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
    upload([...at("file").files]);
    at("file").value = "";
  });
}
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  window.addEventListener(kind, (event) => {
    event.preventDefault();  // or the browser would leave the page for the file
    if (demo) return;
    at("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") upload([...event.dataTransfer.files]);
  });
}
window.addEventListener("resize", () => { if (state) draw(); });

listen();
