import { defineConfig } from "vite"

// React and the client are the page's own: two of either would not know of each other.
export default defineConfig({
  build: {
    target: "es2022",
    sourcemap: false,
    reportCompressedSize: false,
    lib: { entry: "src/index.ts", formats: ["es"], fileName: () => "tidewire-react.js" },
    rolldownOptions: { external: ["react", "react/jsx-runtime", "@tidewire/client"], output: { minify: true } },
  },
})
