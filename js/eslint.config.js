// What TypeScript itself does not check: promises nobody waits for, and the sizes of CONTRIBUTING.md.
import reactHooks from "eslint-plugin-react-hooks"
import { defineConfig } from "eslint/config"
import tseslint from "typescript-eslint"

export default defineConfig(
  { ignores: ["**/dist/**", "**/node_modules/**"] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      complexity: ["error", 12],
      "max-lines-per-function": ["error", { max: 50, skipComments: true, skipBlankLines: true }],
      "max-lines": ["error", { max: 260, skipComments: true, skipBlankLines: true }],
      "no-console": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
    },
  },
  {
    files: ["**/*.tsx"],
    rules: { "max-lines-per-function": ["error", { max: 150, skipComments: true, skipBlankLines: true }] }, // markup is long
  },
  { files: ["**/*.tsx", "**/use_*.ts", "**/latest.ts"], ...reactHooks.configs.flat["recommended-latest"] },
  {
    files: ["**/*.test.ts", "**/*.test.tsx"],
    rules: {
      "max-lines-per-function": "off", // a describe() is a chapter, not a function
      complexity: "off", // an oracle weighs everything at once
      "@typescript-eslint/no-non-null-assertion": "off", // a missing value fails the test all the same
    },
  },
  { files: ["**/*.js", "**/*.mjs"], ...tseslint.configs.disableTypeChecked },
)
