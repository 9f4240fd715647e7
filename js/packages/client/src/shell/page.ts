/** What a page knows of its network and of whether it is seen. */

export type PageEvent = "online" | "offline" | "visible" | "hidden"

export interface Page {
  isOnline(): boolean
  isHidden(): boolean
  listen(listener: (event: PageEvent) => void): () => void
}

/** Return that of the browser, or null where there is none. */
export function browserPage(): Page | null {
  if (typeof document === "undefined" || typeof addEventListener === "undefined") return null
  return {
    isOnline: () => navigator.onLine,
    isHidden: () => document.visibilityState === "hidden",
    listen(listener) {
      const stop = new AbortController()
      const { signal } = stop
      addEventListener("online", () => listener("online"), { signal })
      addEventListener("offline", () => listener("offline"), { signal })
      // After a page was frozen, or came back out of the cache of pages, its connection may be long gone.
      addEventListener("pageshow", () => listener("visible"), { signal })
      document.addEventListener("resume", () => listener("visible"), { signal })
      document.addEventListener(
        "visibilitychange",
        () => listener(document.visibilityState === "hidden" ? "hidden" : "visible"),
        { signal },
      )
      return () => stop.abort()
    },
  }
}
