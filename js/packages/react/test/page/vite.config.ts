import { defineConfig } from "vite"

import { SOURCES } from "../../../../sources.ts"

// React as it is in development: only there StrictMode mounts everything twice.
export default defineConfig({
  base: "./",
  define: { "process.env.NODE_ENV": '"development"' },
  resolve: { alias: SOURCES },
  build: { target: "es2022", assetsDir: "", minify: false, reportCompressedSize: false },
})
