import { fileURLToPath } from "node:url"

import react from "@vitejs/plugin-react"
import { defineConfig, type Plugin } from "vite"

import { SOURCES } from "../../sources.ts"

/** Sonner puts its styles into the page by a script, which the server's policy forbids; they are in our own file instead. */
const sonnerWithoutStyles: Plugin = {
  name: "sonner-without-styles",
  transform(code, id) {
    if (!/sonner\/dist\/index\.mjs/.test(id)) return null
    const quiet = code.replace(/^__insertCSS\(.*\);?$/m, "")
    if (quiet === code) this.error("sonner: expected a call of __insertCSS to remove, got none")
    return { code: quiet, map: null }
  },
}

export default defineConfig({
  base: "/console/",
  plugins: [react(), sonnerWithoutStyles],
  resolve: { alias: SOURCES, dedupe: ["react", "react-dom"] },
  server: { fs: { allow: ["../../.."] } }, // the reference lies outside the workspace
  build: {
    target: "es2022",
    outDir: fileURLToPath(new URL("../../../src/tidewire/_ui", import.meta.url)),
    emptyOutDir: true,
    sourcemap: false,
    assetsInlineLimit: 0, // the policy lets fonts come from the server only
    reportCompressedSize: true,
  },
})
