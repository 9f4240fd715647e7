/** Says what helps against the reason that a server gives for refusing or ending a channel (W33). */

/** With another token; perhaps with one that may more; with the usual back-off; after half a minute; changed only. */
export type ComeBack = "new_token" | "permission" | "soon" | "later" | "changed"

const RULES: readonly (readonly [RegExp, ComeBack])[] = [
  [/^(InvalidJWTToken|MalformedJWT|JwtSignatureError|JwtSignerError)\b/, "new_token"],
  [/^(Token has expired|The token provided|Fields `role`|Failed to|Token expiration|API key is missing)/, "new_token"],
  [/^(Unauthorized\b|You do not have permissions|You no longer have permission)/, "permission"],
  [/^(\w+RateLimitReached|IncreaseConnectionPool|DatabaseLackOfConnections)\b/, "later"],
  [/^(Too many|Client presence rate|Please increase|Database can't accept)/, "later"],
  [/^(ChannelBindingLimitReached|PrivateOnly|TenantNotFound|Realtime[A-Z]\w*For\w+|TopicNameRequired)\b/, "changed"],
  [/^UnableToReplayMessages: Replay|^unmatched topic|^Track message size|^This project only/, "changed"],
]

export function comeBack(reason: string): ComeBack {
  return RULES.find(([pattern]) => pattern.test(reason))?.[1] ?? "soon"
}
