// what a page says to the server, and what is wrong

const at = (id) => document.getElementById(id);

async function ask(path, options) {
  let answer;
  try { answer = await fetch(path, options); } catch { throw new Error("the server does not answer"); }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.error || `the server says ${answer.status}`);
  return content;
}

const post = (path, body) => ask(path, { method: "POST", body });

function complain(error) {
  at("error").hidden = !error;
  at("error").textContent = error ? error.message : "";
  if (error) at("error").scrollIntoView({ block: "nearest" });
}
