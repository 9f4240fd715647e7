// Before anything is drawn, so that a dark page does not begin with a flash of light. src/theme.ts does the rest.
try {
  var kept = localStorage.getItem("tidewire-theme")
} catch {
  // A browser that keeps nothing still knows the system's theme.
}
document.documentElement.dataset.theme =
  kept === "light" || kept === "dark" ? kept : matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"
