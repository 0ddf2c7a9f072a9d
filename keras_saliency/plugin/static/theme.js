/** The light or dark theme: that of TensorBoard, or else of the browser. */

/** Keeps `data-theme` of the document up to date; calls `changed` after each change. */
export function watchTheme(inBoard, changed) {
  const board = inBoard ? boardOf() : null;
  const preference = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const dark = board ? board.classList.contains("dark-mode") : preference.matches;
    const theme = dark ? "dark" : "light";
    if (document.documentElement.dataset.theme === theme) return;
    document.documentElement.dataset.theme = theme;
    changed();
  };
  if (board) new MutationObserver(apply).observe(board, { attributeFilter: ["class"] });
  else preference.addEventListener("change", apply);
  apply();
}

/** The body of TensorBoard's own page; `null` if this page stands alone or has no access to it. */
function boardOf() {
  try {
    return parent === window ? null : parent.document.body;
  } catch {
    return null;
  }
}
