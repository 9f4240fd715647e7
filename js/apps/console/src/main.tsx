/** Starts the console. */
import "./fonts.css"
import { applyTheme } from "@tidewire/ui"
import { StrictMode } from "react"
import { createRoot } from "react-dom/client"

import { App } from "./app.tsx"
import "./console.css"
import { session } from "./session.ts"

applyTheme()
void session.begin()
const root = document.getElementById("root")
if (root) createRoot(root).render(<StrictMode><App /></StrictMode>)
