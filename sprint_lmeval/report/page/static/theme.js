// Light and dark: what the system prefers, until the switch is used. Listeners redraw what has colours of its own.

const systemDark = matchMedia("(prefers-color-scheme: dark)");
const themeListeners = [];

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : systemDark.matches;
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function themeChanged() {
  document.documentElement.classList.toggle("dark", isDark()); // the class that DataTables looks at
  byId("theme").setAttribute("aria-pressed", isDark());
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  themeListeners.forEach((listener) => listener());
}

// A file opened from disk may have no storage: then the choice lasts as long as the page.
function remembered(value) {
  try {
    if (value) localStorage.setItem("sprint-lmeval-theme", value);
    return localStorage.getItem("sprint-lmeval-theme");
  } catch {
    return null;
  }
}

function startTheme() {
  const before = remembered();
  if (before === "dark" || before === "light") document.documentElement.dataset.theme = before;
  byId("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    remembered(document.documentElement.dataset.theme);
    themeChanged();
  });
  systemDark.addEventListener("change", themeChanged);
  themeChanged();
}
