/** Which theme a page has: what somebody chose, or else what their system says. Kept in local storage. */
import type { Store } from "@tidewire/client"
import { useStore } from "@tidewire/react"

export type ThemeChoice = "system" | "light" | "dark"
export interface Theme {
  readonly choice: ThemeChoice
  readonly shown: "light" | "dark"
}

const KEY = "tidewire-theme" // the page's theme.js reads it before anything is drawn
const DARK = "(prefers-color-scheme: dark)"

class ThemeStore implements Store<Theme> {
  readonly #listeners = new Set<() => void>()
  #theme: Theme | null = null

  readonly getSnapshot = (): Theme => (this.#theme ??= resolve(readChoice()))

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    if (this.#listeners.size === 1) this.#system().addEventListener("change", this.#look)
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0) this.#system().removeEventListener("change", this.#look)
    }
  }

  readonly #look = (): void => this.set(this.getSnapshot().choice)
  #query: MediaQueryList | null = null
  #system(): MediaQueryList {
    return (this.#query ??= matchMedia(DARK)) // a listener is removed from the object that it was added to
  }

  set(choice: ThemeChoice): void {
    try {
      localStorage.setItem(KEY, choice)
    } catch {
      // A browser that keeps nothing still shows what was chosen.
    }
    this.#theme = resolve(choice)
    document.documentElement.dataset["theme"] = this.#theme.shown
    for (const listener of [...this.#listeners]) listener()
  }
}

function readChoice(): ThemeChoice {
  try {
    const kept = localStorage.getItem(KEY)
    return kept === "light" || kept === "dark" ? kept : "system"
  } catch {
    return "system"
  }
}

function resolve(choice: ThemeChoice): Theme {
  const isDark = choice === "dark" || (choice === "system" && matchMedia(DARK).matches)
  return { choice, shown: isDark ? "dark" : "light" }
}

const store = new ThemeStore()

export const useTheme = (): Theme => useStore(store)
export const chooseTheme = (choice: ThemeChoice): void => store.set(choice)

/** Call once before the first rendering. */
export const applyTheme = (): void => store.set(store.getSnapshot().choice)
