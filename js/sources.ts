/** Where the packages of this workspace are, for whoever bundles or tests them without building each of them first. */
import { fileURLToPath } from "node:url"

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

export const SOURCES = {
  "@tidewire/client": at("packages/client/src/index.ts"),
  "@tidewire/react": at("packages/react/src/index.ts"),
  "@tidewire/reference": at("../docs/reference"), // pages whose words a page shows: `import page from "…/errors.md?raw"`
}
