/** Lets people choose a theme. */
import { Monitor, Moon, Sun } from "lucide-react"
import type { ReactElement } from "react"

import { chooseTheme, type ThemeChoice, useTheme } from "./theme.ts"

const CHOICES = [
  { choice: "light", Icon: Sun, name: "Light" },
  { choice: "dark", Icon: Moon, name: "Dark" },
  { choice: "system", Icon: Monitor, name: "As the system" },
] as const satisfies readonly { choice: ThemeChoice; Icon: unknown; name: string }[]

export function ThemeSwitch(): ReactElement {
  const { choice: chosen } = useTheme()
  return (
    <div role="radiogroup" aria-label="Theme" className="tw-theme">
      {CHOICES.map(({ choice, Icon, name }) => (
        <label key={choice} title={name}>
          <input
            type="radio"
            name="tw-theme"
            className="tw-hidden"
            aria-label={name}
            checked={choice === chosen}
            onChange={() => chooseTheme(choice)}
          />
          <Icon size={15} aria-hidden />
        </label>
      ))}
    </div>
  )
}
