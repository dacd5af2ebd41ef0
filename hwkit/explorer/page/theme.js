// Light or dark: as the system has it, in a notebook as the notebook has it, or by choice.

import { h } from "./dom.js";

/** A button that changes the theme, and tells. */
export function themeButton(onChange) {
  const root = document.documentElement;
  try {
    const light = parent.document.body.dataset.jpThemeLight;
    if (light) root.dataset.theme = light === "true" ? "light" : "dark";
  } catch {
    // a page of another origin does not tell
  }
  const button = h("button", { class: "icon" });
  const name = () => {
    button.textContent = isDark() ? "☀" : "☾";
    button.title = isDark() ? "light theme" : "dark theme";
    button.setAttribute("aria-label", button.title);
  };
  button.onclick = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    name();
    onChange(root.dataset.theme);
  };
  name();
  return button;
}

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
