import { defineConfig } from "vitest/config"

import { SOURCES } from "../../sources.ts"

export default defineConfig({
  resolve: { alias: SOURCES },
  server: { fs: { allow: ["../../.."] } }, // the reference lies outside the workspace
  test: { environment: "jsdom", include: ["test/**/*.test.ts", "test/**/*.test.tsx"], testTimeout: 20_000 },
})
