"use strict";
(() => {
  const holder = document.getElementById("run-data");
  if (!holder) return;
  const run = JSON.parse(holder.textContent);
  const at = (id) => document.getElementById(id);
  const last = run.looks[0].length ? run.best[0][0].length - 1 : 0;
  const counted = (number) => `${number} look${number === 1 ? "" : "s"}`;
  let order = run.row.map((_, i) => i), place = 0, looks = last;
  const load = (sheet) => { const image = new Image(); image.src = sheet.source; image.onload = draw; return image; };
  const ready = (image) => image.complete && image.naturalWidth > 0;
  const tile = (sheet, i) => [(i % sheet.columns) * sheet.width, Math.floor(i / sheet.columns) * sheet.height,
    sheet.width, sheet.height];

  const canvases = run.policies.map((name) => {
    const figure = document.createElement("figure"), title = document.createElement("b");
    const canvas = document.createElement("canvas"), said = document.createElement("span");
    title.textContent = name;
    canvas.setAttribute("role", "img");
    figure.append(title, canvas, said);
    at("step-policies").append(figure);
    return { canvas, said };
  });
  const scenes = load(run.scenes), masks = load(run.masks);

  // what was seen through the looks so far, as a veil over the rest
  function veil(taken) {
    const sheet = document.createElement("canvas");
    sheet.width = run.masks.width; sheet.height = run.masks.height;
    const pen = sheet.getContext("2d", { willReadFrequently: true });
    pen.fillRect(0, 0, sheet.width, sheet.height);
    pen.globalCompositeOperation = "lighten";
    for (const index of taken) if (index >= 0) pen.drawImage(masks, ...tile(run.masks, index), 0, 0, sheet.width, sheet.height);
    const pixels = pen.getImageData(0, 0, sheet.width, sheet.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      pixels.data[i + 3] = 0.85 * (255 - pixels.data[i]);
      pixels.data[i] = 51; pixels.data[i + 1] = 65; pixels.data[i + 2] = 92;
    }
    pen.putImageData(pixels, 0, 0);
    return sheet;
  }

  function draw() {
    if (!ready(scenes) || !ready(masks)) return;
    at("step-count").textContent = order.length ? `${place + 1} of ${order.length}` : "none";
    at("step-looks").textContent = counted(looks);
    at("step-policies").hidden = !order.length;
    if (!order.length) { at("step-truth").textContent = ""; return; }
    const scene = order[place];
    const finding = run.findings.length ? run.findings[run.asked[scene]] + ": " : "";
    at("step-truth").textContent = `Scene ${run.row[scene]}. The truth: ${finding}${run.answers[run.label[scene]]}.`;
    canvases.forEach(({ canvas, said }, p) => {
      const { width, height } = run.scenes, strip = Math.max(width, height) >= 8 * Math.min(width, height);
      const scale = Math.max(1, Math.round(224 / width));
      canvas.width = width * scale;
      canvas.height = strip ? Math.max(height * scale / 4, 40) : height * scale;
      const pen = canvas.getContext("2d");
      pen.imageSmoothingEnabled = false;
      pen.drawImage(scenes, ...tile(run.scenes, scene), 0, 0, canvas.width, canvas.height);
      const shown = Math.min(looks, run.looks[p][scene]);
      pen.drawImage(veil(run.design[p][scene].slice(0, shown)), 0, 0, canvas.width, canvas.height);
      const answer = run.best[p][scene][looks], right = answer === run.label[scene];
      said.textContent = `${run.answers[answer]}, ${run.percent[p][scene][looks]} % ${right ? "✓" : "✗"}`;
      said.className = right ? "better" : "worse";
      canvas.setAttribute("aria-label", `${run.policies[p]} after ${counted(shown)}: ${said.textContent}`);
    });
  }

  function step(by) { if (order.length) place = (place + by + order.length) % order.length; draw(); }
  function look(by) { looks = Math.min(Math.max(looks + by, 0), last); draw(); }
  at("step-before").onclick = () => step(-1);
  at("step-after").onclick = () => step(1);
  at("step-fewer").onclick = () => look(-1);
  at("step-more").onclick = () => look(1);
  at("step-which").onchange = (event) => {
    const wrong = (i) => run.best[0][i][last] !== run.label[i];
    order = run.row.map((_, i) => i).filter((i) => event.target.value === "all" || wrong(i));
    place = 0;
    draw();
  };
  document.addEventListener("keydown", (event) => {
    const inside = at("stepping").contains(document.activeElement);
    const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement.tagName);
    const does = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), ArrowDown: () => look(-1), ArrowUp: () => look(1) }[event.key];
    if (!inside || typing || !does || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    does();
  });
})();
