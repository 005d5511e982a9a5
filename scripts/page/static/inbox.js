// "Wrong? This is a …": keeps the picture with its label, after telling the user once where it is saved.

const CONSENT = "inkwell.consent";
const element = (id) => document.getElementById(id);

export function setLabels({ classes, inbox }, chosen) {
  element("inbox").textContent = inbox;
  const buttons = classes.map((name) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => chosen(name));
    return button;
  });
  element("labels").replaceChildren(...buttons);
}

// Consent is given per inbox and asked for again if pictures are saved elsewhere.
export async function keep(label, { inbox }, content, post) {
  if (localStorage.getItem(CONSENT) !== inbox) {
    if (!(await asked())) return;
    localStorage.setItem(CONSENT, inbox);
  }
  const answer = await post(`keep?label=${encodeURIComponent(label)}`, await content());
  const kept = element("kept");
  kept.classList.toggle("bad", Boolean(answer.error));
  kept.textContent = answer.error ? `Not kept: ${answer.error}` : `Kept as ${label}: ${shortened(answer.kept)}`;
  kept.title = answer.kept ?? "";
}

function asked() {
  const dialog = element("consent");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "keep"), { once: true });
  });
}

// The end of a path, with its name cut to a distinguishable length: …/inbox/7/3fa2b5c8….png
function shortened(path) {
  const [name, ...folders] = path.split(/[/\\]/).reverse();
  return `${folders.slice(0, 2).reverse().join("/")}/${name.slice(0, 8)}….png`;
}
