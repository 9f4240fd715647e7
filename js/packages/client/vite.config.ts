import { defineConfig } from "vite"

// One file that a page can load as it is; what is imported from it by a bundler is tree-shaken all the same.
export default defineConfig({
  build: {
    target: "es2022",
    minify: true,
    sourcemap: false,
    reportCompressedSize: false,
    // A library is left readable otherwise, and twice the size.
    rolldownOptions: { output: { minify: true } },
    lib: { entry: "src/index.ts", formats: ["es"], fileName: () => "tidewire-client.js" },
  },
})
