/** How long things may take, in milliseconds. */
export interface Timing {
  /** A transport must be open. */
  readonly openMs: number
  /** From one heartbeat to the next; with `beatMs` within ten seconds, the time in which a black hole is noticed. */
  readonly beatEveryMs: number
  /** The same in a page that nobody sees: batteries matter more there. Below the server's `idle_s`. */
  readonly hiddenBeatEveryMs: number
  /** A heartbeat must be answered. */
  readonly beatMs: number
  /** A join must be answered: more than the server's own `join_timeout_s`. */
  readonly joinMs: number
  /** The first pause before another attempt is at most twice this; each further one doubles it. */
  readonly backoffMs: number
  readonly backoffMaxMs: number
  /** When a server says that it has too much to do. */
  readonly laterMs: number
  /** A channel that nobody wants any more stays joined for a moment: components come and go. */
  readonly leaveMs: number
  /** So does a connection without channels. */
  readonly lingerMs: number
  /** On a lesser transport, better ones are tried again after this time; each failure doubles it. */
  readonly upgradeMs: number
  readonly upgradeMaxMs: number
  /** What is sent waits so long for its channel, and then for its answer. */
  readonly sendMs: number
  /** A token must be there. */
  readonly tokenMs: number
  /** So long before its end a token is replaced, or at four fifths of a short life. */
  readonly tokenLeewayMs: number
}

export const TIMING: Timing = {
  openMs: 5_000,
  beatEveryMs: 5_000,
  hiddenBeatEveryMs: 25_000,
  beatMs: 4_000,
  joinMs: 12_000,
  backoffMs: 250,
  backoffMaxMs: 10_000,
  laterMs: 30_000,
  leaveMs: 1_000,
  lingerMs: 5_000,
  upgradeMs: 60_000,
  upgradeMaxMs: 900_000,
  sendMs: 10_000,
  tokenMs: 10_000,
  tokenLeewayMs: 60_000,
}
