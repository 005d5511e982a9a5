// Light or dark: follows the system until the user chooses. Runs before the first paint to avoid a flash.

const KEY = "inkwell.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return localStorage.getItem(KEY) ? localStorage.getItem(KEY) === "dark" : system.matches;
}

function apply() {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
  const words = document.querySelector("#theme span"); // missing when this first runs
  if (words) words.textContent = isDark() ? "Light" : "Dark";
  dispatchEvent(new Event("themechange"));
}

apply();
system.addEventListener("change", apply);
addEventListener("DOMContentLoaded", () => {
  apply();
  document.getElementById("theme").addEventListener("click", () => {
    localStorage.setItem(KEY, isDark() ? "light" : "dark");
    apply();
  });
});
